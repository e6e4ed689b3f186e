"""Silence for the tools that write and run exported files."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Silence warnings of tools about their own code, and about what the parity check finds out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

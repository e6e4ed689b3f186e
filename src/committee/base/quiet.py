"""Silence for log messages of libraries."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*names: str) -> Iterator[None]:
    """Silence the log messages below errors of some loggers, while the block runs.

    Examples
    --------
    >>> import logging
    >>> from committee.base.quiet import quiet
    >>> with quiet("chatty"):
    ...     logging.getLogger("chatty").isEnabledFor(logging.WARNING)
    False
    """
    loggers = [logging.getLogger(name) for name in names]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)

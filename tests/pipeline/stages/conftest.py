"""What the tests of all stages share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="module")
def _quick(timed_once: None) -> None:
    """Times are not what these tests are about."""

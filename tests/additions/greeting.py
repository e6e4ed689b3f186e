"""A debug section that checks nothing."""

from __future__ import annotations

from committee.debug._bench import Bench
from committee.debug.base import Section


class Greeting(Section):
    """Greet."""

    order = 1

    def plan(self, bench: Bench) -> str:
        """Return what would be done."""
        return "greet"

    def run(self, bench: Bench) -> str:
        """Return a greeting."""
        return "hello"

"""A debug section: the number of members of the scratch store."""

from __future__ import annotations

from committee.debug.base import Section
from committee.debug.shared.bench import Bench


class GuestCount(Section):
    """Count the members."""

    order = 16

    def plan(self, bench: Bench) -> str:
        """Return what would be counted."""
        return "count the members"

    def run(self, bench: Bench) -> str:
        """Count the members."""
        bench.require_members()
        return f"{len(bench.scratch.members())} members"

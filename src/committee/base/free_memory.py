"""Memory that is free for this process."""

from __future__ import annotations

import os
from pathlib import Path

_GROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Return about how many bytes this process can still use; None if the system does not say it.

    On Linux, caches that the system can drop count as free, and the limit of a container counts.

    Examples
    --------
    >>> from committee.base.free_memory import free_memory
    >>> free_memory() is None or free_memory() > 0
    True
    """
    table = Path("/proc/meminfo")
    if table.exists():
        lines = dict(line.split(":", 1) for line in table.read_text("utf-8").splitlines() if ":" in line)
        if "MemAvailable" in lines:
            return min(int(lines["MemAvailable"].split()[0]) * 1024, _left_in_group())
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf, macOS no such name
        return None


def _left_in_group() -> int:
    """Return what the limit of a container leaves; a very large number without a limit."""
    try:
        most, used, table = (
            (_GROUP / f"memory.{name}").read_text("utf-8").strip() for name in ("max", "current", "stat")
        )
        files = dict(line.split() for line in table.splitlines()).get("file", "0")
        return max(0, int(most) - int(used) + int(files)) if most.isdigit() else 2**63
    except (OSError, ValueError):
        return 2**63

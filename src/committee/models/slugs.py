"""Names of members that are names of folders."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence


def slugs(names: Sequence[str]) -> list[str]:
    """Return names that are valid folder names; names that differ in case only get numbers: `a`, `A_2`."""
    made: list[str] = []
    for name in names:
        slug = re.sub(r"[^\w.-]+", "_", name).strip(".") or "member"
        taken = {other.lower() for other in made}
        numbered = (slug if index == 1 else f"{slug}_{index}" for index in itertools.count(1))
        made.append(next(option for option in numbered if option.lower() not in taken))
    return made

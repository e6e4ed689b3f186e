"""Choice of one checkpoint among several of the same run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from committee.pipeline.importing.files import stem

_METRIC = re.compile(
    r"(?:^|[_\-. ])([a-z][a-z0-9_/]*?(?:loss|acc|accuracy|auc|f1|error|score|metric)\w*)=(-?[0-9.]+)"
)
_COUNT = re.compile(r"(?:epoch|step|iter|model|checkpoint)[_\-=]?(\d+)|(?:^|[_\-])e?(\d+)$", re.IGNORECASE)


def choose(paths: Sequence[Path]) -> tuple[Path, dict[Path, str]]:
    """Return the checkpoint of a run to use, and the others with the reason why they are not.

    The order is: `best` in the name; the best metric in the name (`val_loss=0.21`); the last epoch.
    """
    best = max(sorted(paths), key=_preference)
    why = f"{best.name} is used"
    return best, {path: why for path in paths if path != best}


def _preference(path: Path) -> tuple[bool, bool, float, bool, int]:
    name = stem(path).lower()
    metric = _METRIC.search(name)
    value = float(metric[2].strip(".") or 0) if metric else 0.0
    if metric and re.search("loss|error", metric[1]):
        value = -value
    counts = [int(one or other) for one, other in _COUNT.findall(name)]
    return (
        "best" in name,
        metric is not None,
        value,
        "last" in name or "final" in name,
        max(counts, default=-1),
    )

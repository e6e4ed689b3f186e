"""Runs of torchvision's reference scripts: `model_<epoch>.pth` and `checkpoint.pth`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from committee.pipeline.importing.files import Files
from committee.pipeline.importing.settings import settings_near
from committee.pipeline.layouts.base import REFIT, Found, Layout

LAST = "checkpoint.pth"
_EPOCH = re.compile(r"model_(\d+)\.pth")


class Torchvision(Layout):
    """Runs of torchvision's `references/classification/train.py`.

    A run is a folder with `checkpoint.pth` or `model_<epoch>.pth`; the last epoch is used. The file contains
    the arguments of the script, among them the architecture. Classes are in the order of `ImageFolder`:
    sorted as text.

    See Also
    --------
    committee.pipeline.layouts.base.recognize : Ask all layouts.

    Examples
    --------
    >>> from committee.pipeline.layouts.torchvision import Torchvision
    >>> Torchvision.rank
    3
    """

    title = "run of torchvision's reference script"
    rank = 3

    def find(self, files: Files) -> Iterator[Found]:
        runs: dict[Path, list[Path]] = defaultdict(list)
        for path in files.weights():
            if files.fold(path) is None and (path.name == LAST or _EPOCH.fullmatch(path.name)):
                runs[path.parent].append(path)
        for paths in runs.values():
            last = max(paths, key=_age)
            settings = settings_near(last, files.top(last))
            yield Found(
                files.model(last),
                "torchvision",
                {REFIT: last},
                settings=settings,
                order="text",
                passed_over={path: f"{last.name} is used" for path in paths if path != last},
            )


def _age(path: Path) -> tuple[bool, int]:
    """Return what sorts checkpoints of a run by their time: `checkpoint.pth` is the last."""
    epoch = _EPOCH.fullmatch(path.name)
    return path.name == LAST, int(epoch[1]) if epoch else -1

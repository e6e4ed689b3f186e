"""Checkpoints that belong to no run: `weights/<model>.pt`, `<model>/best.pth` and the like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from committee.pipeline.importing.files import Files
from committee.pipeline.importing.settings import settings_near
from committee.pipeline.layouts._choice import choose
from committee.pipeline.layouts.base import REFIT, Found, Layout


class Checkpoints(Layout):
    """Checkpoints that no other layout explains: one model for each name, of whose files the best is used.

    See Also
    --------
    committee.pipeline.layouts.base.recognize : Ask all layouts.

    Examples
    --------
    >>> from committee.pipeline.layouts.checkpoints import Checkpoints
    >>> Checkpoints.rank
    6
    """

    title = "checkpoint"
    rank = 6

    def find(self, files: Files) -> Iterator[Found]:
        models: dict[tuple[Path, str], list[Path]] = defaultdict(list)
        for path in files.weights():
            models[path.parent, files.model(path)].append(path)
        for (_, name), paths in models.items():
            best, others = choose(paths)
            settings = settings_near(best, files.top(best))
            yield Found(name, "checkpoints", {REFIT: best}, settings=settings, passed_over=others)

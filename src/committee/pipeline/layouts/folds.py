"""Checkpoints of folds, `ckpt/<model>_fold<k>.pt`, with predictions of the rows held out from each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from committee.pipeline.importing.files import Files
from committee.pipeline.importing.settings import settings_near
from committee.pipeline.layouts._choice import choose
from committee.pipeline.layouts._grouping import grouped
from committee.pipeline.layouts.base import Found, Layout


class Folds(Layout):
    """Networks of K folds: checkpoints whose names, or whose folders, contain the number of a fold.

    `ckpt/resnet18_fold0.pt`, `resnet18/fold_0/best.pth` and the like are networks of one model. Files of
    predictions with the same name of a model, such as `oof/resnet18_fold0.csv`, belong to it; they tell which
    rows each network was not trained on.

    See Also
    --------
    committee.pipeline.layouts.base.recognize : Ask all layouts.

    Examples
    --------
    >>> from committee.pipeline.layouts.folds import Folds
    >>> Folds.rank
    4
    """

    title = "networks of folds"
    rank = 4

    def find(self, files: Files) -> Iterator[Found]:
        models: dict[str, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
        for path in files.weights():
            fold = files.fold(path)
            if fold is not None:
                models[files.model(path)][fold].append(path)
        predictions = grouped(files, files.predictions(), models)
        for name, folds in models.items():
            chosen = {fold: choose(paths) for fold, paths in sorted(folds.items())}
            first = next(iter(chosen.values()))[0]
            yield Found(
                name,
                "folds",
                {f"fold_{fold}": best for fold, (best, _) in chosen.items()},
                predictions.get(name, {}),
                settings_near(first, files.top(first)),
                passed_over={path: why for _, others in chosen.values() for path, why in others.items()},
            )

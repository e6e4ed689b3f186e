"""Runs of timm's `train.py`: `<date>-<model>-<size>/` with `args.yaml` and `model_best.pth.tar`."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from committee.pipeline.importing.files import Files
from committee.pipeline.importing.settings import Settings, read_settings, settings_in
from committee.pipeline.layouts._choice import choose
from committee.pipeline.layouts.base import REFIT, Found, Layout


class Timm(Layout):
    """Runs of timm's `train.py`.

    A run is a folder with `args.yaml` and `*.pth.tar` files, of which `model_best.pth.tar` is used. The
    moving average of the weights is used if the run kept one, since timm chose its best epoch by it. Classes
    are in timm's order: sorted with numbers as numbers.

    See Also
    --------
    committee.pipeline.layouts.base.recognize : Ask all layouts.

    Examples
    --------
    >>> from committee.pipeline.layouts.timm import Timm
    >>> Timm.rank
    2
    """

    title = "run of timm"
    rank = 2

    def find(self, files: Files) -> Iterator[Found]:
        runs: dict[Path, list[Path]] = defaultdict(list)
        for path in files.weights():
            if path.name.endswith(".pth.tar") and (path.parent / "args.yaml").is_file():
                runs[path.parent].append(path)
        for run, paths in runs.items():
            arguments = read_settings(run / "args.yaml")
            settings = settings_in(arguments).over(Settings(size=_size(run.name)))
            best, others = choose(paths)
            yield Found(
                settings.backbone or files.model(best),
                "timm",
                {REFIT: best},
                settings=settings,
                order="number",
                ema=isinstance(arguments, Mapping) and bool(arguments.get("model_ema")),
                passed_over=others,
            )


def _size(name: str) -> int | None:
    """Return the side of the input in the name of a run, `<date>-<model>-<size>`."""
    found = re.search(r"-(\d{2,4})$", name)
    return int(found[1]) if found else None

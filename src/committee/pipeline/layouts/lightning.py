"""Runs of Lightning: `version_0/checkpoints/*.ckpt` with `hparams.yaml`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from committee.pipeline.importing.files import Files
from committee.pipeline.importing.settings import settings_near
from committee.pipeline.layouts._choice import choose
from committee.pipeline.layouts.base import REFIT, Found, Layout


class Lightning(Layout):
    """Runs of Lightning.

    A run is a folder with `hparams.yaml` or a name such as `version_0`, and with `checkpoints/*.ckpt`. The
    hyperparameters of the file and of the checkpoint name the architecture. Runs whose folders name a fold
    are the networks of one model.

    See Also
    --------
    committee.pipeline.layouts.base.recognize : Ask all layouts.

    Examples
    --------
    >>> from committee.pipeline.layouts.lightning import Lightning
    >>> Lightning.rank
    1
    """

    title = "run of Lightning"
    rank = 1

    def find(self, files: Files) -> Iterator[Found]:
        runs: dict[Path, list[Path]] = defaultdict(list)
        for path in files.weights():
            if path.suffix == ".ckpt" and path.parent.name == "checkpoints" and _is_run(path.parent.parent):
                runs[path.parent.parent].append(path)
        models: dict[str, list[Path]] = defaultdict(list)
        for run, paths in runs.items():
            fold = files.fold(paths[0])
            models[files.model(paths[0]) if fold is not None else str(run)].append(run)
        for of in models.values():
            yield _found(files, {run: runs[run] for run in of})


def _is_run(folder: Path) -> bool:
    return (folder / "hparams.yaml").is_file() or folder.name.startswith("version_")


def _found(files: Files, runs: dict[Path, list[Path]]) -> Found:
    networks: dict[str, Path] = {}
    passed: dict[Path, str] = {}
    for paths in runs.values():
        best, others = choose([path for path in paths if not path.name.startswith("last")] or paths)
        fold = files.fold(best)
        key = REFIT if fold is None else f"fold_{fold}"
        if key in networks:
            passed[best] = f"{networks[key]} is used for {key}"
        networks.setdefault(key, best)
        passed |= others | {path: f"{best.name} is used" for path in paths if path != best}
    first = next(iter(networks.values()))
    settings = settings_near(first, files.top(first))
    name = files.model(first)
    return Found(
        settings.backbone or name if REFIT in networks else name or settings.backbone,
        "lightning",
        dict(sorted(networks.items(), key=lambda each: (len(each[0]), each[0]))),
        settings=settings,
        passed_over=passed,
    )

"""The record of the last run of a store: its recipe, versions and times, for reports and to run it again."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from committee._version import __version__
from committee.recipe.model import Recipe
from committee.store.commit import write_json
from committee.store.layout import Store
from committee.untrusted.documents import read_json

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "onnxruntime")


def write_run(recipe: Recipe, store: Store, seconds: Mapping[str, float]) -> None:
    """Write `metrics/run.json`, replacing that of an earlier run.

    Parameters
    ----------
    recipe : Recipe
        Its keys with other values than the defaults are written; they are a recipe for the same run.
    store : Store
    seconds : mapping of str to float
        Duration of each stage.
    """
    write_json(
        store.run_report(),
        {
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "recipe": recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            "versions": _versions(),
            "seconds": {stage: round(time, 3) for stage, time in seconds.items()},
        },
    )


def read_run(store: Store) -> dict[str, Any]:
    """Return the record of the last run; empty if there is none.

    Raises
    ------
    StoreError
        The file is damaged.
    """
    path = store.run_report()
    return read_json(path, "the record of a run") if path.is_file() else {}


def _versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of the packages on which results depend."""
    found = {"committee": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""The last stage: package members and ensembles of a store, each file compared with its model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from committee.errors import CommitteeError, ExportError, StoreError
from committee.executors.attempt import attempt
from committee.executors.line import do_all
from committee.exporters._module import ModulePredictor
from committee.exporters._package import Status, failures, package
from committee.exporters._parity import several_sizes
from committee.exporters.base import EXPORTERS, Card
from committee.images.cache import FILE
from committee.images.decode import decode
from committee.images.record import load_record, recorded_settings
from committee.images.source import read
from committee.pipeline.discover import require_store
from committee.pipeline.shared.choose import trusted_backbones
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import model_source
from committee.pipeline.shared.sets import model_table
from committee.recipe.model import Recipe
from committee.store.layout import Store

PARITY_IMAGES = 3


def export(recipe: Recipe, store: Store, names: Sequence[str] = (), *, out: Path | None = None) -> Outcome:
    """Package models in the formats of `recipe.exports`; what is packaged already is left as it is.

    Parameters
    ----------
    recipe : Recipe
        Formats, project name and version; the backbones that may be built.
    store : Store
        A store with trained members.
    names : sequence of str
        Members and ensembles, by full or short name; all of the store when empty.
    out : Path, optional
        Folder that gets a folder a model; `deploy` of the store when left out.

    Returns
    -------
    Outcome
        `done` names the models packaged, `failed` also single formats, `unbuilt` those not there yet.
        `export_status.json` of each package has all of it.

    Raises
    ------
    UnknownNameError
        The store has no such model.
    """
    outcome = Outcome(unbuilt=[key for key in recipe.unbuilt() if key.startswith("exports.")])
    with store.hold():
        wanted = list(dict.fromkeys(models(store, names)))
        made = do_all(_Packages(recipe, store, out), wanted, recipe.workers, "packages")
    for name, result in made.items():
        with outcome.attempt(name):
            if isinstance(result, Exception):
                raise result
            outcome.failed |= _failed(name, result)
    return outcome


@dataclass(frozen=True)
class _Packages:
    """The packages of several models, for any process that helps."""

    recipe: Recipe
    store: Store
    out: Path | None

    def do(self, name: str) -> Status | Exception:
        """Package a model; return the status of its formats, or why there is none."""
        made: list[Status] = []
        error = attempt(lambda: made.append(self._package(name)))
        return made[0] if error is None else error

    def name(self, name: str) -> str:
        """Return the name of the model."""
        return name

    def _package(self, name: str) -> Status:
        return _package(self.recipe, self.store, name, package_folder(self.store, name, self.out))


def models(store: Store, names: Sequence[str]) -> list[str]:
    """Return the full names of the models meant: all of the store when `names` is empty.

    Raises
    ------
    UnknownNameError
        The store has no such model.
    StoreError
        There is no store, or nothing in it.
    """
    require_store(store)
    found = [store.resolve(name) for name in names] or [*store.members(), *store.ensembles()]
    if not found:
        raise StoreError(
            str(store.root), expected="a trained member", got="none", todo="Run: committee train RECIPE"
        )
    return found


def package_folder(store: Store, name: str, out: Path | None) -> Path:
    """Return where the package of a model goes."""
    return store.deploy(name) if out is None else out / name


def read_status(folder: Path) -> Status | None:
    """Return what `export_status.json` of a package says; None where there is none."""
    path = folder / "export_status.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _package(recipe: Recipe, store: Store, name: str, folder: Path) -> Status:
    module, facts = load_model(store, name, trusted=trusted_backbones(recipe))
    facts |= {"project": recipe.project.model_dump(), "sets": model_table(store, facts)}
    card = Card(name, tuple(facts.pop("class_names")), facts)
    images = _real_images(recipe, store, ModulePredictor(module, name, card.class_names).channels)
    return package(
        module,
        card,
        folder,
        recipe.exports.formats,
        several_sizes(images),
        fingerprint=model_source(store, name),
    )


def _failed(name: str, status: Status) -> dict[str, str]:
    """Return the formats that failed although they are built; raise where no other is left."""
    failed = {key: reason for key, reason in failures(status).items() if key in EXPORTERS.names()}
    if failed and len(failures(status)) == len(status["formats"]):
        raise ExportError(name, expected="a format that can be made", got=next(iter(failed.values())))
    return {f"{name} ({key})": reason for key, reason in failed.items()}


def _real_images(recipe: Recipe, store: Store, channels: int) -> list[NDArray[np.uint8]]:
    """Return some images of the data set, uint8 `[c, H, W]`: as their files hold them, or else as cached."""
    try:
        settings = recipe.dataset
        if not settings.is_named:
            settings = recorded_settings(load_record(store), settings, store)
        samples = read(settings)
        rows = [row for row, split in enumerate(samples.splits) if split == "train"]
        return [decode(samples.images[row], channels, name=samples.ids[row]) for row in _spread(rows)]
    except CommitteeError:
        # A store may be taken to where its images are not.
        for path in sorted(store.root.glob(f"cache/*/{FILE}")):
            canvas = np.load(path, mmap_mode="r", allow_pickle=False)
            if canvas.shape[3] == channels:
                return [canvas[row].transpose(2, 0, 1).copy() for row in _spread(range(len(canvas)))]
        raise


def _spread(rows: Sequence[int]) -> list[int]:
    """Return some rows from the first to the last."""
    places = np.linspace(0, len(rows) - 1, PARITY_IMAGES).round().astype(int)
    return [rows[place] for place in dict.fromkeys(places.tolist())]

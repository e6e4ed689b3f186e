"""Packages of stored models: the module, its card, and real images to compare and to calibrate with."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from committee.base.randomness import derive
from committee.errors import CommitteeError, DataError
from committee.exporters.base import Card
from committee.images.cache import FILE
from committee.images.dataset import Dataset, open_dataset
from committee.images.decode import decode
from committee.images.record import load_record, recorded_settings
from committee.images.source import read
from committee.images.view import View, views_by_canvas
from committee.models.predictor import Images, ModulePredictor
from committee.pipeline.model_card.package import write_card
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.package import CALIBRATION_IMAGES, Status, package, up_to_date
from committee.pipeline.shared.parity import several_sizes
from committee.pipeline.shared.photo import evenly_spaced
from committee.pipeline.shared.records import model_source
from committee.pipeline.shared.sets import model_table
from committee.recipe.exports import ExportFormat
from committee.recipe.model import Recipe
from committee.store.layout import Store

PARITY_IMAGES = 3
PARITY_SIDE = 256
"""Largest side of the crops of images on which maps are compared."""


def package_model(
    recipe: Recipe, store: Store, name: str, folder: Path, formats: Sequence[str | ExportFormat]
) -> Status:
    """Write a stored model in several formats, unless all of them are up to date, and its model card.

    Parameters
    ----------
    recipe : Recipe
    store : Store
    name : str
        Full name of a member or an ensemble.
    folder : Path
        The folder of the package.
    formats : sequence of str or ExportFormat

    Raises
    ------
    StoreError
        A file of the model is damaged.
    DataError
        Neither the images of the data set nor their cache can be read.

    See Also
    --------
    committee.pipeline.shared.package.package : Writes the formats.
    committee.pipeline.model_card.package.write_card : Writes the card.
    """
    source, project = model_source(store, name), recipe.project.model_dump()
    wanted = [ExportFormat.of(each) for each in formats]
    done = up_to_date(folder, wanted, source, {"project": project})
    if done is None:  # else the model need not be loaded
        done = _package(recipe, store, name, folder, wanted)
    write_card(recipe, store, name, folder)
    return done


def _package(
    recipe: Recipe, store: Store, name: str, folder: Path, formats: Sequence[ExportFormat]
) -> Status:
    module, facts = load_model(store, name, trusted=recipe.trusted_backbones())
    facts |= {"project": recipe.project.model_dump(), "sets": model_table(store, facts)}
    del facts["class_names"]  # the module has them
    card = Card.of(module, name, facts)
    if card.target_type.dense:
        images = _crops(recipe, store, module)
    else:
        images = _real_images(recipe, store, ModulePredictor(module, name, card.class_names).channels)
    return package(
        module,
        card,
        folder,
        formats,
        several_sizes(images),
        fingerprint=model_source(store, name),
        calibration=functools.partial(calibration_images, recipe, store, module),
    )


def calibration_images(
    recipe: Recipe, store: Store, module: nn.Module, count: int = CALIBRATION_IMAGES
) -> Images:
    """Return random images of the train split, uint8 `[N, c, S, S]`, from the cache of decoded images.

    S is the side of the largest canvas that the networks of the module read.

    Raises
    ------
    DataError
        The cache lacks these images, and the images of the data set cannot be read.
    """
    dataset, view = cached_images(recipe, store, module)
    return some_images(dataset, view, dataset.rows("train"), count, recipe.seed)


def some_images(dataset: Dataset, view: View, rows: NDArray[np.int64], count: int, seed: int) -> Images:
    """Return images of some random rows, uint8 `[N, c, S, S]`."""
    chosen = np.random.default_rng(derive(seed, "calibration")).permutation(rows)[:count]
    return dataset.images(np.sort(chosen), view).contiguous().numpy()


def cached_images(recipe: Recipe, store: Store, module: nn.Module) -> tuple[Dataset, View]:
    """Return the data set of a store, and the view of a module that reads its largest canvas.

    Raises
    ------
    DataError
        The cache lacks the images of this canvas, and the images of the data set cannot be read.
    """
    views = views_by_canvas(module)
    spec = max(views)
    try:
        return open_dataset(recipe.dataset, store, canvases=[spec], folds=0, seed=recipe.seed), views[spec]
    except CommitteeError as error:
        raise DataError(
            str(store),
            expected="the cache of decoded images {}-{}-{}, or the images themselves".format(*spec),
            got=str(error).partition("\n")[0].rstrip("."),
            todo="Name the folder of the images with --set dataset.path=FOLDER.",
        ) from error


def _crops(recipe: Recipe, store: Store, module: nn.Module) -> list[NDArray[np.uint8]]:
    """Return the corners of some training images of maps, uint8 `[c, H, W]`."""
    dataset, view = cached_images(recipe, store, module)
    assert dataset.maps is not None
    side = min(view.size, PARITY_SIDE)
    rows = evenly_spaced(dataset.rows("train").tolist(), PARITY_IMAGES)
    return [np.array(dataset.maps.image(row)[:side, :side].transpose(2, 0, 1)) for row in rows]


def _real_images(recipe: Recipe, store: Store, channels: int) -> list[NDArray[np.uint8]]:
    """Return some images of the data set, uint8 `[c, H, W]`, from their files or else from the cache."""
    try:
        settings = recipe.dataset
        if not settings.is_named:
            settings = recorded_settings(load_record(store), settings, store)
        samples = read(settings)
        rows = [row for row, split in enumerate(samples.splits) if split == "train"]
        return [
            decode(samples.images[row], channels, name=samples.ids[row])
            for row in evenly_spaced(rows, PARITY_IMAGES)
        ]
    except CommitteeError:
        # A copy of a store may be used where the images do not exist.
        for path in sorted(store.root.glob(f"cache/*/{FILE}")):
            canvas = np.load(path, mmap_mode="r", allow_pickle=False)
            if canvas.shape[3] == channels:
                return [
                    canvas[row].transpose(2, 0, 1).copy()
                    for row in evenly_spaced(range(len(canvas)), PARITY_IMAGES)
                ]
        raise

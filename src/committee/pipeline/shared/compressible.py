"""The float32 files of a stored model, and the rows and images on which compressed ones are measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from committee.errors import ExportError
from committee.exporters.base import EXPORTERS, Card
from committee.images.dataset import Dataset
from committee.images.view import View
from committee.models.predictor import Images, Predictor
from committee.pipeline.shared.held_out import HeldOut, choosing_rows, predict_rows, test_rows
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.package import failures
from committee.pipeline.shared.package_model import cached_images, package_model, some_images
from committee.pipeline.shared.photo import Photos, photos_of
from committee.recipe.model import Recipe
from committee.store.layout import Store

BATCH = 32
"""Images of the larger batch whose latency is measured."""


@dataclass(frozen=True, eq=False)
class Model:
    """A stored model with its float32 file, the file on which choices are made, and the images.

    Attributes
    ----------
    name : str
    folder : Path
        The package.
    file, choosing_file : Path
        The float32 ONNX files of the deployed networks, and of the networks that have not seen `choosing`.
    choosing : HeldOut
        The rows of the choice.
    test : HeldOut or None
        The rows of the report.
    dataset : Dataset
    view : View
        Reads the images of both files.
    photos : Photos
        The images on which latency is measured.
    """

    name: str
    folder: Path
    file: Path
    choosing_file: Path
    choosing: HeldOut
    test: HeldOut | None
    dataset: Dataset
    view: View
    photos: Photos

    def calibration(self, count: int, seed: int, choosing: bool) -> Images:
        """Return random training images, uint8 `[N, c, S, S]`; for the choice, without its rows."""
        rows = self.dataset.rows("train")
        rows = np.setdiff1d(rows, self.choosing.rows) if choosing else rows
        return some_images(self.dataset, self.view, rows, count, seed)

    def outputs(self, predictor: Predictor, held_out: HeldOut) -> Any:
        """Return the log-probabilities or numbers of rows."""
        return predict_rows(predictor, self.dataset, self.view, held_out.rows)


def open_model(recipe: Recipe, store: Store, name: str, rows: int, temporary: Path) -> Model:
    """Export a stored model to ONNX, unless that is done, and find rows that were held out.

    Raises
    ------
    StoreError
        The networks have seen all rows.
    ExportError
        The model cannot be written as ONNX.
    DataError
        Neither the images of the data set nor their cache can be read.
    """
    module, _ = load_model(store, name, trusted=recipe.trusted_backbones())
    dataset, view = cached_images(recipe, store, module)
    choosing = choosing_rows(store, name, dataset, rows, recipe.seed)
    folder = store.deploy(name)
    status = package_model(recipe, store, name, folder, ["onnx"])
    if reason := failures(status).get("onnx"):
        raise ExportError(reason)
    file = folder / status["formats"]["onnx"]["file"]
    choosing_file = file
    if choosing.inference is not None:
        trained_without, _ = load_model(
            store, name, inference=choosing.inference, trusted=recipe.trusted_backbones()
        )
        example = torch.from_numpy(dataset.images(choosing.rows[:2], view).contiguous().numpy())
        card = Card.of(trained_without, name)
        choosing_file = EXPORTERS.make("onnx").export(trained_without, example, temporary, card)
    test = test_rows(store, name, dataset, rows, recipe.seed)
    photos = photos_of(store, view.channels, BATCH)
    return Model(name, folder, file, choosing_file, choosing, test, dataset, view, photos)

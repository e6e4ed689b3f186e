"""Predict photos with a stored model or an exported file. With an ONNX file, no torch is imported."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, UsageError, printable
from committee.exporters._onnx_file import OnnxPredictor
from committee.exporters._predictor import Images, Predictor
from committee.images.decode import decode, find_images, image_error
from committee.images.threads import in_order
from committee.store.manifest import NAME, read_manifest

if TYPE_CHECKING:
    from committee.recipe.model import Recipe
    from committee.store.layout import Store

PIXELS_AT_ONCE = 2**24
"""Limit of a batch: photos of 12 megapixels go one by one, whatever the batch size."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer for one photo.

    Attributes
    ----------
    id : str
        `photo_id`: its path as it was given or found, with `/`.
    probabilities : float32 array [C] or None
        None where the photo could not be read.
    reason : str
        Why it could not.
    """

    id: str
    probabilities: NDArray[np.float32] | None
    reason: str = ""


def open_model(name: str, store: Store, recipe: Recipe) -> Predictor:
    """Open a model of the store, by full or short name, or an ONNX file, by a path that ends in `.onnx`.

    Raises
    ------
    UnknownNameError, StoreError, DeviceError, DependencyError
        There is no such model, it is damaged, or cannot run here.
    """
    if name.lower().endswith(".onnx"):
        if (Path(name).parent / NAME).is_file():  # where `export` put it; a copy elsewhere has no checksums
            read_manifest(Path(name).parent)
        return OnnxPredictor(name, recipe.device)
    from committee.base.devices import resolve
    from committee.exporters._module import ModulePredictor
    from committee.pipeline.shared.choose import trusted_backbones
    from committee.pipeline.shared.models import load_model
    from committee.pipeline.shared.sets import model_table

    module, facts = load_model(store, name, trusted=trusted_backbones(recipe))
    known = {**facts, "sets": model_table(store, facts)}
    return ModulePredictor(module, facts["name"], facts["class_names"], resolve(recipe.device), known)


def find_photos(paths: Iterable[str | Path]) -> list[Path]:
    """Return the files named and the images in the folders named, each once; folders are searched through.

    Raises
    ------
    UsageError
        A path is not there, or a folder cannot be read.
    DataError
        A folder holds no image.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        try:
            inside = find_images(path) if path.is_dir() else [path] if path.exists() else None
        except OSError as error:
            where = printable(str(error.filename or path))
            raise UsageError(where, expected="what can be read", got=str(error.strerror)) from error
        if inside is None:
            raise UsageError(str(path), expected="an image or a folder of images", got="no such file")
        if not inside:
            raise DataError(str(path), expected="JPEG, PNG or WebP images", got="a folder without any")
        found |= dict.fromkeys(inside)
    return list(found)


def predict(model: Predictor, photos: Sequence[Path], *, batch_size: int = 32) -> Iterator[Prediction]:
    """Predict photos of any sizes, in their order, as the answers come.

    Parameters
    ----------
    model : Predictor
    photos : sequence of Path
    batch_size : int
        Most photos that go through the model at once: those of a batch have one size.

    Yields
    ------
    Prediction
        One a photo. One that cannot be read has the reason, and does not end the run.
    """
    window: list[tuple[str, Images | str]] = []
    for entry in _decoded(photos, model.channels):
        window.append(entry)
        pixels = sum(image[0].size for _, image in window if not isinstance(image, str))
        if len(window) >= batch_size or pixels >= PIXELS_AT_ONCE:
            yield from _answer(model, window)
            window = []
    yield from _answer(model, window)


def photo_id(path: Path) -> str:
    """Return what a photo is called in answers: bytes in its name that are no text become escapes."""
    return path.as_posix().encode(errors="backslashreplace").decode()


def _decoded(photos: Sequence[Path], channels: int) -> Iterator[tuple[str, Images | str]]:
    """Decode in threads, a few photos ahead; one that cannot be read becomes its error's sentence."""
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        images = in_order(pool, lambda path: _decode(path, channels), photos, 2 * threads)
        yield from zip(map(photo_id, photos), images, strict=True)


def _decode(path: Path, channels: int) -> Images | str:
    try:
        return decode(path, channels)
    except DataError as error:
        return str(error)
    except MemoryError:
        return str(image_error(str(path), "more than the memory holds"))


def _answer(model: Predictor, window: Sequence[tuple[str, Images | str]]) -> Iterator[Prediction]:
    """Run the photos of a window, those of one size together; answer in the order they came."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, (_, image) in enumerate(window):
        if not isinstance(image, str):
            by_shape.setdefault(image.shape, []).append(index)
    answers: dict[int, NDArray[np.float32]] = {}
    for indices in by_shape.values():
        batch = np.stack([window[index][1] for index in indices])
        answers |= dict(zip(indices, model(batch), strict=True))
    for index, (name, image) in enumerate(window):
        if isinstance(image, str):
            yield Prediction(name, None, image)
        else:
            yield Prediction(name, answers[index])

"""Prediction of images with a stored model or an exported file.

An exported file whose runtime is not torch is opened and run without importing torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, UsageError, sentence
from committee.exporters.base import open_exported
from committee.images.canvas_of import canvas_of
from committee.images.decode import image_error
from committee.images.threads import in_order
from committee.inference.named import path_of
from committee.inference.photos import Photo, photo_id, read_photo
from committee.inference.rules import why_wrong
from committee.inference.time_limit import SECONDS, TimeLimit
from committee.models.predictor import Canvas, Images, Predictor
from committee.models.tiling import OVERLAP, TILE, check_tiles, tiled, tiles_at_once
from committee.pipeline.bundling.reading import is_bundle, open_bundle
from committee.predictions.target_types import target_type_of
from committee.store.remote.downloads import by_address

if TYPE_CHECKING:
    from committee.inference.wanted import Wanted
    from committee.recipe.model import Recipe
    from committee.store.layout import Store

PIXELS_AT_ONCE = 2**24
"""Largest number of pixels in a batch; an image of 12 megapixels is predicted alone, unless it is resized."""
Entry = tuple[str, list[Images] | str]
"""The id of an image, and the image, its canvases or the text of its error."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """The probabilities of one image, or its numbers, or maps of them.

    Parameters
    ----------
    id : str
        `photo_id` of the image: its path as given or found, with `/` between its parts.
    probabilities : float32 array [C], or [C, H, W] of a model of maps, or None
        None if the image could not be read.
    reason : str
        Why the image could not be read.

    See Also
    --------
    predict : Yields one for each image.
    Answers : Turns the probabilities into a class.

    Examples
    --------
    >>> from committee.inference.predict import Prediction
    >>> Prediction("a.jpg", None, "a.jpg: the file does not exist.").probabilities is None
    True
    """

    id: str
    probabilities: NDArray[np.float32] | None
    reason: str = ""


@by_address()
def open_model(
    name: str,
    store: Store,
    recipe: Recipe,
    stream: bool | None = None,
    wanted: Wanted | None = None,
) -> Predictor:
    """Open a model of a store or an exported file for prediction.

    Parameters
    ----------
    name : str
        Name of a member or an ensemble of the store, in full or short; or the path of an exported file, of a
        folder that `committee export` wrote, or of a bundle, or its address, such as `s3://bucket/model.onnx`.
        A model of the store is preferred to a folder of the same name in the working folder, which is named
        as `./NAME`.
    store : Store
    recipe : Recipe
        Its device, and the `python:` backbones that may be built.
    stream : bool, optional
        Whether the networks of a model of the store are loaded one after the other (see `load_model`); by
        default, if they do not fit in the memory that is free.
    wanted : Wanted, optional
        The engine for a model of the store, and for what; by default, it runs as it is.

    Raises
    ------
    UsageError
        The path does not exist, or is not an exported file, or `stream` is true for a file, or an engine
        cannot run the model.
    UnknownNameError
        The store has no such model.
    StoreError
        A file is damaged.
    DeviceError, DependencyError
        The model cannot be run here.
    """
    if (path := path_of(name, store)) is not None:
        if stream:
            raise UsageError(
                "--stream",
                expected="a model of the store",
                got=f"the path {path}",
                todo="An exported file is opened as a whole: leave it out.",
            )
        if wanted is not None and wanted.is_named:
            raise _no_engine(wanted, "a model of the store", f"the path {path}")
        if is_bundle(path):
            return open_bundle(path, recipe.device)
        return open_exported(path, recipe.device, recipe.trusted())
    from committee.base.devices import resolve
    from committee.models.predictor import ModulePredictor
    from committee.models.streamed import StreamedPredictor
    from committee.pipeline.shared.models import is_too_large, load_model
    from committee.pipeline.shared.sets import model_table

    device = resolve(recipe.device)
    stream = is_too_large(store, name, device) if stream is None else stream
    module, facts = load_model(store, name, trusted=recipe.trusted_backbones(), stream=stream)
    provenance = {**facts, "sets": model_table(store, facts)}
    if stream:
        if wanted is not None and wanted.is_named:
            raise _no_engine(wanted, "a model that fits in memory", "networks that are loaded one by one")
        return StreamedPredictor(module, facts["name"], facts["class_names"], device, provenance)
    if wanted is not None:
        from committee.inference.engines import on_engine

        module = on_engine(module.to(device), store, facts, device, wanted)
    return ModulePredictor(module, facts["name"], facts["class_names"], device, provenance)


def _no_engine(wanted: Wanted, expected: str, got: str) -> UsageError:
    return UsageError(f"--engine {wanted.engine}", expected=expected, got=got, todo="Leave the option out.")


def predict(
    model: Predictor,
    photos: Sequence[Photo],
    *,
    batch_size: int = 32,
    time_limit: float = SECONDS,
    tile: int = TILE,
    overlap: float = OVERLAP,
) -> Iterator[Prediction]:
    """Predict images of any sizes, in order.

    Parameters
    ----------
    model : Predictor
    photos : sequence of Path or RemoteFile
        Image files.
    batch_size : int
        Largest number of images in one call of the model. Images of a batch have the same size, unless the
        model says which squares it reads of them (`Predictor`), to which they are resized before. A model of
        maps gets at most so many tiles of one image, and at most a million pixels unless one tile has more.
    time_limit : float
        Seconds in which the model has to answer for one image, or for one tile.
    tile, overlap : int, float
        Of a model of maps: side of the tiles of large images in pixels, and their overlap as a fraction of
        it; see `committee.models.tiling.tiled`.

    Yields
    ------
    Prediction
        One for each image, as soon as its batch is predicted. For an image that cannot be read, or for which
        the model does not return probabilities of its classes, or numbers, it contains the reason.

    Raises
    ------
    TimeLimitError
        The model did not answer in time.

    See Also
    --------
    open_model : Open the model.
    committee.inference.photos.find_photos : Find the images.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from torch import nn
    >>> from committee.inference.photos import find_photos
    >>> from committee.inference.predict import predict
    >>> from committee.models.member import Member
    >>> from committee.models.predictor import ModulePredictor
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    >>> member = Member.from_module(net, classes=["cat", "dog"], size=8)
    >>> model = ModulePredictor(member, "pets", member.class_names)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (40, 30)).save(Path(folder) / "black.png")
    ...     [prediction.probabilities.shape for prediction in predict(model, find_photos([folder]))]
    [(2,)]
    """
    canvases = canvases_of(model)
    entries = _decoded(photos, model.channels, canvases, batch_size if canvases else 0)
    limited = TimeLimit(model, time_limit)
    yield from predict_entries(limited, entries, batch_size=batch_size, tile=tile, overlap=overlap)


def canvases_of(model: Predictor) -> Sequence[Canvas]:
    """Return the squares that a model needs of an image; none if it needs whole images."""
    canvases: Sequence[Canvas] = () if target_type_of(model).dense else getattr(model, "canvases", ())
    return canvases


def predict_entries(
    limited: TimeLimit,
    entries: Iterable[Entry],
    *,
    batch_size: int = 32,
    tile: int = TILE,
    overlap: float = OVERLAP,
) -> Iterator[Prediction]:
    """Predict images that are decoded already, in order; the options are those of `predict`.

    An entry has the `canvases_of` the model, or the whole image.
    """
    model, window = limited.model, list[Entry]()
    if target_type_of(model).dense:
        tiles = tiles_of(batch_size, tile, overlap)
        yield from (predict_maps(limited, *entry, tiles) for entry in entries)
        return
    shelf = getattr(model, "shelf", None)
    most = batch_size if shelf is None else shelf.prepare(batch_size)
    for entry in entries:
        window.append(entry)
        pixels = sum(parts[0][0].size for _, parts in window if not isinstance(parts, str))
        if len(window) >= most or pixels * batch_size >= PIXELS_AT_ONCE * most:
            yield from predict_window(limited, window)
            window = []
    yield from predict_window(limited, window)


def tiles_of(batch_size: int, tile: int = TILE, overlap: float = OVERLAP) -> dict[str, Any]:
    """Return the options of `tiled` for a model of maps; `predict` has their meaning.

    Raises
    ------
    UsageError
        A value is not valid.
    """
    check_tiles(tile, overlap, batch_size)
    return {"tile": tile, "overlap": overlap, "batch": tiles_at_once(batch_size, tile)}


def _decoded(
    photos: Sequence[Photo], channels: int, canvases: Sequence[Canvas] = (), ahead: int = 0
) -> Iterator[Entry]:
    """Yield the id and the pixels of each image, or the text of its error; threads decode a few in advance.

    Images of which only canvases are needed are small, so that `ahead` more of them are made while the model
    runs: the whole next batch.
    """
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        images = in_order(pool, lambda photo: _decode(photo, channels, canvases), photos, 2 * threads + ahead)
        yield from zip(map(photo_id, photos), images, strict=True)


def _decode(photo: Photo, channels: int, canvases: Sequence[Canvas]) -> list[Images] | str:
    """Return the image uint8 `[c, H, W]`, or its canvases `[c, size, size]`, or the text of an error."""
    try:
        return parts_of(read_photo(photo, channels), canvases)
    except DataError as error:
        return str(error)
    except MemoryError:
        return str(image_error(str(photo), "one that does not fit in memory"))


def parts_of(image: Images, canvases: Sequence[Canvas]) -> list[Images]:
    """Return the canvases `[c, size, size]` of an image `[c, H, W]`, or the image if there are none."""
    return [canvas_of(image, size, fit) for size, fit, _ in canvases] or [image]


def predict_window(limited: TimeLimit, window: Sequence[Entry]) -> Iterator[Prediction]:
    """Yield the predictions of some images in their order; those of one size are predicted together."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, (_, parts) in enumerate(window):
        if not isinstance(parts, str):
            by_shape.setdefault(parts[0].shape, []).append(index)
    found: dict[int, Prediction] = {}
    for indices in by_shape.values():
        names = [window[index][0] for index in indices]
        alike = zip(*(cast("list[Images]", window[index][1]) for index in indices), strict=True)
        batch = [images[0][None] if len(images) == 1 else np.stack(images) for images in alike]
        found |= dict(zip(indices, _predict_batch(limited, names, batch), strict=True))
    for index, (name, parts) in enumerate(window):
        yield Prediction(name, None, parts) if isinstance(parts, str) else found[index]


def predict_maps(
    limited: TimeLimit, name: str, parts: list[Images] | str, tiles: Mapping[str, Any]
) -> Prediction:
    """Return the maps of an image, which may be the text of its error."""
    if isinstance(parts, str):
        return Prediction(name, None, parts)
    try:
        maps = tiled(limited, parts[0], **tiles)
    except DataError as error:
        return Prediction(name, None, f"{name}: {error}")
    reason = why_wrong(limited.model, maps)
    return Prediction(name, None, _wrong(name, limited.model, reason)) if reason else Prediction(name, maps)


def _predict_batch(limited: TimeLimit, names: Sequence[str], batch: list[Images]) -> list[Prediction]:
    """Return the predictions of images of one size; what is wrong with an answer is the reason."""
    model = limited.model
    try:
        rows = np.asarray(limited(batch if len(batch) > 1 else batch[0]))
    except DataError as error:
        return [Prediction(name, None, f"{name}: {error}") for name in names]
    if rows.shape[:1] != (len(names),):
        return [Prediction(name, None, _wrong(name, model, f"an array {list(rows.shape)}")) for name in names]
    reasons = [why_wrong(model, row) for row in rows]
    return [
        Prediction(name, None, _wrong(name, model, reason)) if reason else Prediction(name, row)
        for name, row, reason in zip(names, rows, reasons, strict=True)
    ]


def _wrong(image: str, model: Predictor, got: str) -> str:
    return sentence(
        image,
        f"{len(model.class_names)} {target_type_of(model).answers} from {model.name}",
        got,
        "Check the model, and the file that it was loaded from.",
    )

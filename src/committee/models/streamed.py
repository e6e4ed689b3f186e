"""Models larger than memory: networks that are loaded when they run, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from committee.images.view import View
from committee.models.batch import Batch
from committee.models.moments import has_variance
from committee.models.predictor import ModulePredictor
from committee.models.tasks import NamedOutputs
from committee.tasks.base import task_of_model

Load = Callable[[], nn.Module]


class Shelf:
    """The loaded networks of a model: the one that runs, and the next one, which is loaded meanwhile.

    The next network is the one that ran after this one the last time, so that those that cannot change the
    result are not loaded; the first time, it is the next in order.

    Attributes
    ----------
    images : int
        Images that a model predicts together, so that each network is loaded once for them.
    batch_size : int
        Largest number of images of a batch of a network.
    """

    def __init__(self, images: int = 512, batch_size: int = 32) -> None:
        self.images, self.batch_size = images, batch_size
        self._loads: list[Load] = []
        self._after: dict[int, int] = {}
        self._held: tuple[int, nn.Module] | None = None
        self._coming: tuple[int, Future[nn.Module]] | None = None
        self._pool = ThreadPoolExecutor(1, "committee-load")

    def add(self, load: Load) -> int:
        """Add a network by the function that loads it; return its place."""
        self._loads.append(load)
        return len(self._loads) - 1

    def prepare(self, batch_size: int) -> int:
        """Set the size of batches of a network, and return the number of images to predict together."""
        self.batch_size = batch_size
        return max(self.images, batch_size)

    def get(self, place: int) -> nn.Module:
        """Return a network, and start to load the next one; raise what loading it raised."""
        if self._held is not None and self._held[0] == place:
            return self._held[1]
        if self._held is not None:
            self._after[self._held[0]] = place
        coming, self._coming, self._held = self._coming, None, None
        is_coming = coming is not None and coming[0] == place
        future = coming[1] if coming is not None and is_coming else self._pool.submit(self._loads[place])
        self._held = place, future.result()
        following = self._after.get(place, place + 1)
        if following < len(self._loads):
            self._coming = following, self._pool.submit(self._loads[following])
        return self._held[1]


class Streamed(NamedOutputs, nn.Module):
    """A stored model that is loaded when it runs, as a member of an ensemble.

    It is loaded once when it is created, to verify its files and to know its classes, and then released.

    Parameters
    ----------
    load : callable
        Loads the model.
    shelf : Shelf
        Holds the loaded models.

    See Also
    --------
    committee.load_model : Loads a model in this way with `stream=True`.

    Examples
    --------
    >>> import torch
    >>> from committee.models import Ensemble, Member
    >>> from committee.models.streamed import Shelf, Streamed
    >>> def load():
    ...     net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    ...     return Member.from_module(net, classes=["cat", "dog"], size=8).eval()
    >>> shelf = Shelf()
    >>> ensemble = Ensemble([Streamed(load, shelf), Streamed(load, shelf)]).eval()
    >>> ensemble.predict(torch.zeros(4, 3, 20, 30, dtype=torch.uint8)).shape
    (4, 2)
    >>> sum(parameter.numel() for parameter in ensemble.parameters())
    0
    """

    takes_batches = True

    def __init__(self, load: Load, shelf: Shelf) -> None:
        super().__init__()
        model: Any = load()
        self.class_names, self.units = tuple(model.class_names), tuple(getattr(model, "units", ()))
        self.name, self.task = str(getattr(model, "name", "member")), task_of_model(model)
        self.has_variance = has_variance(model)
        self.parts = nn.ModuleList(_readers(model))
        self.shelf, self._place = shelf, shelf.add(load)

    def forward(self, images: Tensor | Batch) -> Tensor:
        """Return logits or numbers, float `[B, C]`, for images, uint8 `[B, c, H, W]`."""
        return self._run(images, lambda model, batch: batch.run(model))

    def infer(self, images: Tensor | Batch) -> Tensor:
        """Return the same as `forward`; networks that cannot change the result do not run."""
        return self._run(images, lambda model, batch: batch.run(model, lazy=True))

    def moments(self, images: Tensor | Batch) -> Tensor:
        """Return numbers and their variances, float `[B, T, 2]`."""
        return self._run(images, lambda model, batch: cast("Any", model).moments(batch))

    def save(self, folder: Path | str) -> None:
        """Write the files of the model."""
        cast("Any", self.shelf.get(self._place)).save(folder)

    def _run(self, images: Tensor | Batch, run: Callable[[nn.Module, Batch], Tensor]) -> Tensor:
        batch, size = Batch.of(images), self.shelf.batch_size
        model = self.shelf.get(self._place).to(batch.device)
        if batch.size <= size:
            return run(model, batch)
        rows = torch.arange(batch.size, device=batch.device)
        return torch.cat([run(model, batch.select(some)) for some in rows.split(size)])


class _Reader(nn.Module):
    """The preprocessing of a network that is not loaded; it tells what the network reads of an image."""

    takes_batches = True

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view


def _readers(model: nn.Module) -> Iterator[nn.Module]:
    """Yield what tells `canvases_of` and `channels_of` which parts of an image a model reads."""
    from committee.models.canvases import canvases_of  # which imports this

    known: list[Any] = []
    for part in model.modules():
        if isinstance(part, View) and part.options() not in known:
            known.append(part.options())
            yield _Reader(part)
    if not canvases_of(model):
        yield nn.Identity()  # reads whole images


def shelf_of(module: nn.Module) -> Shelf | None:
    """Return where the networks of a model are loaded; None if they are in memory."""
    return next((part.shelf for part in module.modules() if isinstance(part, Streamed)), None)


def together(shelf: Shelf, module: nn.Module, batches: Iterable[Tensor]) -> Iterator[Tensor | Batch]:
    """Yield batches of images as few batches of many, so that each network is loaded once for all of them.

    Parameters
    ----------
    shelf : Shelf
    module : nn.Module
        The model.
    batches : iterable of tensors, uint8 `[B, c, H, W]`
        Each of images of one size. If the model reads canvases of them, different sizes become one batch.
    """
    from committee.models.canvases import Canvases, canvases_of  # which imports this

    specs = canvases_of(module)
    views = {part.canvas: part for part in module.modules() if isinstance(part, View)}
    waiting: list[list[Tensor]] = []
    for batch in batches:
        if batch.dtype != torch.uint8 or {spec.channels for spec in specs} != {batch.shape[1]}:
            yield batch
            continue
        waiting.append([views[spec].whole(batch) for spec in specs])
        if sum(len(first) for first, *_ in waiting) >= shelf.images:
            yield Canvases(dict(zip(specs, map(torch.cat, zip(*waiting, strict=True)), strict=True)))
            waiting = []
    if waiting:
        yield Canvases(dict(zip(specs, map(torch.cat, zip(*waiting, strict=True)), strict=True)))


class StreamedPredictor(ModulePredictor):
    """A model whose networks are loaded when they run, as a `Predictor` of many images at once.

    See Also
    --------
    committee.models.predictor.ModulePredictor : Its parameters.
    """

    @property
    def shelf(self) -> Shelf | None:
        """Where the networks are loaded."""
        return shelf_of(self.module)

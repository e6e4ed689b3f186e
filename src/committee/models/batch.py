"""A batch of images, of which networks with the same preprocessing share the resized copy."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from committee.base.tracing import is_tracing
from committee.errors import UsageError
from committee.images.view import View

Transform = Callable[[Tensor, int], Tensor]
"""A view: from canvases, uint8 `[B, c, S, S]`, and a size to uint8 `[B, c, size, size]`; if the size is 0, of
whole images."""


def resizing(view: View) -> Hashable:
    """Return what the resized images of a view depend on: its size, fit and channels."""
    return type(view), view.size, view.fit, view.channels


def views_of_views() -> UsageError:
    """Return the error of a view of a model that is a view already."""
    return UsageError("test-time views", expected="a model without views", got="a view of another model")


class LazyRows:
    """Values of the rows of a batch, each computed at most once, when it is requested.

    Parameters
    ----------
    compute : callable
        Returns the values `[R, ...]` of rows, int64 `[R]`; called with None, those of all rows.
    size : int
        Number of rows of the batch.
    """

    def __init__(self, compute: Callable[[Tensor | None], Tensor], size: int) -> None:
        self._compute, self._size = compute, size
        self._values: Tensor | None = None
        self._done: Tensor | None = None

    def __call__(self, rows: Tensor | None = None) -> Tensor:
        """Return the values of some rows, or of all."""
        if rows is None and self._values is None:
            self._values = self._compute(None)
        elif self._values is None or self._done is not None:
            self._values = self._with_missing(rows)
        return self._values if rows is None else self._values[rows]

    def _with_missing(self, rows: Tensor | None) -> Tensor:
        if self._done is None:
            self._done = torch.zeros(self._size, dtype=torch.bool, device=cast("Tensor", rows).device)
        missing = (~self._done).nonzero()[:, 0] if rows is None else rows[~self._done[rows]]
        if len(missing) == self._size:
            self._done = None
            return self._compute(None)
        self._done[missing] = True
        if self._values is None:
            found = self._compute(missing)
            self._values = found.new_zeros(self._size, *found.shape[1:])
            self._values[missing] = found
        elif len(missing):
            self._values[missing] = self._compute(missing)
        return self._values


class _Normalized:
    """Normalized images, and whether a network has written to them."""

    def __init__(self, view: View, pixels: Tensor) -> None:
        with torch.inference_mode(False), torch.no_grad():  # tensors of inference mode have no version
            self.pixels = view.normalize(pixels)
        self._version = self.pixels._version

    @property
    def is_changed(self) -> bool:
        return self._version != self.pixels._version


class Batch:
    """Images and their resized copies, each computed once, for the networks that run on the same images.

    Members, ensembles and composites take a batch in place of the images. Networks whose `View` has the same
    size, fit and channels read one resized copy; those with the same mean and standard deviation, one
    normalized copy.

    Parameters
    ----------
    images : tensor [B, c, H, W]
        uint8, or what the modules that run on the batch accept.

    Attributes
    ----------
    images : tensor [B, c, H, W]
        The images. Those of a selection are copied at each access.
    source : tensor
        The images of the whole batch, also in a selection of its rows.

    See Also
    --------
    committee.images.view.View : The preprocessing.
    Ensemble : Runs its members on one batch.

    Examples
    --------
    >>> import torch
    >>> from committee.images.view import View
    >>> from committee.models.batch import Batch
    >>> batch = Batch(torch.zeros(2, 3, 300, 400, dtype=torch.uint8))
    >>> first, second = View(32, mean=0.5, std=0.5), View(32, mean=0.4, std=0.2)
    >>> batch.normalized(first).shape, batch.resized(first) is batch.resized(second)
    (torch.Size([2, 3, 32, 32]), True)
    """

    def __init__(self, images: Tensor) -> None:
        self.images = self.source = images
        self._resized: dict[Hashable, LazyRows] = {}

    @classmethod
    def of(cls, images: Tensor | Batch) -> Batch:
        """Return a batch of images; a batch is returned unchanged."""
        return images if isinstance(images, Batch) else cls(images)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Number of images; a symbol while a graph is recorded, where `len` would fix it."""
        return self.images.shape[0]

    @property
    def device(self) -> torch.device:
        """Device of the images."""
        return self.source.device

    def select(self, rows: Tensor) -> Batch:
        """Return the batch of some rows, int64 `[R]`; what is resized for it is kept for this batch too."""
        return _Part(self, rows)

    def resized(self, view: View, rows: Tensor | None = None) -> Tensor:
        """Return the pixels `[B, c, size, size]` in 0..255 that a view normalizes; see `View.cut`."""
        return self._shared(resizing(view), view.cut, rows)

    def canvas(self, view: View, rows: Tensor | None = None) -> Tensor:
        """Return the canvases uint8 `[B, c, S, S]` that a view reads; see `View.whole`."""
        return self._shared(("canvas", resizing(view)), view.whole, rows)

    def _shared(self, key: Hashable, compute: Callable[[Tensor], Tensor], rows: Tensor | None) -> Tensor:
        if key not in self._resized:
            images = self.images
            self._resized[key] = LazyRows(
                lambda missing: compute(images if missing is None else images[missing]), self.size
            )
        return self._resized[key](rows)

    def under(self, views: Sequence[Transform]) -> Batch:
        """Return the batch of the images under several test-time views: all of the first view, then the next.

        Parameters
        ----------
        views : sequence of callables
            Such as `committee.models.views.SingleView`; V of them make a batch of V times as many images.
        """
        return _Under(self, views)

    def normalized(self, view: View) -> Tensor:
        """Return the images preprocessed by a view, float32 `[B, c, size, size]`.

        Networks with the same normalization get the same tensor, unless one of them has changed it.
        """
        if is_tracing():
            return view.normalize(self.resized(view))
        key = resizing(view), view.mean, view.std
        known: dict[Hashable, _Normalized] = self.__dict__.setdefault("_normalized", {})
        if key not in known or known[key].is_changed:
            known[key] = _Normalized(view, self.resized(view))
        return known[key].pixels

    def run(self, module: nn.Module, *, lazy: bool = False) -> Tensor:
        """Return the output of a module for the images.

        Parameters
        ----------
        module : nn.Module
            If its attribute `takes_batches` is true, it gets the batch; otherwise it gets the images.
        lazy : bool
            Whether to call the method `infer` of the module, if it has one.
        """
        call: Any = module.infer if lazy and hasattr(type(module), "infer") else module
        return cast("Tensor", call(self if getattr(module, "takes_batches", False) is True else self.images))


class _Part(Batch):
    """Some rows of a batch."""

    def __init__(self, whole: Batch, rows: Tensor) -> None:
        self._whole, self._rows, self.source = whole, rows, whole.source

    @property
    def images(self) -> Tensor:  # type: ignore[override]
        return self._whole.images[self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def size(self) -> int:
        return len(self._rows)

    def select(self, rows: Tensor) -> Batch:
        return self._whole.select(self._rows[rows])

    def resized(self, view: View, rows: Tensor | None = None) -> Tensor:
        return self._whole.resized(view, self._rows if rows is None else self._rows[rows])

    def canvas(self, view: View, rows: Tensor | None = None) -> Tensor:
        return self._whole.canvas(view, self._rows if rows is None else self._rows[rows])


class _Under(Batch):
    """The images of a batch under several views, as one batch."""

    def __init__(self, whole: Batch, views: Sequence[Transform]) -> None:
        self._whole, self._views, self.source = whole, tuple(views), whole.source
        self._pixels: dict[Hashable, Tensor] = {}

    @property
    def images(self) -> Tensor:  # type: ignore[override]
        raise UsageError(
            "test-time views",
            expected="a model that preprocesses uint8 images by itself",
            got="another",
            todo="Wrap it with Member.from_module, and give it images of type uint8.",
        )

    def __len__(self) -> int:
        return len(self._views) * len(self._whole)

    @property
    def size(self) -> int:
        return len(self._views) * self._whole.size

    def canvas(self, view: View, rows: Tensor | None = None) -> Tensor:
        raise views_of_views()

    def resized(self, view: View, rows: Tensor | None = None) -> Tensor:
        key = resizing(view)
        if key not in self._pixels:
            canvas = self._whole.canvas(view)
            size = view.size if view.canvas.size else 0
            self._pixels[key] = torch.cat([each(canvas, size) for each in self._views])
        return self._pixels[key] if rows is None else self._pixels[key][rows]

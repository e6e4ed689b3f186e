"""Canvases of images: all that the networks of a model read of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from torch import Tensor, nn

from committee.images.view import CanvasSpec, View
from committee.models.batch import Batch
from committee.models.member import Member


class Canvases(Batch):
    """Canvases of the same images: each network of a module gets the one that its preprocessing reads.

    Parameters
    ----------
    canvases : mapping of CanvasSpec to uint8 tensor `[B, c, size, size]`

    See Also
    --------
    canvases_of : The canvases that a module needs.
    """

    def __init__(self, canvases: Mapping[CanvasSpec, Tensor]) -> None:
        super().__init__(canvases[max(canvases)])
        self.canvases = canvases

    def resized(self, view: View, rows: Tensor | None = None) -> Tensor:
        """Return the pixels `[B, c, size, size]` in 0..255 that a view normalizes; see `View.cut`."""
        pixels = view.cut(self.canvases[view.canvas])
        return pixels if rows is None else pixels[rows]

    def canvas(self, view: View, rows: Tensor | None = None) -> Tensor:
        """Return the canvas that a view reads, uint8 `[B, c, S, S]`."""
        pixels = self.canvases[view.canvas]
        return pixels if rows is None else pixels[rows]


def canvases_of(module: nn.Module) -> tuple[CanvasSpec, ...]:
    """Return the canvases that a module reads of an image; none if it may read anything else of it.

    Examples
    --------
    >>> import torch
    >>> from committee.models.canvases import canvases_of
    >>> from committee.models.member import Member
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    >>> canvases_of(Member.from_module(net, classes=["cat", "dog"], size=8))
    (CanvasSpec(size=10, fit='crop', channels=3),)
    >>> canvases_of(net)
    ()
    """
    if getattr(module, "runs_model", False):
        found = canvases_of(cast("Any", module).model)
        return found if len(found) == 1 else ()  # engines take tensors
    views = list(_views(module))
    specs = {view.canvas for view in views if view is not None}
    return () if None in views or not all(spec.size for spec in specs) else tuple(sorted(specs))


def _views(module: nn.Module) -> Iterable[View | None]:
    """Yield the views by which a module reads images, and None for a part that reads them by itself."""
    view = getattr(module, "view", None)
    if isinstance(view, View):
        yield view
    if isinstance(module, Member):
        return
    parts = [part for name in ("model", "members", "parts") for part in _modules(getattr(module, name, ()))]
    if getattr(module, "takes_batches", False) is not True or not (parts or view):
        yield None
    for part in parts:
        yield from _views(part)


def _modules(found: nn.Module | Iterable[nn.Module]) -> list[nn.Module]:
    return [found] if isinstance(found, nn.Module) and not isinstance(found, nn.ModuleList) else list(found)

"""The base class of sets of test-time views, and a single view of a set."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from committee.base.registry import Family
from committee.errors import UnknownNameError, UsageError, nearest
from committee.models.squares import center

IDENTITY = "identity"


class Views(nn.Module, ABC):
    """Base class of sets of views: transformed copies of an image, under which a network predicts it again.

    A view is a function of the *canvas* of an image: the square to which a network's preprocessing resizes
    the image, before the center is cropped and before pixels are normalized. So a view is defined by the
    size of the network's input and not by that of the photo, all views of a batch have one size, and stored
    canvases give the same pixels as original photos. An entry states the `names` of its views and implements
    `transform`. A constructor stores its arguments under their own names.

    A network of maps sees views of whole images, which keep their own size: `size` is 0 then, and an entry
    whose views show the whole image also implements `undo`.

    Parameters
    ----------
    names : iterable of str
        Names of the views besides the identity. A name says what the view does, including its parameters:
        views of equal names are equal, in whichever set they are.

    Attributes
    ----------
    key : str
        Name of the entry in its family, which is the name of its file.
    names : tuple of str
        Names of all views; the first is `identity`, the center that the network sees without any view.

    See Also
    --------
    SingleView : One view of a set.
    committee.models.composites.Viewed : A network under a view.

    Examples
    --------
    A set with the negative of the image:

    >>> import torch
    >>> from committee.models.views import Views
    >>> class Negative(Views):
    ...     def __init__(self):
    ...         super().__init__(["negative"])
    ...
    ...     def transform(self, name, canvas, size):
    ...         return 255 - self.identity(canvas, size)
    >>> canvas = torch.full((1, 3, 10, 10), 55, dtype=torch.uint8)
    >>> Negative()(canvas, 8)[:, 0, 0, 0, 0].tolist()
    [55, 200]
    """

    key: ClassVar[str]

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__()
        self.names = (IDENTITY, *names)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.key = cls.__module__.rpartition(".")[2]

    @abstractmethod
    def transform(self, name: str, canvas: Tensor, size: int) -> Tensor:
        """Return the view `name`, which is not the identity, uint8 `[B, c, size, size]`.

        Parameters
        ----------
        name : str
        canvas : uint8 `[B, c, S, S]`, S >= size
        size : int
            Side of the network's input; 0 for the view of a whole image, `[B, c, H, W]` of any size, which
            may be float32.
        """

    def undo(self, name: str, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return maps of the view `name`, which is not the identity, as maps of the image; see `inverse`.

        Raises
        ------
        UsageError
            The set has no inverse.
        """
        raise self.no_inverse(name)

    def no_inverse(self, name: str) -> UsageError:
        """Return the error of a view of a network of maps that has no inverse."""
        return UsageError(
            f"views '{self.key}' of maps",
            expected=f"views that show the whole image: {', '.join(invertible())}",
            got=f"'{name}', whose maps cannot be transformed back",
        )

    def inverse(self, name: str, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return maps that a network predicts for the view `name` as maps of the image.

        Parameters
        ----------
        name : str
        maps : tensor `[B, C, h, w]`
            Outputs for the view of whole images.
        size : tuple of int
            Height and width of the images.

        Returns
        -------
        tensor `[B, C, H, W]`

        Raises
        ------
        UsageError
            The set has no inverse.
        """
        return maps if name == IDENTITY else self.undo(name, maps, size)

    def identity(self, canvas: Tensor, size: int) -> Tensor:
        """Return what the network sees without views, uint8 `[B, c, size, size]`: the center of the canvas.

        With size 0, it is the canvas, which is a whole image.
        """
        return center(canvas, size) if size else canvas

    def view(self, name: str, canvas: Tensor, size: int) -> Tensor:
        """Return one view of canvases, uint8 `[B, c, size, size]`."""
        return self.identity(canvas, size) if name == IDENTITY else self.transform(name, canvas, size)

    def forward(self, canvas: Tensor, size: int) -> Tensor:
        """Return all views of canvases, uint8 `[V, B, c, size, size]`."""
        return torch.stack([self.view(name, canvas, size) for name in self.names])

    def options(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON values."""
        given = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}


VIEWS: Family[Views] = Family("committee.models.views", "set of views")


def invertible() -> tuple[str, ...]:
    """Return the names of the sets whose views have an inverse on maps."""
    return tuple(name for name in VIEWS.names() if VIEWS.load(name).undo is not Views.undo)


class SingleView(nn.Module):
    """One view of a set.

    Parameters
    ----------
    views : Views
        The set.
    name : str
        Name of the view in the set.

    Raises
    ------
    UnknownNameError
        The set has no such view.

    See Also
    --------
    Views : A set of views.

    Examples
    --------
    >>> import torch
    >>> from committee.models.views import Hflip, SingleView
    >>> canvas = torch.arange(4, dtype=torch.uint8).reshape(1, 1, 2, 2)
    >>> SingleView(Hflip(), "hflip")(canvas, 2)[0, 0].tolist()
    [[1, 0], [3, 2]]
    """

    def __init__(self, views: Views, name: str) -> None:
        super().__init__()
        if name not in views.names:
            raise UnknownNameError(
                f"views '{views.key}'",
                expected=f"one of {', '.join(views.names)}",
                got=f"'{name}'",
                todo=nearest(name, views.names),
            )
        self.views, self.name = views, name

    def forward(self, canvas: Tensor, size: int) -> Tensor:
        """Return the view of canvases, uint8 `[B, c, S, S]` to `[B, c, size, size]`, or of whole images."""
        return self.views.view(self.name, canvas, size)

    def require_inverse(self) -> None:
        """Raise UsageError unless maps of the view can be transformed back to the image."""
        if self.views.key not in invertible():
            raise self.views.no_inverse(self.name)

    def inverse(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return maps of the view, `[B, C, h, w]`, as maps of images of this size; see `Views.inverse`."""
        return self.views.inverse(self.name, maps, size)

    def to_json(self) -> dict[str, Any]:
        """Return the key and options of the set and the name of the view, as plain JSON values."""
        return {"views": self.views.key, "options": self.views.options(), "view": self.name}

    @classmethod
    def from_json(cls, description: Mapping[str, Any]) -> SingleView:
        """Return the view that `to_json` described."""
        views = VIEWS.make(description["views"], **description["options"])
        return cls(views, str(description["view"]))


def distinct(sets: Iterable[Views]) -> dict[str, SingleView]:
    """Return the views of several sets by name, without the identity; a view in several sets occurs once."""
    found: dict[str, SingleView] = {}
    for views in sets:
        for name in views.names[1:]:
            found.setdefault(name, SingleView(views, name))
    return found

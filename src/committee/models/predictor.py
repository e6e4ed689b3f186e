"""Models behind one call, from uint8 images to probabilities or numbers. Importing it imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import nn

    from committee.images.view import CanvasSpec
    from committee.models.batch import Batch
    from committee.tasks.base import Task

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]
Canvas = tuple[int, str, int]
"""Size, fit and channels of the squares that a network reads: `committee.images.view.CanvasSpec`."""


class Predictor(Protocol):
    """A model behind one call, whatever runs it: torch, or the runtime of an exported file.

    `predict`, the parity check of an export and the command line use models through this interface alone.

    Attributes
    ----------
    name : str
        Name of the member or ensemble.
    class_names : tuple of str, length C
        Class of each column of the probabilities, or target of each column of numbers.
    channels : int
        Channels of the images: 1 (gray) or 3 (RGB).
    provenance : mapping
        Facts about the model, as plain JSON values: its members, its thresholds of prediction sets, ...

    Notes
    -----
    A model of numbers has an attribute `target_type`, which `target_type_of` of
    `committee.predictions.target_types` reads, and may have `units`, the unit of each target. A model without
    it predicts classes. One that also predicts how uncertain its numbers are has `std_names`, such as
    `("aleatoric_std", "epistemic_std")`, and `spread_of(images) -> float32 [B, T, 1 + S]`, the numbers and
    these standard deviations.

    A model that needs no more of an image than squares of one or several kinds may say so by an attribute
    `canvases`, a sequence of `Canvas`. It gives the same answer if it gets squares uint8
    `[B, channels, size, size]` in place of images; a list of arrays if there are several kinds. Images are
    then resized where they are decoded, in all threads, and images of several sizes are predicted together.

    See Also
    --------
    ModulePredictor : A torch module behind this interface.
    committee.exporters.base.open_exported : An exported file behind this interface.

    Examples
    --------
    >>> import numpy as np
    >>> class Brightness:
    ...     name, class_names, channels, provenance = "brightness", ("dark", "light"), 1, {}
    ...
    ...     def __call__(self, images):
    ...         light = images.mean((1, 2, 3)) / 255
    ...         return np.stack([1 - light, light], 1).astype(np.float32)
    >>> model: Predictor = Brightness()
    >>> model(np.full((1, 1, 8, 8), 255, np.uint8)).tolist()
    [[0.0, 1.0]]
    """

    @property
    def name(self) -> str: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def channels(self) -> int: ...

    @property
    def provenance(self) -> Mapping[str, Any]: ...

    def __call__(self, images: Images) -> Probabilities:
        """Return the probabilities, or the numbers, of images.

        Parameters
        ----------
        images : uint8 array `[B, channels, H, W]`
            Any height and width.

        Returns
        -------
        float32 array `[B, C]`
        """
        ...


class ModulePredictor:
    """A member, an ensemble or any other module of images to logits or numbers, as a `Predictor`.

    Parameters
    ----------
    module : torch.nn.Module
        Images uint8 `[B, c, H, W]` -> logits or numbers `[B, C]`. It is moved to `device`, and put
        in evaluation mode.
    name : str
        Name of the model.
    class_names : sequence of str, length C
        Class of each column.
    device : str or torch.device
        Device that runs the module.
    provenance : mapping, optional
        Facts about the model, as plain JSON values.

    See Also
    --------
    Predictor : The interface.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from committee.models.member import Member
    >>> from committee.models.predictor import ModulePredictor
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    >>> member = Member.from_module(net, classes=["cat", "dog"], size=8)
    >>> predictor = ModulePredictor(member, "pets", member.class_names)
    >>> predictor(np.zeros((4, 3, 20, 30), np.uint8)).shape
    (4, 2)
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        class_names: Sequence[str],
        device: str | torch.device = "cpu",
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        from committee.tasks.base import task_of_model

        self.module = module.to(device).eval()
        self.provenance = dict(provenance or {})
        self.name, self.class_names, self.device = name, tuple(class_names), device
        self.task: Task = task_of_model(module)
        self.units: tuple[str, ...] = tuple(getattr(module, "units", ()))

    @property
    def channels(self) -> int:
        """Channels of the images, from the first `View` of the module; 3 if it contains none."""
        from committee.models._images import channels_of

        return channels_of(self.module)

    @property
    def spread(self) -> tuple[float, ...]:
        """Standard deviation of each target, if a network of the module predicts standardized numbers."""
        return spread_of(self.module)

    @cached_property
    def canvases(self) -> tuple[CanvasSpec, ...]:
        """The squares that the networks read of an image; none if they need whole images."""
        from committee.models.canvases import canvases_of

        found = canvases_of(self.module)
        return found if all(spec.channels == self.channels for spec in found) else ()

    def __call__(self, images: Images | Sequence[Images]) -> Probabilities:
        """Return the probabilities or numbers, float32 `[B, C]`, of images uint8 `[B, c, H, W]`.

        In place of images, it takes a list of their `canvases`, or the only one.
        """
        infer = getattr(self.module, "infer", self.module)
        return self._run(lambda batch: self.task.link(infer(batch).float()), images)

    @property
    def std_names(self) -> tuple[str, ...]:
        """The parts of the standard deviation of numbers: none of a single network without variances."""
        if not getattr(self.module, "has_spread", False):
            return ()
        aleatoric = ("aleatoric_std",) if getattr(self.module, "has_variance", False) else ()
        return *aleatoric, "epistemic_std"

    def spread_of(self, images: Images | Sequence[Images]) -> Probabilities:
        """Return numbers and the standard deviations `std_names`, float32 `[B, T, 1 + S]`."""
        module: Any = self.module
        parts = self._run(module.variance_parts, images)
        first = 1 if len(self.std_names) > 1 else 2
        return np.concatenate([parts[..., :1], np.sqrt(parts[..., first:])], axis=-1)

    def _run(self, call: Callable[[Any], torch.Tensor], images: Images | Sequence[Images]) -> Probabilities:
        import torch

        with torch.inference_mode():
            batch = self._tensor(images) if isinstance(images, np.ndarray) else self._batch(images)
            found: Probabilities = call(batch).float().cpu().numpy()
        return found

    def _batch(self, canvases: Sequence[Images]) -> Batch:
        """Return canvases of images as a module takes them."""
        from committee.models.canvases import Canvases

        return Canvases(dict(zip(self.canvases, map(self._tensor, canvases), strict=True)))

    def _tensor(self, pixels: Images) -> torch.Tensor:
        import torch

        # An array that is read-only is copied, since torch warns of writing to it.
        tensor = torch.from_numpy(pixels) if pixels.flags.writeable else torch.tensor(pixels)
        return tensor.to(self.device)


def spread_of(module: nn.Module) -> tuple[float, ...]:
    """Return the standard deviation of each target, if a network predicts standardized numbers."""
    names = getattr(module, "class_names", ())
    for part in module.modules():
        scale = getattr(getattr(part, "output", None), "scale", ())
        if names and len(scale) == len(names):
            return tuple(scale)
    return ()

"""The module as it is."""

from __future__ import annotations

from torch import Tensor, nn

from committee.engines.base import Engine, Infer, infer_of


class Eager(Engine):
    """The module as it is: its networks run one after the other, in torch.

    All stored predictions are those of this engine, so that they do not depend on a measurement.

    See Also
    --------
    committee.models.planner.optimize : Measures all engines and selects the fastest one.

    Examples
    --------
    >>> import torch
    >>> from committee.engines.eager import Eager
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    >>> images = torch.rand(4, 3, 2, 2)
    >>> torch.equal(Eager().prepare(net, images)(images), net(images))
    True
    """

    effort = 0

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        """Return the method `infer` of the module, or the module; see the base class."""
        infer = infer_of(module)
        return lambda images: infer(images).float()

"""The module with folded batch normalization and weights stored by pixels, in full or half precision."""

from __future__ import annotations

from torch import Tensor, nn

from committee.engines.base import Engine, Infer, infer_of
from committee.engines.shared.networks import inference_copy
from committee.engines.shared.traced import runs_all, traced


class ChannelsLast(Engine):
    """A copy of the module for inference: batch normalization folded, weights and features by pixels.

    The networks run one after the other in torch, without the Python between operations if the inputs need no
    resizing and all networks run on all of them. Convolutions of small images take about half the time on
    CPUs; `bf16` halves that of most networks again on processors that have instructions for it, and costs
    about 0.01 in a probability.

    Parameters
    ----------
    precision : {"fp32", "bf16", "fp16"}
        Precision of the networks. "fp16" needs a GPU.

    See Also
    --------
    committee.models.planner.optimize : Measures all engines and selects the fastest one.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from committee.engines.channels_last import ChannelsLast
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 2)).eval()
    >>> images = torch.rand(2, 3, 8, 8)
    >>> run = ChannelsLast().prepare(net, images)
    >>> torch.allclose(run(images), net(images), atol=1e-6)
    True
    """

    precisions = ("fp32", "bf16", "fp16")
    effort = 0

    def missing(self, module: nn.Module, example: Tensor) -> str:
        """Return that fp16 needs a GPU, if the example is not on one."""
        return "fp16 needs a GPU" if self.precision == "fp16" and example.device.type == "cpu" else ""

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        """Return what runs the copy; see the base class."""
        changed = inference_copy(module, example, self.dtype)
        if runs_all(changed):
            return traced(lambda images: changed(images).float(), example)
        infer = infer_of(changed)
        return lambda images: infer(images).float()

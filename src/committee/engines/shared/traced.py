"""The operations of a function as a program of TorchScript, without the Python between them."""

from __future__ import annotations

import logging
import warnings
from typing import cast

import torch
from torch import Tensor, nn
from torch.jit._fuser import optimized_execution
from torch.jit._trace import TracerWarning

from committee.base.tracing import tracing
from committee.combiners.base import Combiner
from committee.engines.base import Infer
from committee.models.member import Member
from committee.models.mixture import Mixture

RECORDED = 2
"""Images with which a program is recorded; one alone would be recorded as a batch that broadcasts."""

log = logging.getLogger(__name__)


class Program:
    """What TorchScript recorded of a function.

    It runs as it was recorded: its compiler, which needs some calls of each shape, gains nothing here.
    """

    def __init__(self, recorded: Infer) -> None:
        self._recorded = recorded

    def __call__(self, images: Tensor) -> Tensor:
        with optimized_execution(False):
            return self._recorded(images)


def traced(run: Infer, example: Tensor) -> Infer:
    """Return a program of the operations of a function, or the function if it may do others for other inputs.

    A call of a module costs some microseconds of Python for each of its parts, which is much of the time of
    small networks. Networks with branches on the values or the sizes of tensors are not recorded.

    Parameters
    ----------
    run : callable
        A function from inputs `[B, ...]`, of any B.
    example : tensor [B, ...]
        Inputs of a floating type. With images of whole numbers, which are resized if they have another size
        than the network, the function is returned.

    Examples
    --------
    >>> import torch
    >>> from committee.engines.shared.traced import traced
    >>> run = traced(lambda inputs: inputs.relu().sum(1), torch.zeros(4, 3))
    >>> type(run).__name__, run(torch.tensor([[1.0, -1.0, 2.0]]))
    ('Program', tensor([3.]))
    """
    if not example.is_floating_point():
        return run
    with torch.inference_mode(False), torch.no_grad(), tracing(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", category=TracerWarning)
        warnings.filterwarnings("ignore", category=TracerWarning, module=r"committee\.")
        inputs = example[:1].repeat(RECORDED, *[1] * (example.ndim - 1))
        try:
            return Program(cast("Infer", torch.jit.trace(run, (inputs,), check_trace=False)))
        except Exception as error:  # whatever the network raises while it is recorded
            log.debug("not recorded by torch.jit.trace: %s", error)
            return run


def runs_all(module: nn.Module) -> bool:
    """Return whether a module runs all of its networks on all images."""
    if not isinstance(module, Mixture):
        return isinstance(module, Member) or not hasattr(type(module), "infer")
    rules = [each for each in module.modules() if isinstance(each, Combiner)]
    lazy = any(type(each).forward_lazy is not Combiner.forward_lazy for each in rules)
    return not lazy and all(isinstance(each, Member) for each in module.members)

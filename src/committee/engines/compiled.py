"""Networks that torch compiles for the processor or GPU of this machine."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from committee.base.quiet import quiet
from committee.engines.base import Engine, Infer, infer_of
from committee.engines.shared.networks import inference_copy, networks_of


class Compiled(Engine):
    """A copy of the module for inference whose networks are compiled by `torch.compile`.

    One program serves batches of several images of any number; it is compiled for a single image if the
    example is one. Batches of the other kind run as in the engine `channels_last`. Compiling takes some
    seconds for small networks and minutes for large ones, and needs a C++ compiler, or Triton on a GPU.

    Parameters
    ----------
    precision : {"fp32", "bf16", "fp16"}
        Precision of the networks. "fp16" needs a GPU.

    See Also
    --------
    committee.models.planner.optimize : Measures all engines and selects the fastest one.

    References
    ----------
    J. Ansel et al. (2024). PyTorch 2: faster machine learning through dynamic Python bytecode transformation
    and graph compilation. ASPLOS.

    Examples
    --------
    >>> from committee.engines.compiled import Compiled
    >>> Compiled("bf16").precision
    'bf16'
    """

    precisions = ("fp32", "bf16", "fp16")
    effort = 2

    def missing(self, module: nn.Module, example: Tensor) -> str:
        """Return that there is no compiler for the device, or that fp16 needs a GPU."""
        if example.device.type == "cpu":
            return "fp16 needs a GPU" if self.precision == "fp16" else _no_compiler()
        from torch.utils._triton import has_triton

        return "" if has_triton() else "torch.compile needs Triton on a GPU, and it is not installed"

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        """Compile the networks, by running the example; see the base class."""
        from torch._dynamo import config

        changed = inference_copy(module, example, self.dtype)
        networks = networks_of(changed)
        for net in networks:
            _compile(net, single=len(example) == 1)
        infer = infer_of(changed)

        def run(images: Tensor) -> Tensor:
            # A program holds for one mode of torch; callers use several.
            with torch.inference_mode(False), torch.no_grad():
                return infer(images.clone() if images.is_inference() else images).float()

        limit = config.recompile_limit + len(networks)
        patched = config.patch(recompile_limit=limit, accumulated_recompile_limit=16 * limit)
        with patched, quiet("torch.utils.cpp_extension"):
            run(example)
        return run


def _no_compiler() -> str:
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception:  # the classes differ between systems
        return "torch.compile needs a C++ compiler, such as g++ or clang++, and there is none"
    return ""


def _compile(net: nn.Module, single: bool) -> None:
    """Compile a network in place, for batches of one image, or of several of any number."""
    net.compile()
    compiled: Any = net._compiled_call_impl

    def call(images: Any, *rest: Any) -> Any:
        if (len(images) == 1) != single:
            return net._call_impl(images, *rest)
        if not single:
            torch._dynamo.mark_dynamic(images, 0)
        return compiled(images, *rest)

    net._compiled_call_impl = call

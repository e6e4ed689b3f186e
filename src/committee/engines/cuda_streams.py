"""The networks of an ensemble on streams of their own, which a GPU runs at the same time."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from committee.engines.base import Engine, Infer
from committee.engines.shared.networks import inference_copy
from committee.images.view import View
from committee.models.batch import Batch
from committee.models.mixture import Mixture


class CudaStreams(Engine):
    """A copy of the module for inference, in which each network of an ensemble has a CUDA stream.

    A GPU that one small network does not fill runs several at the same time, also of different
    architectures. All networks run, also behind a cascade.

    Parameters
    ----------
    precision : {"fp32", "bf16", "fp16"}
        Precision of the networks.

    See Also
    --------
    committee.models.planner.optimize : Measures all engines and selects the fastest one.

    Examples
    --------
    >>> import torch
    >>> from committee.engines.cuda_streams import CudaStreams
    >>> CudaStreams().missing(torch.nn.Identity(), torch.zeros(1, 3, 8, 8))
    'it needs a CUDA GPU'
    """

    precisions = ("fp32", "bf16", "fp16")

    def missing(self, module: nn.Module, example: Tensor) -> str:
        """Return that the images are not on a CUDA GPU, or that there is one network."""
        if example.device.type != "cuda":
            return "it needs a CUDA GPU"
        several = isinstance(module, Mixture) and len(module.members) > 1
        return "" if several else "the model has one network"

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        """Make a stream for each network; see the base class."""
        changed = cast("Mixture", inference_copy(module, example, self.dtype))
        streams = [torch.cuda.Stream(example.device) for _ in changed.members]
        views = [part for part in changed.modules() if isinstance(part, View)]
        under_views = any(output.view for output in changed.outputs)

        def run(images: Tensor) -> Tensor:
            batch, main = Batch(images), torch.cuda.current_stream(images.device)
            if images.dtype == torch.uint8:
                _resize(batch, views, under_views)
            outputs: dict[int, Tensor] = {}
            for member, stream in enumerate(streams):
                stream.wait_stream(main)
                with torch.cuda.stream(stream):
                    outputs |= changed.outputs_of(member, batch)
            for stream in streams:
                main.wait_stream(stream)
            return changed.combine_outputs(outputs).float()

        return run


def _resize(batch: Batch, views: list[View], under_views: bool) -> None:
    """Compute before the streams part what several networks read."""
    for view in views:
        batch.normalized(view)
        if under_views:
            batch.canvas(view)

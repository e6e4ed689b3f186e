"""Combiners on the outputs of networks and of other combiners, and their lazy evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from committee.base.tracing import is_tracing
from committee.combiners.base import Combiner, Query
from committee.models.batch import Batch, LazyRows
from committee.models.squares import center
from committee.models.tasks import NamedOutputs
from committee.models.views.base import SingleView
from committee.tasks.base import Task, task_of_model

TOGETHER = 64
"""Largest number of images in a batch of several views. Of resnet18 at 64 pixels on a CPU, a loop over eight
views takes 4.0 times as long for 1 image, 1.4 for 8 (64 together), and 0.77 for 32: `benchmarks/tta.py`."""


class Output(NamedTuple):
    """What a vote can combine: the output of a network, which sees the images or a view of them.

    Attributes
    ----------
    network : int
        Position of the network among the members of the ensemble.
    view : SingleView or None
        The view; None for the images as they are.
    """

    network: int
    view: SingleView | None = None


def logits_of(output: Any, task: Task | None = None) -> Tensor:
    """Return the output of a network, or its field `logits`, as float32 `[B, C]`; see `Task.finite`."""
    return (task or task_of_model(None)).finite(_as_float(output))


def _as_float(output: Any) -> Tensor:
    found = output if isinstance(output, Tensor) else cast("Tensor", getattr(output, "logits", output))
    return found.float()


class Vote(NamedOutputs, nn.Module):
    """A combiner on some outputs: those of networks and of earlier votes.

    Parameters
    ----------
    combiner : Combiner
        The combiner, bound to `names`.
    inputs : sequence of int
        The outputs that are combined: 0, 1, ... are those of networks, -1, -2, ... are earlier votes.
    names : sequence of str
        Names of the inputs.
    class_names : sequence of str
        Names of the classes or targets, in the order of the result.

    See Also
    --------
    Ensemble : A vote with its networks and earlier votes.

    Examples
    --------
    >>> import torch
    >>> from committee.combiners import SoftVoting
    >>> from committee.models import Vote
    >>> vote = Vote(SoftVoting().bind(["a", "b"]), inputs=[0, 1], names=["a", "b"], class_names=["x", "y"])
    >>> outputs = {0: torch.tensor([[0.0, 0.0]]), 1: torch.tensor([[0.0, 0.0]])}
    >>> vote.combine(outputs).exp()
    tensor([[0.5000, 0.5000]])
    """

    def __init__(
        self, combiner: Combiner, inputs: Sequence[int], names: Sequence[str], class_names: Sequence[str]
    ) -> None:
        super().__init__()
        self.combiner = combiner
        self.inputs, self.names, self.class_names = tuple(inputs), tuple(names), tuple(class_names)

    @property
    def task(self) -> Task:
        """What the inputs predict."""
        return self.combiner.task

    def set_class_orders(self, classes: Sequence[Sequence[str]]) -> None:
        """Store a permutation for each input whose classes have another order than `class_names`."""
        for position, own in enumerate(classes):
            if own and tuple(own) != self.class_names:
                order = torch.tensor([list(own).index(name) for name in self.class_names])
                self.register_buffer(f"order_{position}", order, persistent=False)

    def combine(self, outputs: Mapping[int, Tensor]) -> Tensor:
        """Return log-probabilities or numbers `[B, C]` for the outputs `[B, C]` of networks and votes."""
        return self.combined(self.stack_inputs(outputs))

    def combined(self, outputs: Tensor) -> Tensor:
        """Return the combination `[B, C]` of outputs `[M, B, C]`, or `[B, C, H, W]` of `[M, B, C, H, W]`.

        The pixels of maps are rows for the combiner.
        """
        if outputs.ndim == 3:
            return self.combiner(outputs)
        members, images, names, height, width = outputs.shape
        pixels = outputs.permute(0, 1, 3, 4, 2).reshape(members, -1, names)
        return self.combiner(pixels).reshape(images, height, width, names).permute(0, 3, 1, 2)

    def stack_inputs(self, outputs: Mapping[int, Tensor]) -> Tensor:
        """Return the outputs of the inputs, `[M, B, C, ...]`, with classes in the order of `class_names`.

        They are finite, or NaN; see `Task.finite`.
        """
        found = [self.reorder_classes(k, outputs[source]) for k, source in enumerate(self.inputs)]
        return self.task.finite(torch.stack(found), 2)

    def reorder_classes(self, position: int, logits: Tensor) -> Tensor:
        """Return the output `[B, C, ...]` of an input with the classes in the order of `class_names`."""
        order = self._buffers.get(f"order_{position}")
        return logits if order is None else logits.index_select(1, order)


class LazyOutputs:
    """The outputs for one batch of images: a network runs at most once on an image, when it is requested.

    It then runs on all of its views.

    Parameters
    ----------
    networks, votes : nn.ModuleList
        The networks and the earlier votes of an ensemble.
    outputs : sequence of Output
        The outputs of the networks.
    batch : Batch
        The images.
    """

    def __init__(
        self, networks: nn.ModuleList, outputs: Sequence[Output], votes: nn.ModuleList, batch: Batch
    ) -> None:
        self._votes = votes
        self._places: dict[int, tuple[LazyRows, int | None]] = {}
        seen: list[dict[int, SingleView | None]] = [{} for _ in networks]
        for output, (index, view) in enumerate(outputs):
            seen[index][output] = view
        for network, views in zip(networks, seen, strict=True):
            rows = LazyRows(partial(_infer, network, list(views.values()), batch), batch.size)
            alone = len(views) == 1
            self._places |= {output: (rows, None if alone else place) for place, output in enumerate(views)}

    def query_for(self, vote: Vote, among: Tensor | None = None) -> Query:
        """Return the query for the inputs of a vote, on all images or on the rows `among`."""

        def query(position: int, rows: Tensor | None) -> Tensor:
            chosen = rows if among is None else among if rows is None else among[rows]
            return vote.reorder_classes(position, self._output(vote.inputs[position], chosen))

        return query

    def _output(self, source: int, rows: Tensor | None) -> Tensor:
        if source >= 0:
            values, place = self._places[source]
            return values(rows) if place is None else values(rows)[:, place]
        vote = cast("Vote", self._votes[~source])
        return vote.combiner.forward_lazy(self.query_for(vote, rows))


def views_of_network(outputs: Sequence[Output], network: int) -> dict[int, SingleView | None]:
    """Return the view of each output of a network, by the position of the output."""
    return {place: view for place, (index, view) in enumerate(outputs) if index == network}


def run_views(
    network: nn.Module, views: Sequence[SingleView | None], batch: Batch, *, lazy: bool = False
) -> list[Tensor]:
    """Return the outputs `[B, C, ...]` of a network for each view of the images, as the network returns them.

    Views of a small batch run as one batch, of at most `TOGETHER` images; in a recorded graph, always. Views
    of maps may differ in size, and run one by one.
    """
    task = task_of_model(network)
    if not any(views):
        return [_as_float(batch.run(network, lazy=lazy))] * len(views)
    if task.target_type.dense:
        return [_maps_of_view(network, view, batch, lazy) for view in views]
    step = len(views) if is_tracing() else max(1, TOGETHER // max(1, len(batch)))
    found: list[Tensor] = []
    for start in range(0, len(views), step):
        some = [center if view is None else view for view in views[start : start + step]]
        logits = _as_float(batch.under(some).run(network, lazy=lazy))
        found += logits.unflatten(0, (len(some), -1)).unbind(0)
    return found


def _maps_of_view(network: nn.Module, view: SingleView | None, batch: Batch, lazy: bool) -> Tensor:
    """Return the maps `[B, C, H, W]` of a network for a view of the images, as maps of the images."""
    task = task_of_model(network)
    if view is None:
        return _as_float(batch.run(network, lazy=lazy))
    height, width = batch.source.shape[2:]
    return view.inverse(logits_of(batch.under([view]).run(network, lazy=lazy), task), (height, width))


def _infer(
    network: nn.Module, views: Sequence[SingleView | None], batch: Batch, rows: Tensor | None
) -> Tensor:
    """Return the outputs `[R, V, C]` of a network for rows of a batch, or for all; `[R, C]` of one view."""
    chosen = batch if rows is None else batch.select(_few_sizes(rows))
    found = run_views(network, views, chosen, lazy=True)
    outputs = task_of_model(network).finite(found[0] if len(found) == 1 else torch.stack(found, 1), -1)
    return outputs if rows is None else outputs[: len(rows)]


def _few_sizes(rows: Tensor) -> Tensor:
    """Return the rows; on a GPU, repeat the last one up to a power of two.

    For each new batch size, a network on a GPU takes up to half a second to choose its kernels.
    """
    if not rows.is_cuda or not len(rows):
        return rows
    spare = (1 << (len(rows) - 1).bit_length()) - len(rows)
    return torch.cat([rows, rows[-1:].expand(spare)])

"""A vote: one combiner over the answers of networks and of earlier votes; and who is asked when"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from committee.combiners.base import Combiner, Query


def logits_of(output: Any) -> Tensor:
    """Return the logits in what a network of anybody's returns, as float32 `[B, C]`."""
    return cast("Tensor", getattr(output, "logits", output)).float()


class Vote(nn.Module):
    """One combiner over some answers: those of members (0, 1, ...) and of earlier votes (-1, -2, ...)."""

    def __init__(
        self, combiner: Combiner, inputs: Sequence[int], names: Sequence[str], class_names: Sequence[str]
    ) -> None:
        super().__init__()
        self.combiner = combiner
        self.inputs, self.names, self.class_names = tuple(inputs), tuple(names), tuple(class_names)

    def arrange(self, classes: Sequence[Sequence[str]]) -> None:
        """Keep, for each input whose classes come in another order, where each class is."""
        for position, own in enumerate(classes):
            if own and tuple(own) != self.class_names:
                order = torch.tensor([list(own).index(name) for name in self.class_names])
                self.register_buffer(f"order_{position}", order, persistent=False)

    def count(self, answers: Mapping[int, Tensor]) -> Tensor:
        """Combine the inputs' answers: log-probabilities `[B, C]`."""
        return self.combiner(self.gather(answers))

    def gather(self, answers: Mapping[int, Tensor]) -> Tensor:
        """Stack the answers of the inputs, `[M, B, C]`, with the classes in this vote's order."""
        return torch.stack([self.ordered(k, answers[source]) for k, source in enumerate(self.inputs)])

    def ordered(self, position: int, logits: Tensor) -> Tensor:
        """Return an input's answer `[B, C]` with the classes in this vote's order."""
        order = getattr(self, f"order_{position}", None)
        return logits if order is None else logits.index_select(1, order)


class Answers:
    """The answers to one batch: a network runs on a photo when it is asked about it, and once.

    Parameters
    ----------
    networks, votes : nn.ModuleList
        Of an ensemble.
    images : uint8 tensor `[B, c, H, W]`
    """

    def __init__(self, networks: nn.ModuleList, votes: nn.ModuleList, images: Tensor) -> None:
        self._networks, self._votes, self._images = networks, votes, images
        self._known: dict[int, Tensor] = {}
        self._there: dict[int, Tensor] = {}

    def of(self, vote: Vote, among: Tensor | None = None) -> Query:
        """Return what the combiner of a vote asks; of some rows of the batch alone, `among`."""

        def query(position: int, rows: Tensor | None) -> Tensor:
            chosen = rows if among is None else among if rows is None else among[rows]
            return vote.ordered(position, self._answer(vote.inputs[position], chosen))

        return query

    def _answer(self, source: int, rows: Tensor | None) -> Tensor:
        if source >= 0:
            return self._network(source, rows)
        vote = cast("Vote", self._votes[~source])
        return vote.combiner.forward_lazy(self.of(vote, rows))

    def _network(self, source: int, rows: Tensor | None) -> Tensor:
        images, size = self._images, len(self._images)
        there = self._there.setdefault(source, torch.zeros(size, dtype=torch.bool, device=images.device))
        missing = (~there).nonzero()[:, 0] if rows is None else rows[~there[rows]]
        network = self._networks[source]
        answer_of = getattr(network, "infer", network)
        if len(missing) == size:
            self._known[source] = logits_of(answer_of(images))
        elif len(missing):
            logits = logits_of(answer_of(images[_few_sizes(missing)]))[: len(missing)]
            known = self._known.setdefault(source, logits.new_zeros(size, logits.shape[1]))
            known[missing] = logits
        there[missing] = True
        return self._known[source] if rows is None else self._known[source][rows]


def _few_sizes(rows: Tensor) -> Tensor:
    """Return rows, on a GPU the last one repeated up to a power of two.

    A network that meets a size of batch for the first time there takes up to half a second to choose its
    kernels.
    """
    if not rows.is_cuda:
        return rows
    spare = (1 << (len(rows) - 1).bit_length()) - len(rows)
    return torch.cat([rows, rows[-1:].expand(spare)])

"""Training of small networks: held-out rows are judged in blocks, whose mean is that of all rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from committee.solvers import small_networks
from committee.solvers.small_networks import train_chosen


class Task:
    """A linear model, which records the number of rows of each evaluation."""

    def __init__(self) -> None:
        random = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(300, 4, generator=random)
        self.labels = (self.inputs[:, 0] > 0).long()
        self.judged: list[int] = []

    def loss(self, parameters: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        if generator is None:
            self.judged.append(len(rows))
        return cross_entropy(self.inputs[rows] @ parameters[0], self.labels[rows])


def untrained(_: torch.Generator) -> list[Tensor]:
    return [torch.zeros(4, 2)]


def test_held_out_rows_are_judged_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [(np.arange(100, 300), np.arange(100)), (np.arange(200), np.arange(200, 300))]
    notes = []
    for block in (10_000, 30):
        monkeypatch.setattr(small_networks, "JUDGED", block)
        task = Task()
        notes.append(train_chosen(task, untrained, pairs, 300, epochs=3, lr=0.1, seed=0)[1])
        assert max(task.judged) == min(block, 100) and sum(task.judged) == 2 * 4 * 100
    assert notes[0] == pytest.approx(notes[1]) and notes[0]["log_loss"] < notes[0]["start"]

"""Training of small networks on arrays that were computed before: heads on embeddings, gates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from committee.descent import descend
from committee.errors import TrainingError
from committee.training.memory import ran_out_of_memory

Inputs = Callable[[Tensor], Any]
"""Rows int64 `[B]` -> what the network takes."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""What the network gives `[B, K]`, and its rows -> the mean loss."""


class _Lesson:
    """A network and its loss, as `descend` takes them."""

    def __init__(self, network: nn.Module, inputs: Inputs, loss: Loss) -> None:
        self.network, self.inputs, self.of = network, inputs, loss
        self.names = [name for name, _ in network.named_parameters()]

    def loss(self, parameters: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the mean loss of rows."""
        given = dict(zip(self.names, parameters, strict=True))
        return self.of(functional_call(self.network, given, (self.inputs(rows),)), rows)


def train_head(
    network: nn.Module, inputs: Inputs, loss: Loss, rows: int, *, epochs: int, lr: float, seed: int, who: str,
    lower: str,
) -> None:  # fmt: skip
    """Train a network in place, by AdamW on batches of 256 rows, its rate falling to zero as a cosine.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode afterwards.
    inputs, loss : callables
    rows : int
        N.
    epochs, lr, seed
        Dropout and the order of rows are drawn by `seed`.
    who, lower : str
        For people: whose network it is, and which setting to lower where memory runs out.

    Raises
    ------
    TrainingError
        Memory runs out, or the loss is not finite.
    """
    lesson, generator = _Lesson(network.train(), inputs, loss), torch.Generator().manual_seed(seed)
    parameters = [each.detach() for each in network.parameters()]
    with seeded(seed):
        try:
            descend(lesson, parameters, torch.arange(rows), epochs, epochs, lr, generator, None)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            raise TrainingError(
                who, expected="memory for the network and a batch of 256 rows",
                got=str(error).partition("\n")[0], todo=f"Lower {lower}.",
            ) from error  # fmt: skip
    if not all(bool(each.isfinite().all()) for each in parameters):
        raise TrainingError(who, expected="a finite loss", got="NaN or infinity", todo="Lower its lr.")
    network.eval()


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generators, and leave them as they were."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def slices(rows: int, size: int) -> Iterator[slice]:
    """Go through rows a few at a time."""
    for start in range(0, rows, size):
        yield slice(start, min(rows, start + size))


def tensor(array: NDArray[np.float32]) -> Tensor:
    """Return a copy of an array that may be mapped, as a tensor."""
    return torch.from_numpy(np.array(array))

"""Whether values are probabilities: the results of a softmax or a sigmoid, or rows that sum to one."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

TOLERANCE = 1e-3
ACTIVATIONS = {"_softmax": "a softmax", "sigmoid": "a sigmoid", "sigmoid_": "a sigmoid"}
"""Operations whose results are probabilities. Those of `_log_softmax` are logits."""

SAME_VALUES = {
    "alias",
    "clone",
    "detach",
    "view",
    "_unsafe_view",
    "reshape",
    "squeeze",
    "unsqueeze",
    "_to_copy",
}
"""Operations that change neither values nor their order."""


def are_probabilities(values: Tensor) -> bool:
    """Return whether all rows `[B, C]`, or pixels `[B, C, h, w]`, are probabilities that sum to one."""
    rows = values.detach().float().movedim(1, -1).flatten(0, -2)
    within = bool(((rows >= 0) & (rows <= 1)).all())
    return rows.shape[1] > 1 and within and bool(((rows.sum(1) - 1).abs() < TOLERANCE).all())


class Watch(TorchDispatchMode):
    """Remembers which tensors are the result of a softmax or a sigmoid, of a module or a function."""

    def __init__(self) -> None:
        super().__init__()
        self._found = WeakIdKeyDictionary()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: to exclude `__torch_dispatch__` from compilation, torch imports its compiler."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in ACTIVATIONS:
            self._found[result] = ACTIVATIONS[name]
        elif name in SAME_VALUES and isinstance(result, Tensor) and args and args[0] in self._found:
            self._found[result] = self._found[args[0]]
        return result

    def activation_of(self, tensor: Tensor) -> str | None:
        """Return the activation whose result a tensor is, if its values are probabilities of the classes."""
        found: str | None = self._found.get(tensor)
        # A softmax over another dimension, such as that of attention, gives no probabilities of classes.
        return None if found == "a softmax" and not are_probabilities(tensor) else found

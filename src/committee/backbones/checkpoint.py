"""Loading of checkpoints of other trainers: finds the prefix of the names and compares all shapes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import accumulate

from torch import Tensor

from committee.backbones.base import Backbone
from committee.backbones.weights import require_finite
from committee.errors import MismatchError

DEEPEST_PREFIX = 3
COUNTER = "num_batches_tracked"
"""Batch counter of batch norm, which inference does not use and older files do not contain."""

State = Mapping[str, Tensor]


def load_checkpoint(state: State, backbone: Backbone, who: str) -> str:
    """Copy the tensors of a checkpoint into a backbone of the same architecture and classes.

    Parameters
    ----------
    state : mapping of str to tensor
        The tensors may have one prefix, such as `module.` (DDP), `model.` (Lightning), `_orig_mod.`
        (torch.compile) or `module.model.`; tensors without it, such as those of a loss, are ignored.
    backbone : Backbone
        The network to change.
    who : str
        Name of the checkpoint in errors, such as its path.

    Returns
    -------
    str
        The prefix, or an empty string.

    Raises
    ------
    MismatchError
        Tensors are missing, unexpected or have another shape; the message lists all of them.
    DataError
        A tensor contains NaN or infinity.
    """
    own = backbone.net.state_dict()
    prefix = _prefix(state, own)
    inside = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    rows = _mismatches(inside, own)
    if rows:
        raise MismatchError.of(
            rows,
            who,
            expected=f"the {len(own)} tensors of {backbone.title}",
            got=f"{len(rows)} that do not match" + (f", with the prefix '{prefix}'" if prefix else ""),
            todo="Give the backbone that was trained, and the names of all its classes.",
        )
    require_finite(inside, who)
    backbone.net.load_state_dict(inside, strict=False)
    return prefix


def _prefix(state: State, own: Collection[str]) -> str:
    """Return the prefix with which most names match those of the network, the shortest of several."""
    known = set(own)
    counts: dict[str, int] = {"": 0}
    for name in state:
        parts = [f"{part}." for part in name.split(".")[:-1]][:DEEPEST_PREFIX]
        for prefix in ("", *accumulate(parts)):
            counts[prefix] = counts.get(prefix, 0) + (name[len(prefix) :] in known)
    return max(counts, key=lambda prefix: (counts[prefix], -len(prefix)))


def _mismatches(state: State, own: State) -> list[tuple[str, str, str]]:
    """Return the name, expected shape and actual shape of each tensor that does not match."""
    names = [*own, *(name for name in state if name not in own)]
    shapes = [(name, _shape(own.get(name)), _shape(state.get(name))) for name in names]
    return [
        (name, expected or "nothing", actual or "nothing")
        for name, expected, actual in shapes
        if expected != actual and not (name.endswith(COUNTER) and not (expected and actual))
    ]


def _shape(tensor: Tensor | None) -> str:
    return "" if tensor is None else f"{list(tensor.shape)}"

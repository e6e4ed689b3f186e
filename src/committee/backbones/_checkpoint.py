"""A checkpoint of any trainer, put into a backbone: prefixes are found, and every name and shape compared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import accumulate

from torch import Tensor

from committee.backbones.base import Backbone
from committee.errors import MismatchError

DEEPEST_PREFIX = 3
COUNTER = "num_batches_tracked"
"""How many batches a batch norm has seen: of no use at inference, and older files lack it."""

State = Mapping[str, Tensor]


def put(state: State, backbone: Backbone, who: str) -> str:
    """Copy the tensors of a checkpoint into a backbone of the same architecture and classes.

    Parameters
    ----------
    state : mapping of str to tensor
        All under one prefix, such as `module.` (DDP), `model.` (Lightning), `_orig_mod.` (torch.compile) or
        `module.model.`; what is outside of it, such as a loss, is left aside.
    backbone : Backbone
    who : str
        Named in the error, such as the file.

    Returns
    -------
    str
        The prefix, empty where there is none.

    Raises
    ------
    MismatchError
        Tensors are missing, unknown or of another shape: all are listed.
    """
    own = backbone.net.state_dict()
    prefix = _prefix(state, own)
    inside = {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
    rows = _mismatches(inside, own)
    if rows:
        architecture = backbone.architecture.name if backbone.architecture else type(backbone.net).__name__
        raise MismatchError.of(
            rows,
            who,
            expected=f"the {len(own)} tensors of {architecture}",
            got=f"{len(rows)} that do not fit" + (f", under '{prefix}'" if prefix else ""),
            todo="Name the backbone that was trained, and all of its classes.",
        )
    backbone.net.load_state_dict(inside, strict=False)
    return prefix


def _prefix(state: State, own: Collection[str]) -> str:
    """Return the prefix under which most names are the network's; the shortest of several."""
    known = set(own)
    counts: dict[str, int] = {"": 0}
    for name in state:
        parts = [f"{part}." for part in name.split(".")[:-1]][:DEEPEST_PREFIX]
        for prefix in ("", *accumulate(parts)):
            counts[prefix] = counts.get(prefix, 0) + (name[len(prefix) :] in known)
    return max(counts, key=lambda prefix: (counts[prefix], -len(prefix)))


def _mismatches(state: State, own: State) -> list[tuple[str, str, str]]:
    """Return each name that does not fit, what it should be, and what it is."""
    names = [*own, *(name for name in state if name not in own)]
    told = [(name, _shape(own.get(name)), _shape(state.get(name))) for name in names]
    return [
        (name, wanted or "nothing", found or "nothing")
        for name, wanted, found in told
        if wanted != found and not (name.endswith(COUNTER) and not (wanted and found))
    ]


def _shape(tensor: Tensor | None) -> str:
    return "" if tensor is None else f"{list(tensor.shape)}"

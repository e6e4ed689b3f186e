"""What a combiner is: a module from the logits of members to the log-probabilities of a committee."""

from __future__ import annotations

import inspect
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from committee.base.registry import Family
from committee.errors import DataError, RecipeError, StoreError, UsageError, nearest
from committee.untrusted.documents import build as build_from
from committee.untrusted.documents import read_json
from committee.untrusted.safetensors_header import read_header

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

PROTOCOL = 1
TILE = 2**18

Query = Callable[[int, Tensor | None], Tensor]
"""Member's position, and rows int64 `[R]` of the batch (None is all) -> its logits of them, `[R, C]`."""


class Combiner(nn.Module, ABC):
    """A rule that turns the logits of members into the log-probabilities of one committee.

    A constructor stores its arguments under their own names (a nested combiner is built first); `learn` puts
    what it finds into buffers, through `keep`, so that every state is tensors and JSON.

    Attributes
    ----------
    key : str
        The entry's name in the family: its file name.
    ensemble_name : str
        What an ensemble with this combiner is called in the store.
    learns : bool
        Whether `fit` needs labels. A combiner of combiners learns when one of them does.
    calibrates : bool
        Whether the rule itself makes the output sharper or softer. The log-loss of such a combiner is
        compared with that of a single member that was calibrated too, or the gain would be the temperature's.
    needs_logits : bool
        Whether `learn` reads the logits themselves, rather than what `_columns` knows about them.
    turns : bool
        Whether `learn` may hold a member's word against it, as a regression does with a negative coefficient.
    skips : bool
        Whether `forward_lazy` spares samples some of the members.
    member_names : tuple of str
        The members, in the order of the first axis of the logits; empty before `bind` or `fit`.
    """

    key: ClassVar[str]
    ensemble_name: ClassVar[str]
    learns: bool = True
    calibrates: bool = False
    needs_logits: bool = True
    allows_negative_weights: bool = False
    is_conditional: bool = False
    member_names: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.key = cls.__dict__.get("key", cls.__module__.rpartition(".")[2])
        cls.ensemble_name = cls.__dict__.get("ensemble_name", f"{cls.key}_ensemble")

    def __init__(self) -> None:
        super().__init__()
        self._notes: dict[str, Any] = {}

    def fit(self, predictions: Predictions) -> Self:
        """Bind the members and learn from rows that none of them has seen.

        Parameters
        ----------
        predictions : Predictions
            Logits `[M, N, C]`; with labels, where the combiner learns.

        Raises
        ------
        LeakError
            A member was trained on one of the rows.
        DataError
            Labels are needed and missing.
        """
        predictions.require_unseen(self.key)
        if self.learns:
            predictions.require_labels(self.key)
        self.bind(predictions.members)
        self._fit(predictions)
        return self

    def bind(self, members: Sequence[str]) -> Self:
        """Set the order of the members; all that a rule without learning needs."""
        self.member_names = tuple(members)
        return self

    def _fit(self, predictions: Predictions) -> None:
        """Learn from checked rows, and `keep` the result. A fixed rule has nothing to do."""

    @abstractmethod
    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`; dense, and exportable."""

    def infer(self, logits: Tensor) -> Tensor:
        """Return what `forward` returns; an entry may skip work that cannot change the result."""
        return self(logits)

    def forward_lazy(self, query: Query) -> Tensor:
        """Return what `forward` returns, `[B, C]`, asking members one by one for their logits.

        An entry may ask some members about some rows only, where the rest cannot change the result.
        """
        return self.infer(torch.stack([query(member, None) for member in range(len(self.member_names))]))

    def restrict_to_used(self) -> Combiner:
        """Return a fitted rule of the same result for those members alone whose word can change it.

        Its `member_names` are theirs. The rule itself where it hears all of them.
        """
        return self

    @torch.no_grad()
    def combine(
        self, logits: NDArray[np.floating], rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return log-probabilities, float32 `[N, C, ...]`, for an array of logits `[M, N, C, ...]`.

        The array may be memory-mapped: rows are read in tiles that stay in the processor's cache. Of some
        `rows` alone, where they are given.
        """
        if self.member_names and len(self.member_names) != len(logits):
            raise DataError(
                self.key,
                expected=f"logits of {len(self.member_names)} members, as in fit",
                got=f"{len(logits)}",
                todo="Select the members of the fit: predictions.select(...).",
            )
        block = max(16, TILE // max(1, len(logits) * int(np.prod(logits.shape[2:]))))
        count = logits.shape[1] if rows is None else len(rows)
        result = np.empty((count, *logits.shape[2:]), np.float32)
        for start in range(0, count, block):
            span = slice(start, start + block)
            tile = torch.from_numpy(np.array(logits[:, span if rows is None else rows[span]]))
            result[start : start + block] = self.infer(tile).numpy()
        return result

    def clone(self) -> Self:
        """Return an unfitted combiner with the same options."""
        return type(self)(**self.options())

    def options(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON values, nested combiners included."""
        return {name: _plain(getattr(self, name)) for name in inspect.signature(type(self)).parameters}

    def member_weights(self) -> dict[str, float] | None:
        """Return how much each member counts (sum 1), or None where that has no meaning."""
        return None

    def notes(self) -> dict[str, Any]:
        """Return what `fit` found out, as JSON values: a certificate, a temperature, a chosen strength."""
        return dict(self._notes)

    def affordable(self, members: int, rows: int, classes: int) -> bool:
        """Return whether a fit takes seconds; a rule that does not may be left out where nobody named it."""
        return True

    def set_buffers(self, **tensors: Tensor | NDArray[Any]) -> None:
        """Store learned tensors as buffers, replacing those of an earlier fit."""
        for name, value in tensors.items():
            self.register_buffer(name, torch.as_tensor(value))

    def rebind(self, members: Sequence[str], rule: Combiner, **tensors: Tensor) -> Combiner:
        """Return `rule`, unfitted, with the notes of this one, for `members` and with these buffers."""
        rule.member_names, rule._notes = tuple(members), dict(self._notes)
        rule.set_buffers(**tensors)
        return rule

    def learned(self, name: str) -> Tensor:
        """Return a learned buffer, or say that `fit` comes first."""
        if name not in self._buffers:
            raise UsageError(
                self.key,
                expected="a fitted combiner",
                got="one without weights",
                todo="Call fit(predictions) first.",
            )
        return self.get_buffer(name)


COMBINERS: Family[Combiner] = Family("committee.combiners", "combiner")


def is_conditional(combiner: nn.Module) -> bool:
    """Return whether a rule, or something inside it, spares samples some of the members."""
    return any(getattr(part, "is_conditional", False) is True for part in combiner.modules())


def build(spec: Combiner | str | Mapping[str, Any]) -> Combiner:
    """Return a combiner for its key, for `{"combiner": key, **options}`, or as it is.

    Raises
    ------
    UnknownNameError
        There is no combiner of that name.
    UsageError
        The combiner has no such option.
    """
    if isinstance(spec, Combiner):
        return spec
    if isinstance(spec, str):
        return COMBINERS.make(spec)
    if not isinstance(spec, Mapping) or not isinstance(spec.get("combiner"), str):
        raise RecipeError(
            "combiner",
            expected="its name, or a mapping with the key 'combiner' and its options",
            got=repr(spec),
        )
    return COMBINERS.make(spec["combiner"], **{key: spec[key] for key in spec if key != "combiner"})


def check_choice(who: str, value: str, choices: Sequence[str]) -> None:
    """Refuse an option that is none of `choices`; the sentence names the nearest."""
    if value not in choices:
        raise UsageError(
            who, expected=f"one of {', '.join(choices)}", got=f"'{value}'", todo=nearest(str(value), choices)
        )


def to_json(combiner: Combiner) -> dict[str, Any]:
    """Return all of a combiner but its tensors: key, options, members, notes, shapes of buffers."""
    parts = _parts(combiner).items()
    return {
        "protocol": PROTOCOL,
        "combiner": combiner.key,
        "options": combiner.options(),
        "members": list(combiner.member_names),
        "parts": {path: {"members": list(part.member_names), "notes": part._notes} for path, part in parts},
        "buffers": {name: _facts(tensor) for name, tensor in combiner.state_dict().items()},
    }


def from_json(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Combiner:
    """Rebuild a combiner from `to_json` and its tensors.

    Raises
    ------
    StoreError
        Another protocol, or tensors whose names, shapes or types are not those described.
    """
    if description.get("protocol") != PROTOCOL:
        raise StoreError(
            "combiner.json", expected=f"protocol {PROTOCOL}", got=str(description.get("protocol"))
        )
    facts = {name: _facts(tensor) for name, tensor in tensors.items()}
    if facts != description["buffers"]:
        raise StoreError("combiner.safetensors", expected=_listed(description["buffers"]), got=_listed(facts))
    combiner = build({"combiner": description["combiner"], **description["options"]})
    for path, part in _parts(combiner).items():
        part.member_names = tuple(description["parts"][path]["members"])
        part._notes = dict(description["parts"][path]["notes"])
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition(".")
        combiner.get_submodule(path).register_buffer(leaf, tensor)
    return combiner


def save(combiner: Combiner, folder: Path) -> None:
    """Write `combiner.json` and `combiner.safetensors` into `folder`."""
    tensors = {name: tensor.contiguous().clone() for name, tensor in combiner.state_dict().items()}
    text = json.dumps(to_json(combiner), indent=1)
    (folder / "combiner.json").write_text(text + "\n", encoding="utf-8")
    save_file(tensors, folder / "combiner.safetensors")


def load(folder: Path) -> Combiner:
    """Read what `save` wrote; nothing is unpickled.

    Raises
    ------
    StoreError
        A file is missing or damaged, or does not fit the other.
    """
    description = read_json(folder / "combiner.json", "a saved combiner")
    path = folder / "combiner.safetensors"
    try:
        read_header(path)
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StoreError(str(path), expected="a saved combiner", got=str(error)) from error
    return build_from(lambda: from_json(description, tensors), folder / "combiner.json", "a saved combiner")


def _parts(combiner: Combiner) -> dict[str, Combiner]:
    return {path: part for path, part in combiner.named_modules() if isinstance(part, Combiner)}


def _facts(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}


def _listed(facts: Mapping[str, Mapping[str, Any]]) -> str:
    tensors = (f"{name} {fact['dtype']} {fact['shape']}" for name, fact in sorted(facts.items()))
    return ", ".join(tensors) or "no tensors"


def _plain(value: Any) -> Any:
    if isinstance(value, Combiner):
        return {"combiner": value.key, **value.options()}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value

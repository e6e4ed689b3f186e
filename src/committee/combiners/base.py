"""The base class of combiners, and the functions that build, save and load them."""

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

from committee.base.limits import require_some
from committee.base.registry import Family
from committee.base.text import wrong_rows
from committee.base.tracing import constant, has_branches
from committee.combiners.shared.serving import FAMILY, Serving, default_task
from committee.combiners.shared.tiles import combined
from committee.errors import DataError, RecipeError, StoreError, UsageError, nearest
from committee.tasks.base import TASKS, task_of
from committee.untrusted.documents import build as build_from
from committee.untrusted.documents import read_json
from committee.untrusted.safetensors_header import read_header

if TYPE_CHECKING:
    from committee.predictions.table import Predictions

PROTOCOL = 1
PASS = 2e-8
"""Seconds in which a few passes read one logit."""

Query = Callable[[int, Tensor | None], Tensor]
"""Returns the logits `[R, C]` of a member, given its position and rows int64 `[R]` (None means all rows)."""


class Combiner(Serving, ABC):
    """Base class of rules that turn logits of several members into log-probabilities, or numbers into one.

    A constructor stores its arguments under their own names; specifications of nested combiners are built
    first. Fitting stores its result as buffers (`set_buffers`) and notes, so that the state of a combiner is
    tensors and JSON. An entry implements `forward`, and `_fit` if it learns.

    Attributes
    ----------
    key : str
        Name of the entry in its family, which is the name of its file.
    ensemble_name : str
        Name in the store of an ensemble with this combiner.
    serves : tuple of str
        Names of the target types that the rule combines: `classes`, `numbers`; those of pixels, for maps.
    is_conditional : bool
        Whether `forward_lazy` evaluates some members on a part of the samples only. Such a rule does not
        combine maps, since a network predicts all pixels of an image at once.
    task : Task
        The task of the members.
    learns : bool
        Whether `fit` needs labels. A combiner of combiners learns if one of them does.
    calibrates : bool
        Whether the rule can make the output more or less confident. The log-loss of such a combiner is
        compared with that of a calibrated single member, so that the gain is not that of a temperature.
    needs_logits : bool
        Whether `_fit` reads the logits themselves, and not only `committee.solvers.columns`.
    allows_negative_weights : bool
        Whether `_fit` may give a member a negative coefficient, as a regression does.
    member_names : tuple of str
        Members in the order of the first axis of the logits; empty before `bind` or `fit`.

    See Also
    --------
    build : Create a combiner from a key or a mapping.
    save, load : Store a fitted combiner.
    committee.scoring.score : Cross-fitted scores of a combiner.

    Examples
    --------
    A rule that returns the most confident member of each sample:

    >>> import numpy as np
    >>> from committee.combiners import Combiner
    >>> from committee.predictions import Predictions
    >>> class MostConfident(Combiner):
    ...     learns = False
    ...
    ...     def forward(self, logits):
    ...         log_probs = logits.log_softmax(dim=2)
    ...         best = log_probs.amax(dim=2).argmax(dim=0)
    ...         return log_probs[best, range(len(best))]
    >>> rows = Predictions.from_probabilities(
    ...     [[[0.9, 0.1]], [[0.4, 0.6]]], members=["a", "b"], class_names=["cat", "dog"]
    ... )
    >>> np.exp(MostConfident().fit(rows).combine(rows.logits)).astype(float).round(4).tolist()
    [[0.9, 0.1]]
    """

    key: ClassVar[str]
    ensemble_name: ClassVar[str]
    learns: bool = True
    calibrates: bool = False
    needs_logits: bool = True
    allows_negative_weights: bool = False
    member_names: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.key = cls.__dict__.get("key", cls.__module__.rpartition(".")[2])
        cls.ensemble_name = cls.__dict__.get("ensemble_name", f"{cls.key}_ensemble")

    def __init__(self) -> None:
        super().__init__()
        self._notes: dict[str, Any] = {}

    def fit(self, predictions: Predictions) -> Self:
        """Bind the members and fit the rule on rows that no member was trained on.

        Parameters
        ----------
        predictions : Predictions
            Logits `[M, N, C]`, with labels if the combiner learns.

        Raises
        ------
        LeakError
            A member was trained on one of the rows.
        DataError
            The combiner learns and the predictions have no labels.
        UsageError
            The combiner does not serve such predictions.
        """
        require_some(self.key, len(predictions.members), "member")
        require_some(self.key, len(predictions), "row")
        self.assign(task_of(predictions))
        predictions.require_unseen(self.key)
        if self.learns:
            predictions.require_labels(self.key)
        self.bind(predictions.members)
        self._fit(predictions)
        return self

    def bind(self, members: Sequence[str]) -> Self:
        """Set the members and their order. A rule that does not learn needs no other fit."""
        self.member_names = tuple(members)
        return self

    def _fit(self, predictions: Predictions) -> None:
        """Fit the rule on checked rows, and store the result with `set_buffers`."""

    @abstractmethod
    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`; all members are evaluated."""

    def infer(self, logits: Tensor) -> Tensor:
        """Return the same as `forward`; an entry may skip work that cannot change the result."""
        return self(logits)

    def forward_lazy(self, query: Query) -> Tensor:
        """Return the same as `forward`, `[B, C]`, requesting logits member by member.

        An entry may leave out members and rows that cannot change the result.
        """
        logits = torch.stack([query(member, None) for member in range(len(self.member_names))])
        return self(logits) if has_branches() else self.infer(logits)

    def restrict_to_used(self) -> Combiner:
        """Return a fitted rule with the same result for only those members that can change it.

        The rule returns itself if that is all of them.
        """
        return self

    def combine(
        self, logits: NDArray[np.floating], rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return log-probabilities, float32 `[N, C, ...]`, for an array of logits `[M, N, C, ...]`.

        Parameters
        ----------
        logits : float array [M, N, C, ...]
            May be memory-mapped, or `Blocks`: it is read in tiles.
        rows : int64 array [R], optional
            The rows to combine; all by default.
        """
        require_some(self.key, len(logits), "member")
        if self.member_names and len(self.member_names) != len(logits):
            raise DataError(
                self.key,
                expected=f"logits of {len(self.member_names)} members, as in fit",
                got=f"{len(logits)}",
                todo="Select the members of the fit: predictions.select(...).",
            )
        result = combined(self, logits, rows)
        known = ~np.isnan(result)
        if not known.all():
            raise DataError(
                self.key,
                expected="finite logits",
                got=f"NaN{wrong_rows(known)}",
                todo="Find the member with NaN: numpy.isnan(logits).any(axis=(1, 2)).",
            )
        return result

    def clone(self) -> Self:
        """Return an unfitted combiner with the same options."""
        return type(self)(**self.options())

    def options(self) -> dict[str, Any]:
        """Return the constructor's arguments as plain JSON values, nested combiners included."""
        return {name: _plain(getattr(self, name)) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def examples(cls, members: Sequence[str]) -> list[dict[str, Any]]:
        """Return options with which the combiner can be fitted in a moment, for members of these names.

        The contract tests build the combiner with each of them. A combiner whose constructor needs arguments,
        or whose fit takes long by default, overrides this method.
        """
        return [{}]

    def member_weights(self) -> dict[str, float] | None:
        """Return the weight of each member (sum 1), or None if the rule has no such weights."""
        return None

    def notes(self) -> dict[str, Any]:
        """Return details of the fit as JSON values, such as a temperature or a chosen penalty."""
        return dict(self._notes)

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes on one core, in seconds, given the sizes of the predictions.

        The default is the time of a few passes over the logits. An entry whose fit takes longer overrides it,
        so that callers can compare the time with a budget before they fit.
        """
        return PASS * members * rows * classes

    def set_buffers(self, **tensors: Tensor | NDArray[Any]) -> None:
        """Store fitted tensors as buffers, contiguous as loaded ones, replacing those of an earlier fit."""
        for name, value in tensors.items():
            self.register_buffer(name, torch.as_tensor(value).contiguous())

    def rebind(self, members: Sequence[str], rule: Combiner, **tensors: Tensor) -> Combiner:
        """Return the unfitted `rule` with these members and buffers, and with the notes of this rule."""
        rule.assign(self.task)
        rule.member_names, rule._notes = tuple(members), dict(self._notes)
        rule.set_buffers(**tensors)
        return rule

    def learned(self, name: str) -> Tensor:
        """Return a fitted buffer, or raise a UsageError if the combiner is not fitted."""
        if name not in self._buffers:
            raise UsageError(
                self.key,
                expected="a fitted combiner",
                got="an unfitted one",
                todo="Call fit(predictions) first.",
            )
        return self.get_buffer(name)

    def numbers(self, name: str) -> Any:
        """Return a fitted buffer as nested lists of numbers, which are constants in a recorded graph."""
        self.learned(name)
        return constant(self, name)


COMBINERS: Family[Combiner] = Family(*FAMILY)


def is_conditional(combiner: nn.Module) -> bool:
    """Return whether a module, or a part of it, evaluates some members on a part of the samples only."""
    return any(getattr(part, "is_conditional", False) is True for part in combiner.modules())


def build(spec: Combiner | str | Mapping[str, Any]) -> Combiner:
    """Return a combiner for its key or for `{"combiner": key, **options}`; a combiner is returned unchanged.

    Raises
    ------
    UnknownNameError
        There is no combiner with this key.
    UsageError
        The combiner does not have one of the options.

    Examples
    --------
    >>> from committee.combiners import build
    >>> build({"combiner": "weighted", "metric": "accuracy"}).options()
    {'weights': None, 'metric': 'accuracy', 'space': 'probability'}
    """
    if isinstance(spec, Combiner):
        return spec
    if isinstance(spec, str):
        return COMBINERS.make(spec)
    if not isinstance(spec, Mapping) or not isinstance(spec.get("combiner"), str):
        raise RecipeError(
            "combiner",
            expected="a name, or a mapping with the key 'combiner' and the options",
            got=repr(spec),
        )
    return COMBINERS.make(spec["combiner"], **{key: spec[key] for key in spec if key != "combiner"})


def check_choice(who: str, value: str, choices: Sequence[str]) -> None:
    """Raise a UsageError unless an option is one of `choices`; the message suggests the nearest one."""
    if value not in choices:
        raise UsageError(
            who, expected=f"one of {', '.join(choices)}", got=f"'{value}'", todo=nearest(str(value), choices)
        )


def to_json(combiner: Combiner) -> dict[str, Any]:
    """Describe a combiner without its tensors: key, options, members, notes and shapes of buffers."""
    parts = _parts(combiner).items()
    return {
        "protocol": PROTOCOL,
        "combiner": combiner.key,
        "task": combiner.task.key,
        "options": combiner.options(),
        "members": list(combiner.member_names),
        "parts": {path: {"members": list(part.member_names), "notes": part._notes} for path, part in parts},
        "buffers": {name: _spec_of(tensor) for name, tensor in combiner.state_dict().items()},
    }


def from_json(description: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Combiner:
    """Rebuild a combiner from `to_json` and its tensors.

    Raises
    ------
    StoreError
        The description has another protocol, or the names, shapes or types of the tensors do not match it.
    """
    if description.get("protocol") != PROTOCOL:
        raise StoreError(
            "combiner.json", expected=f"protocol {PROTOCOL}", got=str(description.get("protocol"))
        )
    found = {name: _spec_of(tensor) for name, tensor in tensors.items()}
    if found != description["buffers"]:
        raise StoreError("combiner.safetensors", expected=_listed(description["buffers"]), got=_listed(found))
    combiner = build({"combiner": description["combiner"], **description["options"]})
    combiner.assign(TASKS.make(description.get("task", default_task().key)))
    for path, part in _parts(combiner).items():
        part.member_names = tuple(description["parts"][path]["members"])
        part._notes = dict(description["parts"][path]["notes"])
    for name, tensor in tensors.items():
        path, _, leaf = name.rpartition(".")
        combiner.get_submodule(path).register_buffer(leaf, tensor)
    return combiner


def save(combiner: Combiner, folder: Path) -> None:
    """Write `combiner.json` and `combiner.safetensors` into `folder`; `Weighted` has an example."""
    tensors = {name: tensor.contiguous().clone() for name, tensor in combiner.state_dict().items()}
    text = json.dumps(to_json(combiner), indent=1)
    (folder / "combiner.json").write_text(text + "\n", encoding="utf-8")
    save_file(tensors, folder / "combiner.safetensors")


def load(folder: Path) -> Combiner:
    """Load a combiner that `save` wrote, as in the example of `Weighted`; nothing is unpickled.

    Raises
    ------
    StoreError
        A file is missing or damaged, or the two files do not match.
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


def _spec_of(tensor: Tensor) -> dict[str, Any]:
    return {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}


def _listed(specs: Mapping[str, Mapping[str, Any]]) -> str:
    tensors = (f"{name} {spec['dtype']} {spec['shape']}" for name, spec in sorted(specs.items()))
    return ", ".join(tensors) or "no tensors"


def _plain(value: Any) -> Any:
    if isinstance(value, Combiner):
        return {"combiner": value.key, **value.options()}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value

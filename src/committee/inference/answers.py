"""Predictions from the probabilities of an image: one class, a set of classes, or no class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, UsageError, first_five
from committee.metrics.conformal import Floats, check_coverage, sets
from committee.metrics.set_table import MIN_GROUPS, SetTable
from committee.models.predictor import Predictor
from committee.predictions.files.shared.writing import class_columns
from committee.predictions.probabilities import log_of

TOLERANCE = 1e-3
"""Largest deviation of a sum of probabilities from one."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Rule that turns probabilities into a predicted class and a prediction set.

    Parameters
    ----------
    class_names : sequence of str, length C
        Class of each column of the probabilities.
    limit : float or float array [C], optional
        Threshold of the prediction sets, or of each class; None for no sets.
    method : {"lac", "aps", "raps", "classwise"}
        Kind of the prediction sets.
    abstain_below : float, optional
        Smallest probability of the top class with which it is predicted, in 0..1; None predicts always.
    note : str
        Sentence about the guarantee of the prediction sets.
    coverage : float, optional
        Probability with which a set contains the true class, in 0..1.

    See Also
    --------
    answers : Build the rule from the thresholds that are stored with a model.
    committee.metrics.conformal.sets : The prediction sets.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.answers import Answers
    >>> rule = Answers(["cat", "dog", "fox"], limit=0.75, abstain_below=0.5)
    >>> rule.best(np.array([0.6, 0.3, 0.1], np.float32))
    'cat'
    >>> rule.set_of(np.array([0.6, 0.3, 0.1], np.float32))
    ['cat', 'dog']
    >>> rule.best(np.array([0.4, 0.3, 0.3], np.float32)) is None
    True
    """

    class_names: Sequence[str]
    limit: float | Floats | None = None
    method: str = "lac"
    abstain_below: float | None = None
    note: str = ""
    coverage: float | None = None

    def suffix(self) -> str:
        """Return the settings as ` (lac 0.95, abstain below 0.5)`, or an empty string for the defaults.

        It distinguishes predictions of one model that were made with different settings.
        """
        set_part = [] if self.coverage is None else [f"{self.method} {self.coverage:g}"]
        abstain_part = [] if self.abstain_below is None else [f"abstain below {self.abstain_below:g}"]
        return f" ({', '.join(set_part + abstain_part)})" if set_part or abstain_part else ""

    def best(self, probabilities: NDArray[np.float32]) -> str | None:
        """Return the most probable class of probabilities `[C]`, or None below `abstain_below`.

        Raises
        ------
        DataError
            These are not probabilities; see `why_invalid`.
        """
        reason = why_invalid(probabilities, len(self.class_names))
        if reason:
            raise DataError("the answer", expected=f"{len(self.class_names)} probabilities", got=reason)
        index = int(probabilities.argmax())
        unsure = self.abstain_below is not None and probabilities[index] < self.abstain_below
        return None if unsure else self.class_names[index]

    def set_of(self, probabilities: NDArray[np.float32]) -> list[str] | None:
        """Return the prediction set of probabilities `[C]`, most probable class first; None without sets."""
        if self.limit is None:
            return None
        inside = sets(log_of(probabilities)[None], self.limit, self.method)[0]
        order = np.argsort(-probabilities, kind="stable")
        return [self.class_names[index] for index in order if inside[index]]

    def header(self) -> list[str]:
        """Return the columns of a CSV file between `id` and `model`."""
        sets_column = ["prediction_set"] * (self.limit is not None)
        return ["prediction", *sets_column, *class_columns(self.class_names)]

    def cells(self, probabilities: NDArray[np.float32]) -> list[str]:
        """Return the cells of a CSV file for probabilities `[C]`; no class where the rule abstains."""
        members = self.set_of(probabilities)
        set_cell = [] if members is None else ["|".join(each.replace("|", "\\|") for each in members)]
        return [self.best(probabilities) or "", *set_cell, *map(str, probabilities)]

    def types(self) -> list[str]:
        """Return the Arrow types of the columns of `header`."""
        sets_column = ["list<string>"] * (self.limit is not None)
        return ["string", *sets_column, *["float"] * len(self.class_names)]

    def typed(self, probabilities: NDArray[np.float32]) -> list[Any]:
        """Return the values of these columns; no class where the rule abstains."""
        members = self.set_of(probabilities)
        set_value = [] if members is None else [members]
        return [self.best(probabilities), *set_value, *probabilities.tolist()]

    def columns(self) -> list[str]:
        """Return the columns of a table after `image`."""
        return ["prediction", "probability", *["set"] * (self.limit is not None)]

    def shown(self, probabilities: NDArray[np.float32]) -> list[object]:
        """Return the cells of a table for probabilities `[C]`."""
        set_cell = [] if self.limit is None else [", ".join(self.set_of(probabilities) or ())]
        return [self.best(probabilities) or "abstained", float(probabilities.max()), *set_cell]

    def entry(self, probabilities: NDArray[np.float32]) -> dict[str, Any]:
        """Return what JSON says of probabilities `[C]`."""
        best, by_class = (
            self.best(probabilities),
            dict(zip(self.class_names, probabilities.tolist(), strict=True)),
        )
        found: dict[str, Any] = {"prediction": best, "probability": float(probabilities.max())}
        found |= {} if self.abstain_below is None else {"abstained": best is None}
        found["probabilities"] = by_class
        return found if self.limit is None else {**found, "set": self.set_of(probabilities)}

    def facts(self) -> dict[str, Any]:
        """Return what JSON says of all images: the guarantee of the sets."""
        return {"sets": self.note} if self.note else {}


def why_invalid(values: NDArray[Any], classes: int) -> str:
    """Return why the answer of a model for one image is not the probabilities of its classes, or ''.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.answers import why_invalid
    >>> why_invalid(np.array([0.5, np.nan]), classes=2)
    'NaN or infinity'
    >>> why_invalid(np.array([0.5, 0.4]), classes=2)
    'values that sum to 0.9'
    """
    if values.shape != (classes,):
        return f"an array {list(values.shape)}"
    if not np.isfinite(values).all():
        return "NaN or infinity"
    if values.min() < -TOLERANCE or values.max() > 1 + TOLERANCE:
        outside = values.min() if values.min() < -TOLERANCE else values.max()
        return f"the value {outside:.4g}"
    total = float(values.sum(dtype=np.float64))
    return "" if abs(total - 1) <= TOLERANCE else f"values that sum to {total:.4g}"


def answers(
    class_names: Sequence[str],
    provenance: Mapping[str, Any],
    who: str,
    *,
    coverage: float | None,
    method: str = "lac",
    abstain_below: float | None = None,
) -> Answers:
    """Return the rule for a model, with the thresholds of prediction sets from its provenance.

    Parameters
    ----------
    class_names : sequence of str, length C
    provenance : mapping
        Facts about the model; `sets` contains the thresholds.
    who : str
        Name of the model in errors.
    coverage : float or None
        Probability with which a set shall contain the true class; None for no sets.
    method : {"lac", "aps", "raps", "classwise"}
        Kind of the sets.
    abstain_below : float, optional
        Smallest probability of the top class with which it is predicted.

    Raises
    ------
    UsageError
        The coverage or the probability is not valid.
    DataError
        The model has no thresholds.
    """
    if abstain_below is not None and not 0 <= abstain_below <= 1:
        raise UsageError("--abstain-below", expected="a probability in 0..1", got=f"{abstain_below:g}")
    if coverage is None:
        return Answers(class_names, None, method, abstain_below)
    check_coverage(coverage)
    found = provenance.get("sets")
    if found is None:
        raise DataError(
            who,
            expected="a model with thresholds of prediction sets",
            got="one without",
            todo="Build the ensemble again (committee build-ensemble), and export it again.",
        )
    table = SetTable.from_json(found, who)
    if len(table.by_class) != len(class_names):
        raise DataError(
            who, expected=f"thresholds of {len(class_names)} classes", got=f"those of {len(table.by_class)}"
        )
    limit = table.limit(coverage, method)
    note = _note(table, coverage, method, np.asarray(limit), class_names)
    return Answers(class_names, limit, method, abstain_below, note, coverage)


def answers_of(model: Predictor, **options: Any) -> Answers:
    """Return the rule for a model; see `answers`."""
    return answers(model.class_names, model.provenance, model.name, **options)


def _note(table: SetTable, coverage: float, method: str, limits: Floats, class_names: Sequence[str]) -> str:
    """Return the sentence about the guarantee of the sets."""
    if np.isinf(limits).all():
        grouped = table.groups is not None and table.groups >= MIN_GROUPS and method != "classwise"
        few = f"{table.groups} groups" if grouped else f"{table.n} rows"
        return f"{few} are too few for a coverage of {coverage:g}: each set contains all classes."
    promise = f"Each set contains the true class with a probability of {coverage:g}"
    if method != "classwise":
        return f"{promise} ({table.note})."
    note = f"{promise}, whichever class it is ({table.note}"
    note += ")." if table.groups is None else "; rows of one group are treated as independent)."
    always = first_five(name for name, limit in zip(class_names, limits, strict=True) if np.isinf(limit))
    return f"{note} Each set contains the classes of too few rows: {always}." if always else note

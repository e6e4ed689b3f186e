"""How a photo's probabilities become an answer: a class, a set that holds the right one, or none at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, UsageError
from committee.metrics.conformal import SetTable, check_coverage, sets

SMALLEST = np.finfo(np.float32).tiny


@dataclass(frozen=True, eq=False)
class Answers:
    """What is answered to probabilities.

    Attributes
    ----------
    class_names : sequence of str, length C
    limit : float or None
        Threshold of the sets; None where none are asked for.
    method : str
        `lac` or `aps`.
    abstain_below : float or None
        The least probability of the best class with which it is answered.
    note : str
        What the sets' promise is worth, in a sentence.
    coverage : float or None
        Of the sets.
    """

    class_names: Sequence[str]
    limit: float | None = None
    method: str = "lac"
    abstain_below: float | None = None
    note: str = ""
    coverage: float | None = None

    def in_words(self) -> str:
        """Return what tells answers of one model apart: ` (lac 0.95, abstain below 0.5)`, or nothing."""
        sets = [] if self.coverage is None else [f"{self.method} {self.coverage:g}"]
        below = [] if self.abstain_below is None else [f"abstain below {self.abstain_below:g}"]
        return f" ({', '.join(sets + below)})" if sets or below else ""

    def best(self, probabilities: NDArray[np.float32]) -> str | None:
        """Return the most probable class, or None where the answer is withheld."""
        place = int(probabilities.argmax())
        unsure = self.abstain_below is not None and probabilities[place] < self.abstain_below
        return None if unsure else self.class_names[place]

    def set_of(self, probabilities: NDArray[np.float32]) -> list[str] | None:
        """Return the classes of the set, most probable first; None where none are asked for."""
        if self.limit is None:
            return None
        inside = sets(np.log(np.maximum(probabilities, SMALLEST))[None], self.limit, self.method)[0]
        order = np.argsort(-probabilities, kind="stable")
        return [self.class_names[place] for place in order if inside[place]]


def answers(
    class_names: Sequence[str],
    provenance: Mapping[str, Any],
    who: str,
    *,
    coverage: float | None,
    method: str = "lac",
    abstain_below: float | None = None,
) -> Answers:
    """Return how to answer with sets of a coverage, or none, from what a model says about itself.

    Raises
    ------
    UsageError
        A coverage or a probability that cannot be.
    DataError
        The model has no thresholds.
    """
    if abstain_below is not None and not 0 <= abstain_below <= 1:
        raise UsageError("--abstain-below", expected="a probability", got=f"{abstain_below:g}")
    if coverage is None:
        return Answers(class_names, None, method, abstain_below)
    check_coverage(coverage)
    found = provenance.get("sets")
    if found is None:
        raise DataError(
            who,
            expected="thresholds of prediction sets",
            got="none",
            todo="Build the ensemble again (committee build-ensemble), and export it again.",
        )
    table = SetTable.from_json(found, who)
    limit = table.limit(coverage, method)
    note = f"sets hold the right class with a probability of {coverage:g} ({table.note})"
    if np.isinf(limit):
        note = f"{table.n} rows are too few for a coverage of {coverage:g}: sets hold all classes"
    return Answers(class_names, limit, method, abstain_below, note, coverage)

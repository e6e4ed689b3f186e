"""How prediction files are read, where their columns alone do not say it."""

from __future__ import annotations

from dataclasses import dataclass

from committee.errors import UsageError, nearest

LABELS_ARE, VALUES_ARE = ("names", "positions"), ("probabilities", "logits")


@dataclass(frozen=True)
class Reading:
    """What the caller knows about prediction files.

    Parameters
    ----------
    id_column, label_column : str, optional
        Names of the column (or array) of the sample ids and of the labels. By default, `id` and `label`, in
        any case, or a usual name of ids such as `image_id`, `filename`, or the unnamed index of pandas. A
        file that lacks the column is read by default.
    labels_are : {"names", "positions"}
        Whether labels are class names, or positions in the order of the classes.
    values_are : {"probabilities", "logits"}, optional
        What the scores are. By default, those of tables are probabilities, and arrays are what their name
        says.

    Raises
    ------
    UsageError
        A value is unknown.

    See Also
    --------
    committee.predictions.files.read : Read the predictions of one model.

    Examples
    --------
    >>> from committee.predictions.reading import Reading
    >>> Reading(id_column="image").labels_are
    'names'
    """

    id_column: str | None = None
    label_column: str | None = None
    labels_are: str = "names"
    values_are: str | None = None

    def __post_init__(self) -> None:
        _check("labels_are", self.labels_are, LABELS_ARE)
        if self.values_are is not None:
            _check("values_are", self.values_are, VALUES_ARE)


def _check(who: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(who, expected=" or ".join(choices), got=f"'{value}'", todo=nearest(value, choices))


DEFAULT = Reading()

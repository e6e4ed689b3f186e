"""How prediction files are read, where their columns alone do not say it."""

from __future__ import annotations

from dataclasses import dataclass

from committee.errors import UsageError, nearest
from committee.predictions.target_types import NUMBERS, TargetType

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
    target_type : TargetType, optional
        Whether labels are classes or numbers. By default, what the names of arrays say, and classes in
        tables; `committee.combine` infers it from the labels.
    on_disk : bool
        Whether scores of NPY and safetensors files, and of NPZ files that are not compressed, stay there, and
        are read in blocks. Of several files, those of more than 1 GB together do.

    Raises
    ------
    UsageError
        A value is unknown, or says how classes are read while labels are numbers.

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
    target_type: TargetType | None = None
    on_disk: bool = False

    def __post_init__(self) -> None:
        _check("labels_are", self.labels_are, LABELS_ARE)
        if self.values_are is not None:
            _check("values_are", self.values_are, VALUES_ARE)
        if self.target_type is NUMBERS and self.is_of_classes:
            name = "labels_are" if self.values_are is None else "values_are"
            raise UsageError(
                name,
                expected="none for numbers, since it says how classes are read",
                got=f"'{getattr(self, name)}'",
                todo="Leave it out.",
            )

    @property
    def is_of_classes(self) -> bool:
        """Whether the caller said how labels or scores of classes are read."""
        return self.values_are is not None or self.labels_are != "names"


def _check(who: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(who, expected=" or ".join(choices), got=f"'{value}'", todo=nearest(value, choices))


DEFAULT = Reading()

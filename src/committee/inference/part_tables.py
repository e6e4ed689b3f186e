"""Arrow tables of predictions: the columns of a CSV file with their types, and why an image has no answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from committee.errors import require
from committee.inference.map_files import map_file
from committee.inference.predict import Prediction
from committee.inference.rules import Rule
from committee.models.predictor import Predictor
from committee.predictions.target_types import target_type_of

ID, MAP, ERROR, MODEL = "id", "map", "error", "model"


class PartTables:
    """Turns predictions into Arrow tables.

    Columns are `id`, those of the CSV file of the same rule, of models of maps `map` (the file of the map, as
    `MapFiles` writes it), `error`, and `model`. Of an image that could not be read, all are null but `id`,
    `error` and `model`. If a class has the name of another column, class columns are `class:<name>`.

    Parameters
    ----------
    model : Predictor
    rule : Rule
        The rule for its predictions.
    name : str, optional
        What the column `model` has: by default, the name of the model with the settings of the rule.

    Raises
    ------
    DependencyError
        pyarrow is not installed.

    See Also
    --------
    committee.inference.parts.Parts : Writes them.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.answers import Answers
    >>> from committee.inference.part_tables import PartTables
    >>> from committee.inference.predict import Prediction
    >>> class Pets:
    ...     name, class_names = "pets", ("cat", "dog")
    >>> tables = PartTables(Pets(), Answers(["cat", "dog"]))
    >>> tables.of([Prediction("a.jpg", np.array([0.25, 0.75], np.float32))]).to_pylist()
    [{'id': 'a.jpg', 'prediction': 'dog', 'cat': 0.25, 'dog': 0.75, 'error': None, 'model': 'pets'}]
    """

    def __init__(self, model: Predictor, rule: Rule, name: str | None = None) -> None:
        arrow = _arrow()
        self.model, self.rule = model, rule
        self.name = name or f"{model.name}{rule.suffix()}"
        self._dense = target_type_of(model).dense
        names, types = rule.header(), rule.types()
        if {ID, MAP, ERROR, MODEL} & {*names}:
            names = [
                name if kind == "string" else f"class:{name}" for name, kind in zip(names, types, strict=True)
            ]
        fields = [(ID, "string"), *zip(names, types, strict=True), *[(MAP, "binary")] * self._dense]
        fields += [(ERROR, "string"), (MODEL, "string")]
        self.schema = arrow.schema([(name, _type(arrow, kind)) for name, kind in fields])

    def of(self, predictions: Iterable[Prediction]) -> Any:
        """Return the table of some predictions, a row for each."""
        arrow = _arrow()
        rows = [self._row(each) for each in predictions]
        columns = zip(*rows, strict=True) if rows else [()] * len(self.schema)
        arrays = [arrow.array(column, field.type) for column, field in zip(columns, self.schema, strict=True)]
        return arrow.Table.from_arrays(arrays, schema=self.schema)

    def _row(self, prediction: Prediction) -> list[Any]:
        found = prediction.probabilities
        if found is None:
            nothing = [None] * (len(self.schema) - 3)
            return [prediction.id, *nothing, prediction.reason, self.name]
        maps = [map_file(self.model, found)[1]] if self._dense else []
        return [prediction.id, *self.rule.typed(found), *maps, None, self.name]


def _type(arrow: Any, kind: str) -> Any:
    return (
        arrow.list_(arrow.string()) if kind == "list<string>" else getattr(arrow, _ALIASES.get(kind, kind))()
    )


_ALIASES = {"float": "float32", "double": "float64"}


def _arrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise require("pyarrow", "parquet", "predictions as Parquet") from None
    return pa

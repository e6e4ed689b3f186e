"""Names: labels, ids and groups are text in every format, and a number is a position only if that is said."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file

from committee.base.csv_cells import cell
from committee.errors import DataError
from committee.predictions.files.base import read, read_labels
from committee.predictions.folds_of_files import read_models
from committee.predictions.names import class_indices
from committee.predictions.reading import Reading
from committee.predictions.table import Predictions

Columns = dict[str, Any]
NAN = float("nan")


def save_npz(path: Path, columns: Columns) -> None:
    names = {"id": "ids", "label": "labels", "group": "groups", "fold": "folds"}
    classes = [name for name in columns if name not in names]
    arrays = {names[name]: np.array(values) for name, values in columns.items() if name in names}
    if classes:
        arrays |= {"probs": np.stack([columns[name] for name in classes], 1), "classes": np.array(classes)}
    np.savez(path, **arrays)


def save_safetensors(path: Path, columns: Columns) -> None:
    save_npz(path.with_suffix(".npz"), columns)
    arrays = dict(np.load(path.with_suffix(".npz")))
    texts = {name: json.dumps(array.tolist()) for name, array in arrays.items() if array.dtype.kind == "U"}
    save_file({name: array for name, array in arrays.items() if name not in texts}, path, texts)


def save_parquet(path: Path, columns: Columns) -> None:
    parquet.write_table(pa.table(columns), path)


def save_csv(path: Path, columns: Columns) -> None:
    rows = zip(*columns.values(), strict=True)
    blank = [["" if value != value else value for value in row] for row in rows]
    path.write_text(
        "".join(",".join(map(cell, row)) + "\n" for row in [[*columns], *blank]), encoding="utf-8"
    )


WRITERS = {"npz": save_npz, "safetensors": save_safetensors, "parquet": save_parquet, "csv": save_csv}
FORMATS = pytest.mark.parametrize("kind", WRITERS)


def written(folder: Path, kind: str, name: str = "m", /, **columns: Any) -> Path:
    path = folder / f"{name}.{kind}"
    WRITERS[kind](path, columns)
    return path


def scores(classes: list[str], rows: int = 3) -> Columns:
    values = np.random.default_rng(0).dirichlet(np.ones(len(classes)), rows)
    return dict(zip(classes, values.T, strict=True))


def sentence(act: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        act()
    return str(caught.value)


@FORMATS
@pytest.mark.parametrize("as_text", [True, False])
@pytest.mark.parametrize(
    ("classes", "labels", "places"),
    [
        (["2", "0", "1"], [2, 0, 1], [0, 1, 2]),
        (["0", "1", "2"], [2, 0, 1], [2, 0, 1]),
        (["prob_0", "prob_1", "prob_10", *(f"prob_{k}" for k in range(2, 10))], [10, 2, 9], [10, 2, 9]),
        (["class 3", "class 1", "class 2"], [1, 2, 3], [1, 2, 0]),
    ],
)
def test_labels_are_names_in_every_format(
    kind: str, as_text: bool, classes: list[str], labels: list[int], places: list[int], tmp_path: Path
) -> None:
    given = [str(label) for label in labels] if as_text else labels
    path = written(tmp_path, kind, id=["a", "b", "c"], **scores(classes), label=given)
    found = read(path, "m")
    meant = [int("".join(filter(str.isdigit, found.class_names[place]))) for place in found.labels]
    assert meant == labels
    if kind in ("npz", "safetensors") and classes[0] != "prob_0":
        assert found.labels.tolist() == places


@FORMATS
def test_positions_are_refused_with_both_readings_or_asked_for(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path, kind, id=["a", "b", "c"], **scores(["cat", "dog"]), label=[1, 0, 1])
    assert sentence(lambda: read(path, "m")) == (
        f"{path}: labels: expected classes among 'cat', 'dog', got '0', '1'. If these are positions "
        "(0 is 'cat', 1 is 'dog'), say so: --labels-are positions, or labels_are='positions'."
    )
    assert read(path, "m", Reading(labels_are="positions")).labels.tolist() == [1, 0, 1]


def test_whole_numbers_beside_class_names_are_indices_unless_the_classes_have_other_numbers() -> None:
    def making(classes: list[str], **rest: Any) -> list[int]:
        made = Predictions.from_logits(
            np.zeros((2, len(classes))), members=["m"], class_names=classes, labels=[1, 0], **rest
        )
        assert made.labels is not None
        return made.labels.tolist()

    assert making(["cat", "dog"]) == making(["0", "1"]) == [1, 0]
    assert making(["1", "0"], labels_are="names") == [0, 1]
    assert making(["1", "0"], labels_are="positions") == [1, 0]
    assert sentence(lambda: making(["1", "0"])) == (
        "predictions: labels: expected class names, since the names of the classes are numbers in another "
        "order, got whole numbers: 1 is the class '1' by name, and the class '0' by position. "
        "Say which is meant: labels_are='names' or labels_are='positions'."
    )
    assert class_indices([7.0, 8.0], ["8", "7"], "x").tolist() == [1, 0]


def test_ids_groups_and_labels_join_as_text_across_formats(tmp_path: Path) -> None:
    numbers, texts = [7, 8, 10], ["7", "8", "10"]
    columns = scores(["1", "2"])
    files = [
        written(tmp_path, "npz", "a", id=numbers, **columns, label=[1, 2, 2], group=[10.0, 7.0, 7.0]),
        written(tmp_path, "csv", "b", id=texts, **columns, label=["1", "2", "2"], group=["10", "7", "7"]),
        written(tmp_path, "parquet", "c", id=[7.0, 8.0, 10.0], **columns, label=[1, 2, 2], group=[10, 7, 7]),
        written(
            tmp_path, "csv", "d", id=["7.0", "8.0", "10.0"], **columns, label=[1, 2, 2], group=list("zyy")
        ),
    ]
    joined = read_models(files)
    assert joined.sample_ids.tolist() == texts and joined.labels.tolist() == [0, 1, 1]
    assert joined.groups.tolist() == [10, 7, 7]


@FORMATS
@pytest.mark.parametrize("missing", ["", NAN])
def test_a_missing_group_is_a_group_of_its_own(kind: str, missing: Any, tmp_path: Path) -> None:
    groups = ["g", missing, missing] if missing == "" or kind == "npz" else [3.0, missing, missing]
    path = written(tmp_path, kind, id=["a", "b", "c"], **scores(["x", "y"]), group=groups)
    assert len({*read(path, "m").groups.tolist()}) == 3


@FORMATS
def test_missing_labels(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = {"id": ["a", "b", "c"], **scores(["x", "y"])}
    assert read(written(tmp_path, kind, **rows, label=["", "", ""]), "m").labels is None
    path = written(tmp_path, kind, **rows, label=["x", "", "y"])
    assert sentence(lambda: read(path, "m")) == (
        f"{path}: column 'label': expected a value in each row, or in none, got none in 1 of 3 rows, 'b'. "
        "Remove these rows, or leave the labels to another file: --labels FILE."
    )
    with caplog.at_level(logging.WARNING):
        assert read_labels(path).ids.tolist() == ["a", "c"]
    assert caplog.messages == [f"{path}: 1 of 3 rows have no label and are left out"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_other_columns_of_a_file_of_labels_do_not_matter(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path, kind, Id=[1, 2], Label=["x", "y"], site=["north", "south"], width=[3, 4])
    assert read_labels(path).labels.tolist() == ["x", "y"]


@FORMATS
def test_missing_ids_and_folds_are_refused(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path, kind, id=["a", "", "c"], **scores(["x", "y"]))
    assert sentence(lambda: read(path, "m")).endswith(
        "expected a value in each row, got none in 1 of 3 rows, the first of which is row 2."
    )
    path = written(tmp_path, kind, id=["a", "b", "c"], **scores(["x", "y"]), fold=[0.0, NAN, 1.0])
    assert "expected whole numbers" in sentence(lambda: read(path, "m"))


@FORMATS
def test_answers_that_are_not_finite_are_refused_with_their_rows(kind: str, tmp_path: Path) -> None:
    for value in (NAN, float("inf")):
        columns = {"x": [0.5, value, 0.5], "y": [0.5, 0.5, 0.5]}
        path = written(tmp_path, kind, id=["a", "b", "c"], **columns)
        text = sentence(lambda path=path: read(path, "m"))
        assert (
            "in the first of 1 invalid rows, 'b'" in text
            or "column 'x': expected numbers, got '' in row 2" in text
        )

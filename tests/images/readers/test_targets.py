"""Numeric targets in all formats of tables, and what is said of those that are not numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from committee.errors import DataError, UsageError
from committee.images.source import read
from committee.recipe.dataset import Dataset as Settings

NUMBERS = [20.5, 33.25, 47.0, 18.75]


def images(folder: Path, count: int) -> list[str]:
    names = [f"{number}.png" for number in range(count)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(folder / name)
    return names


def write(folder: Path, reader: str, columns: dict) -> Path:
    """Write a data set in one of the formats; the columns are lists of equal length."""
    count = len(next(iter(columns.values())))
    if reader == "numpy":
        np.savez(folder / "d.npz", images=np.zeros((count, 8, 8), np.uint8), **columns)
        return folder / "d.npz"
    key = "file_name" if reader == "metadata" else "path"
    table = {key: images(folder, count), **columns}
    if reader == "parquet":
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(arrow.table(table), folder / "d.parquet")
        return folder / "d.parquet"
    path = folder / ("metadata.csv" if reader == "metadata" else "d.csv")
    lines = [",".join(map(str, row)) for row in zip(*table.values(), strict=True)]
    path.write_text("\n".join([",".join(table), *lines]) + "\n", encoding="utf-8")
    return folder if reader == "metadata" else path


@pytest.mark.parametrize("reader", ["csv", "parquet", "metadata", "numpy"])
def test_named_targets_are_numbers(tmp_path, reader):
    path = write(tmp_path, reader, {"age": NUMBERS, "height": [1, 2, 3, 4]})
    samples = read(Settings(path=str(path), targets=["height", "age"]))
    assert samples.class_names == ("height", "age") and samples.target_type.name == "numbers"
    assert samples.values.tolist() == [[row + 1, age] for row, age in enumerate(NUMBERS)]
    fewer = samples.without({samples.ids[0]})
    assert fewer.values.tolist() == samples.values[1:].tolist() and fewer.texts()[0] == "2, 33.25"


def test_columns_of_labels_are_targets_of_an_archive(tmp_path):
    path = write(tmp_path, "numpy", {"labels": [[1.0, 2.0], [3.0, 5.0]]})
    samples = read(Settings(path=str(path), targets=["x", "y"]))
    assert samples.class_names == ("x", "y") and samples.values.tolist() == [[1, 2], [3, 5]]


@pytest.mark.parametrize(
    ("labels", "task", "found"),
    [
        (["cat", "dog", "cat"], "auto", "classes"),
        ([0, 1, 0, 1, 2], "auto", "classes"),
        (NUMBERS, "auto", "numbers"),
        (NUMBERS, "classification", "classes"),
        ([0, 1, 0, 1, 2], "regression", "numbers"),
    ],
)
def test_the_task_follows_from_the_labels(tmp_path, labels, task, found, caplog):
    caplog.set_level("INFO")
    samples = read(Settings(path=str(write(tmp_path, "csv", {"label": labels})), task=task))
    assert samples.target_type.name == found
    said = "labels are numbers, such as 20.5, 33.25, 47.0: the task is regression"
    assert (said in caplog.messages) == (task == "auto" and found == "numbers")


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        ([0.5, 1.0, 0.5, 1.0], "2 different numbers in 4 rows, such as 0.5, 1.0"),
        (list(range(30)), "30 different numbers in 30 rows, such as 0, 1, 2"),
    ],
)
def test_doubt_is_an_error_with_both_readings(tmp_path, labels, got):
    with pytest.raises(DataError) as caught:
        read(Settings(path=str(write(tmp_path, "csv", {"label": labels}))))
    assert got in str(caught.value) and str(caught.value).endswith(
        "Set dataset.task=classification if each number is a class, or dataset.task=regression to predict "
        "the number."
    )


@pytest.mark.parametrize(
    ("cells", "got"),
    [
        (["1", "", "3", "4"], "nothing in row 2 (1.png)"),
        (["1", "NaN", "3", "4"], "nothing in row 2 (1.png)"),
        (["1", "2", "inf", "old"], "'inf' in row 3 (2.png), 'old' in row 4 (3.png)"),
    ],
)
@pytest.mark.parametrize("reader", ["csv", "metadata"])
def test_what_is_no_number_is_named_by_row(tmp_path, cells, got, reader):
    path = write(tmp_path, reader, {"age": cells})
    file = path / "metadata.csv" if reader == "metadata" else path
    with pytest.raises(DataError) as caught:
        read(Settings(path=str(path), targets=["age"]))
    assert str(caught.value) == (
        f"{file}: column 'age': expected a finite number in each row, got {got}. "
        "Correct or remove these rows."
    )


def test_what_cannot_be_predicted_is_refused(tmp_path):
    path = str(write(tmp_path, "csv", {"age": NUMBERS, "one": [1, 1, 1, 1]}))
    with pytest.raises(DataError) as caught:
        read(Settings(path=path, targets=["age", "one"]))
    assert str(caught.value) == (
        "targets: 'one': expected numbers that differ, got the same number in all rows. "
        "There is nothing to predict: leave the target out."
    )
    path = str(write(tmp_path, "csv", {"age": NUMBERS, "huge": [1, -1e300, 1, 1]}))
    with pytest.raises(
        DataError, match=r"'huge': expected numbers between .*, got -1e\+300\. Give them in a"
    ):
        read(Settings(path=path, targets=["age", "huge"]))
    with pytest.raises(ValueError, match="targets that differ"):
        Settings(path=path, targets=["age", "age"])
    with pytest.raises(UsageError) as refused:
        read(Settings(path=path, targets=["age"], task="classification"))
    assert str(refused.value) == (
        "dataset.targets: expected no targets for the task classification, got 'age'. "
        "Remove dataset.targets, or set dataset.task=regression."
    )
    with pytest.raises(DataError, match=r"expected a column 'old', got .*\. Name one of these columns\."):
        read(Settings(path=path, targets=["old"]))
    path = str(write(tmp_path, "csv", {"label": ["cat", "dog", "cat", "dog"]}))
    with pytest.raises(DataError) as text:
        read(Settings(path=path, task="regression"))
    assert str(text.value) == (
        "labels: expected numbers for the task regression, got text: 'cat', 'dog'. "
        "Set dataset.targets to the columns of numbers, or dataset.task=classification."
    )


def test_a_line_of_json_has_targets(tmp_path):
    lines = [{"file_name": name, "age": age} for name, age in zip(images(tmp_path, 4), NUMBERS, strict=True)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert read(Settings(path=str(tmp_path), targets=["age"])).values[:, 0].tolist() == NUMBERS

"""Tables of stored predictions of numbers: what `committee combine` reads."""

from __future__ import annotations

from pathlib import Path

from committee.inference.prediction_tables import _write
from committee.predictions.table import Predictions


def test_true_numbers_are_a_column_of_one_target_and_a_file_of_several(tmp_path: Path) -> None:
    one = Predictions.from_values(
        [[1.5], [2.5]], members=["a"], target_names=["age"], labels=[1.25, 2.25], folds=[0, 1]
    )
    _write(one, tmp_path / "one.csv", force=False)
    assert (tmp_path / "one.csv").read_text().splitlines() == [
        "id,age,fold,label",
        "0,1.5,0,1.25",
        "1,2.5,1,2.25",
    ]
    assert not (tmp_path / "one_labels.csv").exists()
    two = Predictions.from_values([[1.5, 3]], members=["a"], target_names=["age", "id"], labels=[[1.25, 4]])
    _write(two, tmp_path / "two.csv", force=False)
    assert (tmp_path / "two.csv").read_text().splitlines() == ["id,class:age,class:id", "0,1.5,3.0"]
    assert (tmp_path / "two_labels.csv").read_text().splitlines() == ["id,class:age,class:id", "0,1.25,4.0"]

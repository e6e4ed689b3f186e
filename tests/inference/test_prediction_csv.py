"""A CSV file that goes on where it was, and refuses to go on where it should not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from committee.errors import DataError, UsageError
from committee.inference.answers import Answers
from committee.inference.prediction_csv import PredictionCsv, write_unreadable
from committee.predictions.files.base import read

CLASSES = ("ant", "bee, wasp")
HEADER = 'id,prediction,ant,"bee, wasp",model\n'


def write(path: Path, *names: str, model: str = "vote") -> set[str]:
    rule = Answers(CLASSES)
    with PredictionCsv(path, rule.header(), model) as rows:
        before = set(rows.done)
        for name in names:
            rows.write(name, rule.cells(np.array([0.25, 0.75], np.float32)))
    return before


def test_goes_on_where_it_was(tmp_path):
    path = tmp_path / "new" / "out.csv"
    assert write(path, "a.jpg", "b.jpg") == set()
    assert write(path, "c, d.jpg") == {"a.jpg", "b.jpg"}
    assert write(path) == {"a.jpg", "b.jpg", "c, d.jpg"}
    row = ',"bee, wasp",0.25,0.75,vote\n'
    assert path.read_text(encoding="utf-8") == f'{HEADER}a.jpg{row}b.jpg{row}"c, d.jpg"{row}'


@pytest.mark.parametrize("cut", [1, 5, 25])
def test_a_row_cut_short_is_written_again(tmp_path, cut):
    path = tmp_path / "out.csv"
    write(path, "a.jpg", "b.jpg")
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    assert write(path, "b.jpg") == {"a.jpg"}
    assert path.read_bytes() == whole


@pytest.mark.parametrize("kept", [0, 1, 20])
def test_a_header_cut_short_is_written_again(tmp_path, kept):
    path = tmp_path / "out.csv"
    path.write_text(HEADER[:kept], encoding="utf-8")
    assert write(path) == set()
    assert path.read_text(encoding="utf-8") == HEADER


def test_another_header_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("id,p0,p1,label\n1,2,3,4", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        write(path)
    assert str(caught.value) == (
        f"{path}: expected the header 'id,prediction,ant,\"bee, wasp\",model', got 'id,p0,p1,label'. "
        "Give another file, or remove this one."
    )
    assert path.read_text(encoding="utf-8") == "id,p0,p1,label\n1,2,3,4"


def test_rows_of_another_model_are_refused(tmp_path):
    path = tmp_path / "out.csv"
    write(path, "a.jpg", model="stacking_lr")
    with pytest.raises(DataError) as caught:
        write(path)
    assert str(caught.value) == (
        f"{path}: expected predictions of vote, got those of stacking_lr. "
        "Give another file, or remove this one."
    )


def test_sets_and_abstentions(tmp_path):
    path = tmp_path / "out.csv"
    classes = ("ant", "bee|wasp")
    rule = Answers(classes, limit=0.8, abstain_below=0.9)
    with PredictionCsv(path, rule.header(), "vote") as rows:
        rows.write("a.jpg", rule.cells(np.array([0.25, 0.75], np.float32)))
    assert path.read_text(encoding="utf-8") == (
        "id,prediction,prediction_set,ant,bee|wasp,model\na.jpg,,bee\\|wasp|ant,0.25,0.75,vote\n"
    )
    found = read(path, "vote")
    assert found.class_names == classes and found.logits.shape == (1, 1, 2)


def test_only_a_list_of_unreadable_images_is_replaced(tmp_path):
    path = tmp_path / "out.unreadable.csv"
    for reason in ("broken", "a comma, and more"):
        write_unreadable(path, {"=a.jpg": reason})
    assert path.read_text(encoding="utf-8") == 'id,reason\n\'=a.jpg,"a comma, and more"\n'
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="the file exists with other content"):
        write_unreadable(path, {"a.jpg": "broken"})


def test_class_names_of_any_kind_are_read_back_and_continued(tmp_path):
    names = ["model", "prediction", "=cmd|' /c calc'!A1"]
    for name in ("a.jpg", "-b.jpg", "a.jpg"):
        rule = Answers(names)
        with PredictionCsv(tmp_path / "out.csv", rule.header(), "vote") as rows:
            if name not in rows.done:
                rows.write(name, rule.cells(np.array([0.25, 0.25, 0.5], np.float32)))
    found = read(tmp_path / "out.csv", "m")
    assert found.class_names == tuple(names) and found.sample_ids.tolist() == ["a.jpg", "-b.jpg"]
    assert "\n=" not in (tmp_path / "out.csv").read_text() and ",=" not in (tmp_path / "out.csv").read_text()

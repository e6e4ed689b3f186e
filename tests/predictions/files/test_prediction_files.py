"""Prediction files: all formats read the same predictions, and errors name the fault."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from safetensors.numpy import save_file

from committee.errors import CommitteeError, DataError, DependencyError, UsageError
from committee.predictions.files.base import FILES, member_names, read, read_labels
from committee.predictions.files.shared.writing import write_csv
from committee.predictions.table import Predictions

IDS = ["b.png", 'a "1", left.png', "ü.png"]
CLASSES = ("cat", "dog", "no, owl")
PROBS = np.array([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5], [1.0, 0.0, 0.0]])


def sentence(error: type[CommitteeError], act: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        act()
    return str(caught.value)


def write_npz(path: Path) -> None:
    np.savez(
        path,
        probs=PROBS,
        ids=IDS,
        classes=CLASSES,
        labels=["cat", "dog", "cat"],
        folds=[0, 1, 0],
        groups=["p", "q", "q"],
    )


def write_safetensors(path: Path) -> None:
    header = {"ids": json.dumps(IDS), "classes": json.dumps(CLASSES), "labels": '["cat", "dog", "cat"]'}
    save_file({"probs": PROBS, "folds": np.array([0, 1, 0]), "groups": np.array([0, 1, 1])}, path, header)


def write_parquet(path: Path) -> None:
    columns: dict[str, Any] = {
        "id": IDS,
        "label": ["cat", "dog", "cat"],
        "fold": [0, 1, 0],
        "group": ["p", "q", "q"],
    }
    parquet.write_table(pa.table({**columns, **dict(zip(CLASSES, PROBS.T, strict=True))}), path)


def write_text(path: Path) -> None:
    path.write_text(
        '\ufeffid,cat,"no, owl",dog,label,fold,group\r\n'
        "b.png,.7,.1,.2,cat,0,p\r\n"
        '"a ""1"", left.png",0.25,5e-1,0.25,dog,1,q\r\n'
        "\r\n"
        "ü.png,1,0,0,cat,0,q\r\n",
        encoding="utf-8",
        newline="",
    )


WRITERS = {"npz": write_npz, "safetensors": write_safetensors, "parquet": write_parquet, "csv": write_text}


def test_every_format_is_tested() -> None:
    """A format that is not written here has a test file of its own."""
    here = Path(__file__).parent
    assert all(name in WRITERS or (here / f"test_{name}.py").is_file() for name in FILES.names())


@pytest.mark.parametrize("name", WRITERS)
def test_contract(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{name}"
    WRITERS[name](path)
    found = read(path, "model")
    expected = Predictions.from_probabilities(PROBS, members=["model"], class_names=CLASSES, sample_ids=IDS)
    joined = Predictions.join(
        [
            Predictions.from_logits(np.zeros((3, 3)), members=["other"], class_names=CLASSES, sample_ids=IDS),
            found,
        ]
    )
    np.testing.assert_allclose(joined.logits[1], expected.logits[0], atol=1e-6)
    assert joined.labels is not None and joined.labels.tolist() == [0, 1, 0]
    assert joined.folds is not None and joined.folds.tolist() == [0, 1, 0]
    assert joined.groups is not None and joined.groups.tolist() == [0, 1, 1]
    labels = read_labels(path)
    assert labels.labels is not None and labels.labels.tolist() == ["cat", "dog", "cat"]


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("damage", ["empty", "half", "text", "binary"])
def test_damaged_files_are_one_sentence(name: str, damage: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{name}"
    WRITERS[name](path)
    content = path.read_bytes()
    damaged = {
        "empty": b"",
        "half": content[: len(content) * 2 // 3],
        "text": b"hello",
        "binary": b"\xff\xfe\x00" * 9,
    }
    path.write_bytes(damaged[damage])
    assert sentence(DataError, lambda: read(path, "model")).startswith(str(path))


def test_csv_sentences(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"

    def reading(text: str) -> str:
        path.write_text(text, encoding="utf-8")
        return sentence(DataError, lambda: read(path, "m")).removeprefix(str(path))

    assert reading("") == ": expected a header and rows below it, got an empty file."
    assert reading("id,p0,p1\n") == ": expected a header and rows below it, got a header only."
    assert reading("ids,p0\n1,1\n") == (
        ": expected a column 'id', got the columns 'ids', 'p0'. Did you mean 'ids'?"
    )
    assert reading("id,p0,p0\n1,1,0\n") == ": expected unique column names, got duplicates of 'p0'."
    assert (
        reading("id,p0,p1\na,0.5,0.5\nb,0.5,half\n")
        == ": column 'p1': expected numbers, got 'half' in row 2."
    )
    assert reading("id,p0,p1\na,0.5,\n") == ": column 'p1': expected numbers, got '' in row 1."
    assert reading("id,p0,p1\na,0.5,0.5\nb,c,0.5,0.5\n") == (
        ":3: expected 3 fields, as in the header, got 4. Quote text that contains commas."
    )
    assert reading("id,p0,p1\na,0.5\n") == (
        ":2: expected 3 fields, as in the header, got 2. Quote text that contains commas."
    )
    assert reading('id,p0,p1\n"a,0.5,0.5\n') == ": expected CSV, got unexpected end of data."
    assert reading("id,p0,p1\na,0.5,0.7\n") == (
        ": expected non-negative probabilities that sum to 1, "
        "got a sum of 1.2 in the first of 1 invalid rows, 'a'. Give unnormalized scores as logits: "
        "--values-are logits, or Predictions.from_logits."
    )
    assert reading("id,p0,p1\na,0.5,0.5\na,0.5,0.5\n") == (
        ": sample ids: expected unique names, got duplicates of 'a'."
    )
    assert reading("id,p0\na,1\n") == (
        ": expected a column for each class, or one for the class 1, got the column 'p0' alone. "
        "If it is the probability of the class 1, rename it p1; otherwise add the column p1."
    )
    assert reading("id,cat,dog,fold\na,1,0,x\n") == ": column 'fold': expected whole numbers, got 'x'."
    assert (
        reading("id,cat,dog,label\na,1,0,cow\n")
        == ": labels: expected classes among 'cat', 'dog', got 'cow'."
    )
    assert reading("id,label\na,cat\n") == (
        ": expected predictions, with one column for each class, got ids and labels only. "
        "Give files of labels with --labels."
    )
    path.write_bytes("id,p0,p1\né,1,0\n".encode("latin-1"))
    assert (
        sentence(DataError, lambda: read(path, "m")) == f"{path}: expected CSV in UTF-8, got invalid bytes."
    )
    path.write_text("id,p0,p1\na,1,0\n", encoding="utf-8")
    assert sentence(DataError, lambda: read_labels(path)) == (
        f"{path}: expected ids and labels, got no labels. "
        "A CSV file needs the columns id and label, an NPZ file the arrays ids and labels."
    )


def test_numbered_columns_are_put_in_order(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    numbered = ",".join(f"p{index}" for index in reversed(range(11)))
    path.write_text(f"{numbered},id\n" + "0," * 10 + "1,x\n", encoding="utf-8")
    found = read(path, "m")
    assert found.class_names == tuple(map(str, range(11)))
    assert found.logits[0, 0].argmax() == 0


def test_npz_sentences(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"

    def reading(**arrays: Any) -> str:
        np.savez(path, **arrays)
        return sentence(DataError, lambda: read(path, "m")).removeprefix(str(path))

    assert reading(id=["a"], probs=[[1, 0]]) == (
        ": expected an array 'ids', got the arrays 'id', 'probs'. Did you mean 'id'?"
    )
    assert reading(ids=["a"], probability=[[1, 0]]) == (
        ": expected one of the arrays 'logits' and 'probs', or 'values' of numbers, "
        "got the arrays 'ids', 'probability'."
    )
    assert reading(ids=["a"], probs=[[1, 0]], logits=[[1, 0]]) == (
        ": expected one of the arrays 'logits' and 'probs', or 'values' of numbers, got 'logits' and 'probs'."
    )
    assert reading(ids=["a"], probs=[1, 0]) == ": probs: expected an array [N, C], got [2]."
    assert reading(ids=["a", "b"], probs=[[1, 0]]) == ": sample ids: expected 1 ids, one for each row, got 2."
    assert reading(ids=[1.5], probs=[[1, 0]]) == (": ids: expected text or whole numbers, got 1.5.")
    assert (
        reading(ids=["a"], probs=[[1, 0]], labels=[0, 1])
        == ": labels: expected 1 values, one for each id, got an array [2]."
    )
    assert reading(ids=["a"], probs=[[1, 0]], classes=["x", "y", "z"]) == (
        ": expected an array [1, N, 3] of members, samples and classes, got [1, 1, 2]."
    )
    assert reading(ids=np.array([{}], dtype=object), probs=[[1, 0]]) == (
        ": expected named NumPy arrays without Python objects, "
        "got Object arrays cannot be loaded when allow_pickle=False. Save the arrays with numpy.savez."
    )
    with path.open("wb") as file:
        np.save(file, np.zeros((2, 2)))
    assert sentence(DataError, lambda: read(path, "m")) == (
        f"{path}: expected named NumPy arrays without Python objects, got a single array. "
        "Save the arrays with numpy.savez."
    )


def test_safetensors_sentences(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"

    def reading(**header: str) -> str:
        save_file({"probs": PROBS}, path, header)
        return sentence(DataError, lambda: read(path, "m")).removeprefix(str(path))

    assert reading() == ": expected an array 'ids', got the arrays 'probs'."
    assert reading(ids="a,b") == ": ids: expected a JSON list, got 'a,b'."
    assert (
        reading(ids='{"a": 1}') == ": ids: expected a JSON list of text or whole numbers, got '{\"a\": 1}'."
    )


def test_parquet_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.parquet"
    parquet.write_table(pa.table({"id": ["a"], "cat": ["x"], "dog": [0.5]}), path)
    assert (
        sentence(DataError, lambda: read(path, "m")) == f"{path}: column 'cat': expected numbers, got string."
    )
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert sentence(DependencyError, lambda: read(path, "m")) == (
        f"{path}: expected the package 'pyarrow', got none installed. "
        "Install it with: pip install 'committee[parquet]'"
    )


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["npz", "safetensors"])
def test_logits_of_any_type_and_numbers_as_ids(name: str, kind: type, tmp_path: Path) -> None:
    path, arrays = tmp_path / f"m.{name}", {"logits": np.eye(3, dtype=kind), "ids": np.array([7, 8, 9])}
    if name == "npz":
        np.savez(path, **arrays)
    else:
        save_file(arrays, path)
    found = read(path, "m")
    np.testing.assert_array_equal(found.logits[0], np.eye(3))
    assert found.sample_ids.tolist() == ["7", "8", "9"] and found.class_names == ("0", "1", "2")


def test_a_saved_folder_is_a_file_too(tmp_path: Path) -> None:
    two = Predictions.from_logits(np.zeros((2, 3, 2)), members=["a", "b"], class_names=["x", "y"])
    two.save(tmp_path)
    assert read(tmp_path, "ignored").members == ("a", "b")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "model.npz").touch()
    path = tmp_path / "modle.npz"
    assert sentence(UsageError, lambda: read(path, "m")) == (
        f"{path}: the file does not exist. Did you mean 'model.npz'?"
    )
    assert sentence(UsageError, lambda: read(tmp_path, "m")) == (
        f"{tmp_path}: expected a file, or a folder of saved predictions, got another kind of folder."
    )
    path = tmp_path / "model.cvs"
    path.touch()
    suffixes = sorted(suffix for name in FILES.names() for suffix in FILES.load(name).suffixes)
    assert sentence(UsageError, lambda: read(path, "m")) == (
        f"{path}: expected a file name that ends in {', '.join(suffixes)}, got '.cvs'. Did you mean '.csv'?"
    )


def test_names_of_members(tmp_path: Path) -> None:
    for name in ("a/m.npz", "b/m.npz", "b/m.csv", "v1.5.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def naming(*names: str) -> list[str]:
        return member_names([tmp_path / name for name in names])

    assert naming("a/m.npz", "v1.5.npz") == ["m", "v1.5"]
    assert naming("a/m.npz", "b/m.npz") == ["a/m", "b/m"]
    assert naming("b/m.npz", "b/m.csv") == ["m.npz", "m.csv"]
    twice = sentence(UsageError, lambda: naming("a/m.npz", "a/../a/m.npz"))
    assert twice.startswith("files: expected distinct files, got duplicates of ")


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8),
        min_size=1,
        max_size=6,
        unique_by=str.strip,
    ),
    st.integers(2, 5),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], classes: int, named: bool
) -> None:
    ids = [name.strip() or "blank" for name in ids]
    path = tmp_path_factory.mktemp("out") / "deep" / "combined.csv"
    names = tuple(f"class {index}, so" if named else str(index) for index in range(classes))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), len(ids))
    labels = np.arange(len(ids)) % classes
    write_csv(path, ids, probabilities, names, labels)
    found = read(path, "m")
    assert found.class_names == names and found.sample_ids.tolist() == ids
    assert found.labels is not None and found.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(np.exp(found.logits[0]), probabilities, rtol=1e-6)


@pytest.mark.parametrize(
    "names",
    [
        ("model", "id", "label", "group", "fold"),
        ("ID", "Seen", "prediction", "Unnamed: 0"),
        ("p0", "p1"),
        ("prob_1", "prob_0"),
        ("class:a", "class:b"),
        ("=cmd|'/c calc'!A1", "@SUM(1)", "'quoted", "-x"),
        ("nan", "NaN", "-5"),
        ("image", "path"),
        ("0", "1", "10", "2"),
    ],
)
@pytest.mark.parametrize("certain", [False, True])
def test_any_class_name_survives_our_own_csv(tmp_path: Path, names: tuple[str, ...], certain: bool) -> None:
    rows = len(names)
    probabilities = np.eye(rows) if certain else np.random.default_rng(0).dirichlet(np.ones(rows), rows)
    ids = [f"=1+{row}" for row in range(rows)]
    write_csv(tmp_path / "x.csv", ids, probabilities, names, np.arange(rows))
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        cells = list(csv.reader(file))
    assert not any(cell[:1] in ("=", "@") for row in cells for cell in row)
    found = read(tmp_path / "x.csv", "m")
    assert found.sample_ids.tolist() == ids
    assert [found.class_names[label] for label in found.labels] == list(names)
    order = [found.class_names.index(name) for name in names]
    np.testing.assert_allclose(np.exp(found.logits[0])[:, order], probabilities, rtol=1e-5, atol=2e-6)


def test_written_columns(tmp_path: Path) -> None:
    probabilities = np.array([[0.25, 0.75]])
    for names, header in (
        (("0", "1"), "id,0,1"),
        (("cat", "dog"), "id,cat,dog"),
        (("id", "x"), "id,class:id,class:x"),
    ):
        write_csv(tmp_path / "x.csv", ["s"], probabilities, names)
        assert (tmp_path / "x.csv").read_text(encoding="utf-8") == f"{header}\ns,0.25,0.75\n"

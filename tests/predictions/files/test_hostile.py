"""Untrusted prediction files: they are read, or rejected with one sentence."""

from __future__ import annotations

import contextlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from safetensors.numpy import save_file

from committee.errors import CommitteeError, DataError, StoreError
from committee.predictions.files.base import read, read_labels
from committee.predictions.files.shared.writing import write_csv
from committee.predictions.table import Predictions
from committee.store.commit import commit
from committee.untrusted import growth

IDS = ["b.png", 'a "1", left.png', "ü.png"]
PROBS = np.array([[0.7, 0.3], [0.25, 0.75], [1.0, 0.0]], np.float32)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
"""Any text that a file can contain."""


def save_npz(path: Path, ids: list[str], classes: list[str], values: Any, labels: list[str]) -> None:
    np.savez(path, probs=values, ids=np.array(ids), classes=np.array(classes), labels=np.array(labels))


def save_safetensors(path: Path, ids: list[str], classes: list[str], values: Any, labels: list[str]) -> None:
    lists = {"ids": json.dumps(ids), "classes": json.dumps(classes), "labels": json.dumps(labels)}
    save_file({"probs": values}, path, lists)


def save_parquet(path: Path, ids: list[str], classes: list[str], values: Any, labels: list[str]) -> None:
    columns = dict(zip(classes, values.T, strict=True))
    parquet.write_table(pa.table({"id": ids, **columns, "label": labels}), path)


def save_csv(path: Path, ids: list[str], classes: list[str], values: Any, labels: list[str]) -> None:
    write_csv(path, ids, values, tuple(classes), np.array([classes.index(label) for label in labels]))


WRITERS = {"npz": save_npz, "safetensors": save_safetensors, "parquet": save_parquet, "csv": save_csv}
TOKENS = [
    b",",
    b"\n",
    b'"',
    b"\0",
    b"nan",
    b"inf",
    b"-",
    b"1e400",
    b"p0",
    b"id",
    b"label",
    b"fold",
    b"\xff",
    b"\x80",
    b"\xed\xa0\x80",
    b"9" * 30,
    b"\r",
    b"x" * 140_000,
    "\u0663".encode(),
    b"\x7f" + b"\xff" * 7,
]


@pytest.mark.parametrize("kind", WRITERS)
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(TOKENS) | st.binary(max_size=9)),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=150)
def test_nothing_but_our_errors_comes_out_of_a_changed_file(tmp_path_factory, kind, changes):
    path = tmp_path_factory.getbasetemp() / f"changed.{kind}"
    WRITERS[kind](path, IDS, ["cat", "dog"], PROBS, ["cat", "dog", "cat"])
    content = path.read_bytes()
    for place, gone, new in changes:
        start = int(place * len(content))
        content = content[:start] + new + content[start + gone :]
    path.write_bytes(content)
    with contextlib.suppress(CommitteeError):
        read(path, "m")
    with contextlib.suppress(CommitteeError):
        read_labels(path)


@pytest.mark.parametrize("kind", WRITERS)
@given(content=st.binary(max_size=200))
@settings(max_examples=60)
def test_nothing_but_our_errors_comes_out_of_any_bytes(tmp_path_factory, kind, content):
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    path.write_bytes(content)
    with pytest.raises(CommitteeError):
        read(path, "m")


@pytest.mark.parametrize("kind", WRITERS)
@given(data=st.data())
@settings(max_examples=60)
def test_what_is_saved_is_what_is_read(tmp_path_factory, kind, data):
    strip = kind == "csv"  # cells are trimmed, and lines have two kinds of endings
    names = NAMES.map(lambda name: name.strip().replace("\r", "")).filter(bool) if strip else NAMES
    ids = data.draw(st.lists(names, min_size=1, max_size=5, unique=True))
    taken = {"id", "label", "fold", "group", "prediction", "model"}
    columns = names.filter(lambda name: name not in taken and not (name[0] == "p" and name[1:].isdigit()))
    classes = data.draw(st.lists(columns, min_size=2, max_size=4, unique=True))
    values = np.random.default_rng(0).dirichlet(np.ones(len(classes)), len(ids)).astype(np.float32)
    labels = [classes[row % len(classes)] for row in range(len(ids))]
    path = tmp_path_factory.getbasetemp() / f"odd.{kind}"
    WRITERS[kind](path, ids, classes, values, labels)
    found = read(path, "m")
    assert found.sample_ids.tolist() == ids and [found.class_names[label] for label in found.labels] == labels
    order = [found.class_names.index(name) for name in classes]
    np.testing.assert_allclose(np.exp(found.logits[0])[:, order], values, rtol=1e-5)


@given(
    ids=st.lists(NAMES, min_size=1, max_size=5, unique=True),
    names=st.lists(NAMES, min_size=3, max_size=3, unique=True),
    labeled=st.booleans(),
    folded=st.booleans(),
)
def test_a_folder_comes_back_bit_by_bit(tmp_path_factory, ids, names, labeled, folded):
    folder = tmp_path_factory.mktemp("saved")
    rows = len(ids)
    made = Predictions.from_logits(
        np.random.default_rng(0).normal(size=(2, rows, 3)),
        members=["a", names[0] + "x"],
        class_names=names,
        sample_ids=ids,
        labels=np.arange(rows) % 3 if labeled else None,
        folds=np.arange(rows) if folded else None,
        groups=np.arange(rows)[::-1],
        seen=np.arange(2 * rows).reshape(2, rows) % 2 == 0,
    )
    made.save(folder)
    found = read(folder, "ignored")
    assert (found.members, found.class_names) == (made.members, made.class_names)
    for name in ("logits", "sample_ids", "labels", "folds", "groups", "seen"):
        before, after = getattr(made, name), getattr(found, name)
        assert (before is None) == (after is None)
        assert before is None or (before.dtype == after.dtype and np.array_equal(before, after))


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_pickle_under_any_name_does_not_run(tmp_path, kind):
    (tmp_path / f"m.{kind}").write_bytes(pickle.dumps({"ids": Canary(tmp_path / "ran")}))
    with pytest.raises(DataError):
        read(tmp_path / f"m.{kind}", "m")
    assert not (tmp_path / "ran").exists()


def test_objects_in_an_archive_do_not_run(tmp_path):
    np.savez(tmp_path / "m.npz", ids=np.array([Canary(tmp_path / "ran")], dtype=object), probs=PROBS)
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        read(tmp_path / "m.npz", "m")
    assert not (tmp_path / "ran").exists()


def saved(folder: Path) -> Path:
    Predictions.from_probabilities(
        PROBS, members=["a"], class_names=["x", "y"], sample_ids=IDS, labels=[0, 1, 0], folds=[0, 1, 0]
    ).save(folder)
    return folder


FACTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)
KEYS = st.sampled_from(["protocol", "members", "class_names", "columns", "sample_ids"])


@given(st.dictionaries(KEYS, FACTS, min_size=1))
def test_nothing_but_our_errors_comes_out_of_a_folder_s_description(tmp_path_factory, changes):
    folder = tmp_path_factory.getbasetemp() / "described"
    saved(folder)
    path = folder / "predictions.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**facts, **changes}), encoding="utf-8")
    with contextlib.suppress(CommitteeError):
        read(folder, "m")


def test_no_column_of_a_folder_leads_outside(tmp_path):
    folder = saved(tmp_path / "folder")
    np.save(tmp_path / "secret.npy", np.zeros(3, np.int64))
    path = folder / "predictions.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts["columns"].append("../secret")
    path.write_text(json.dumps(facts), encoding="utf-8")
    assert read(folder, "m").labels.tolist() == [0, 1, 0]  # only columns with known names are read


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        (
            "logits",
            np.full((1, 3, 2), np.nan, np.float32),
            "expected finite numbers, got NaN or infinity for ",
        ),
        ("labels", np.array([0, 1, 2]), "labels: expected class indices 0 to 1, got 2."),
        ("labels", np.array([0.0, 1.0, 1.0]), "labels: expected whole numbers, got an array of float64."),
        ("folds", np.array(["a", "b", "c"]), "folds: expected whole numbers, got an array of <U1."),
    ],
)
def test_columns_of_a_folder_are_checked(tmp_path, name, array, message):
    saved(tmp_path)
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(CommitteeError) as caught:
        read(tmp_path, "m")
    assert message in str(caught.value)


def test_a_flipped_byte_of_stored_predictions_is_refused(tmp_path):
    with commit(tmp_path / "oof", kind="predictions", fingerprint="x") as new:
        saved(new)
    path = tmp_path / "oof" / "logits.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        read(tmp_path / "oof", "m")
    assert str(caught.value) == (
        f"{path}: expected the content that was stored, got other bytes. Run the command that made it again."
    )


def test_a_column_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "HARMLESS", 1_000_000)
    ids = ["x" * 5_000, *map(str, range(2_000))]
    values = np.tile(PROBS[:1], (len(ids), 1))
    for kind, write in WRITERS.items():
        if kind == "npz":
            continue  # this format already stores every id at the length of the longest
        write(tmp_path / f"m.{kind}", ids, ["cat", "dog"], values, ["cat"] * len(ids))
        with pytest.raises(DataError, match=r"expected a list of names, got \d+ bytes that unpack to \d+\."):
            read(tmp_path / f"m.{kind}", "m")


def test_a_parquet_file_of_endless_repetition_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "HARMLESS", 1_000_000)
    rows = 2_000_000
    parquet.write_table(
        pa.table({"id": pa.array(np.zeros(rows, np.int64)), "cat": np.ones(rows, np.float32)}),
        tmp_path / "m.parquet",
    )
    with pytest.raises(DataError, match=r"expected a Parquet table, got \d+ bytes that unpack to 16000000\."):
        read(tmp_path / "m.parquet", "m")


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"a": 1}] * 3),
        pa.array([[1]] * 3),
        pa.array([b"x"] * 3),
        pa.array([1.5] * 3),
        pa.array([True] * 3),
        pa.array([None, "a", "b"]),
        pa.array([None] * 3),
        pa.array([1, 2, 3], pa.timestamp("ns")),
    ],
)
def test_parquet_columns_of_odd_types(tmp_path, column):
    for name in ("id", "label", "cat"):
        table = {
            "id": ["a", "b", "c"],
            "cat": PROBS[:, 0],
            "dog": PROBS[:, 1],
            "label": ["cat"] * 3,
            name: column,
        }
        parquet.write_table(pa.table(table), tmp_path / "m.parquet")
        if name == "cat" and column.type == pa.float64():
            continue
        expected = "(text or whole numbers|numbers|a value in each row)"
        with pytest.raises(DataError, match=rf"column '{name}': expected {expected}"):
            read(tmp_path / "m.parquet", "m")


@pytest.mark.parametrize(
    ("name", "rows"), [("same", 20_000), ("x" * 20_000, 200)], ids=["many equal ids", "a long equal id"]
)
def test_a_dictionary_of_equal_values_is_counted_before_it_is_read(tmp_path, monkeypatch, name, rows):
    monkeypatch.setattr(growth, "HARMLESS", 1_000_000)
    ids = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([name]))
    path = tmp_path / "m.parquet"
    parquet.write_table(pa.table({"id": ids, "cat": np.ones(rows), "dog": np.zeros(rows)}), path)
    with pytest.raises(
        DataError, match=r"expected a Parquet table, got \d+ bytes that unpack to \d+\."
    ) as caught:
        read(path, "m")
    assert path.stat().st_size < 20_000 and str(caught.value).startswith(str(path))

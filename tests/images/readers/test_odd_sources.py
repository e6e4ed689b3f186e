"""Readers return samples or raise a CommitteeError, whatever their files contain."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from committee.errors import CommitteeError
from committee.images.dataset import preview_dataset
from committee.images.readers.base import READERS, Samples
from committee.images.source import read
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store


@pytest.fixture(scope="module")
def folder():
    """A folder that examples of Hypothesis share, with four images `0.png`..`3.png`."""
    with tempfile.TemporaryDirectory() as name:
        for row in range(4):
            Image.new("L", (3, 3), 50 * row).save(Path(name, f"{row}.png"))
        yield Path(name)


def attempt(path: Path, key: str) -> Samples | str:
    """Read, and preview the splits; return the samples or the error message."""
    try:
        samples = read(Settings(path=str(path), reader=key))
        with contextlib.suppress(CommitteeError):
            settings = Settings(path=str(path), reader=key)
            preview_dataset(settings, Store(path.parent / "store"), folds=2, seed=0)
    except CommitteeError as error:
        return str(error)
    return samples


CELLS = st.one_of(
    st.sampled_from(
        [
            "0.png",
            "1.png",
            "./2.png",
            "3.png",
            "../x",
            "/",
            "",
            "train",
            "test",
            "0",
            "1",
            "9" * 30,
            "-",
            "nan",
            "a\0b",
            "x" * 300,
            "😀",
            '"',
            "a\nb",
        ]
    ),
    st.text(max_size=5),
)
HEADERS = st.permutations(["path", "file_name", "label", "fold", "group", "split"]).flatmap(
    lambda names: st.integers(0, 6).map(lambda count: names[:count])
)


@given(HEADERS, st.lists(st.lists(CELLS, max_size=7), max_size=8))
@settings(max_examples=150)
def test_any_table(folder, header, rows):
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    content = text.getvalue().encode("utf-8", "surrogatepass")
    for name, key in (("table.csv", "csv"), ("metadata.csv", "metadata")):
        (folder / name).write_bytes(content)
        attempt(folder / name if key == "csv" else folder, key)


@given(st.binary(max_size=200), st.sampled_from(["csv", "metadata", "numpy", "parquet"]))
@settings(max_examples=150)
def test_any_bytes(folder, content, key):
    name = {"csv": "any.csv", "metadata": "metadata.csv", "numpy": "any.npz", "parquet": "any.parquet"}[key]
    start = {"numpy": b"PK\x03\x04", "parquet": b"PAR1"}.get(key, b"path,label\n")
    for each in (content, start + content):
        (folder / name).write_bytes(each)
        found = attempt(folder if key == "metadata" else folder / name, key)
        assert isinstance(found, str)


ANY_ARRAY = st.one_of(
    arrays.arrays(
        st.one_of(arrays.scalar_dtypes(), arrays.unicode_string_dtypes(), arrays.byte_string_dtypes()),
        arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
    ),
    arrays.arrays(np.uint8, st.sampled_from([(4, 3, 3), (4, 3, 3, 3), (4, 1, 2, 2), (0, 3, 3)])),
    st.sampled_from([np.array(["a", "b", "a", "b"]), np.arange(4), np.array([0, 1, 0, np.nan])]),
)


@given(
    st.dictionaries(
        st.sampled_from(["images", "labels", "splits", "folds", "groups", "class_names", "x"]), ANY_ARRAY
    )
)
@settings(max_examples=150)
def test_any_arrays(folder, named):
    np.savez(folder / "arrays.npz", **named)
    attempt(folder / "arrays.npz", "numpy")


@given(st.sampled_from(["numpy", "parquet"]), st.data())
@settings(max_examples=120)
def test_any_damage(folder, key, data):
    path = folder / {"numpy": "whole.npz", "parquet": "whole.parquet"}[key]
    if key == "numpy":
        np.savez_compressed(path, images=np.zeros((4, 3, 3), np.uint8), labels=np.arange(4) % 2)
    else:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"path": ["0.png", "1.png"], "label": ["a", "b"]}), path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    attempt(path, key)


def test_a_parquet_cell_may_be_anything(folder):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    cells = {
        "text": ["/etc/passwd", "x"],
        "list": [[1], []],
        "bytes as text": [{"bytes": "0.png"}] * 2,
        "none": [None, None],
        "number": [1.5, float("nan")],
        "time": [0, 1],
    }
    for kind, column in cells.items():
        table = pyarrow.table({"image": column, "label": ["a", "b"]})
        if kind == "time":
            table = table.set_column(0, "image", pyarrow.array(column, pyarrow.timestamp("ns")))
        parquet.write_table(table, folder / "odd.parquet")
        sentence = attempt(folder / "odd.parquet", "parquet")
        assert isinstance(sentence, str), kind
        missing = {"none": "got none in row 1, 2.", "number": "got none in row 2."}
        assert missing.get(kind, "do not exist") in sentence, (kind, sentence)


def test_pickles_do_not_run(tmp_path):
    class Canary:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    payload = np.array([Canary()], dtype=object)
    np.savez(tmp_path / "a.npz", images=payload, labels=payload)
    for name in ("images", "labels"):
        np.save(tmp_path / f"{name}.npy", payload)
    for path in (tmp_path / "a.npz", tmp_path):
        sentence = attempt(path, "numpy")
        assert isinstance(sentence, str) and "expected arrays without Python objects" in sentence
    assert not (tmp_path / "ran").exists()


# --- names ------------------------------------------------------------


POSIX = pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="a disk that takes any name")
ODD = [
    "with space.png",
    " .png",
    "new\nline.png",
    "tab\t\x1b[2J.png",
    "é.png",
    "e\u0301.png",
    "雪😀.png",
    "a.png",
    "A.png",
    "quote\"'.png",
    "100%.png",
    "back\\slash.png",
    "-rf.png",
    "x" * 251 + ".png",
]


@POSIX
def test_odd_names_are_samples(tmp_path):
    for label in ("Cat", "cat ", "été"):
        (tmp_path / "root" / label).mkdir(parents=True)
        for row, name in enumerate(ODD):
            Image.new("L", (3, 3), row * 9 + len(label)).save(tmp_path / "root" / label / name)
    found = attempt(tmp_path / "root", "folder")
    assert isinstance(found, Samples)
    assert set(found.ids) == {f"{label}/{name}" for label in ("Cat", "cat ", "été") for name in ODD}
    assert all((tmp_path / "root" / name).is_file() for name in found.ids)


@POSIX
def test_a_name_that_is_no_text_is_refused(tmp_path):
    for label in ("cat", "dog"):
        (tmp_path / "root" / label).mkdir(parents=True)
        Image.new("L", (3, 3)).save(tmp_path / "root" / label / "0.png")
    shutil.copy(tmp_path / "root/cat/0.png", os.fsencode(tmp_path / "root/cat") + b"/caf\xe9.png")
    assert attempt(tmp_path / "root", "folder") == (
        "names of images and classes: expected valid Unicode, got 'cat/caf\\udce9.png'. Rename them."
    )


@POSIX
def test_classes_that_look_alike_are_reported(tmp_path, caplog):
    for label in ("Cat", "cat", "é", "e\u0301", "dog"):
        (tmp_path / label).mkdir()
        Image.new("L", (3, 3)).save(tmp_path / label / "0.png")
    found = read(Settings(path=str(tmp_path)))
    assert len(found.class_names) == 5
    assert caplog.messages == [
        "classes 'Cat', 'cat': similar names are different classes",
        "classes 'e\u0301', 'é': similar names are different classes",
    ]


@POSIX
def test_a_name_in_another_unicode_form_is_explained(tmp_path):
    Image.new("L", (3, 3)).save(tmp_path / "e\u0301.png")
    (tmp_path / "t.csv").write_text("path,label\né.png,a\n", encoding="utf-8")
    assert attempt(tmp_path / "t.csv", "csv") == (
        f"{tmp_path / 't.csv'}: column 'path': files that do not exist in {tmp_path.as_posix()}: "
        "'é.png'. There is a file with this name in another Unicode form (NFC or NFD): rename it."
    )


def test_names_that_no_disk_takes(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\n" + "x" * 400 + ".png,a\n", encoding="utf-8")
    sentence = attempt(tmp_path / "t.csv", "csv")
    assert isinstance(sentence, str) and "do not exist in" in sentence and ": 'xxx" in sentence
    for path in ("x" * 400, "a\0b"):
        with pytest.raises(CommitteeError):
            read(Settings(path=str(tmp_path / path)))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path):
    for label in ("cat/deep", "dog"):
        (tmp_path / label).mkdir(parents=True)
        Image.new("L", (3, 3)).save(tmp_path / label / "0.png")
    (tmp_path / "cat/deep").chmod(0)
    try:
        assert attempt(tmp_path, "folder") == (
            f"{tmp_path / 'cat/deep'}: the folder cannot be read (permission denied). "
            "Check its name, its permissions and the disk."
        )
    finally:
        (tmp_path / "cat/deep").chmod(0o700)


def test_every_reader_is_tested_with_invalid_data():
    """A reader that is not tested here has a test file of its own."""
    here = {"csv", "digits", "folder", "metadata", "numpy", "parquet"}
    others = set(READERS.names()) - here
    assert all(Path(__file__).with_name(f"test_{name}.py").is_file() for name in others)

"""The contract of every reader, and the errors of invalid data."""

import sys
from pathlib import Path

import numpy as np
import pytest

from committee.errors import CommitteeError
from committee.images.decode import decode
from committee.images.readers.base import READERS, Samples, sorted_classes
from committee.images.source import read


@pytest.fixture
def layouts(make_folder, make_table, tmp_path):
    """Return one data set for each reader, by its key."""
    table = make_table(["path", "label"], lambda row: [f"images/{row}.png", "odd" if row % 2 else "even"])
    text = table.read_text("utf-8")
    beside = make_folder("beside", {"deep/images": 24})
    (beside / "metadata.csv").write_text(
        text.replace("path,label", "file_name,label").replace("images/", "deep/images/"), "utf-8"
    )
    arrays = tmp_path / "arrays"
    arrays.mkdir()
    np.save(arrays / "images.npy", np.arange(24 * 64, dtype=np.uint64).astype(np.uint8).reshape(24, 8, 8))
    np.save(arrays / "labels.npy", np.arange(24) % 2)
    return {
        "folder": make_folder("classes", {"cat": 5, "dog": 4}),
        "csv": table,
        "metadata": beside,
        "numpy": arrays,
        "parquet": parquet_of(table),
        "digits": None,
    }


def parquet_of(table: Path) -> Path:
    csv, parquet = pytest.importorskip("pyarrow.csv"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(csv.read_csv(table), table.with_suffix(".parquet"))
    return table.with_suffix(".parquet")


@pytest.mark.parametrize("key", READERS.names())
def test_contract(layouts, settings, key):
    if key not in layouts:
        assert Path(__file__).with_name(f"test_{key}.py").is_file(), (
            "a reader is tested here or in its own file"
        )
        return
    path = layouts[key]
    found = read(settings(path, name="digits" if path is None else None))
    again = READERS.make(key, **({} if path is None else {"path": path})).read()
    assert isinstance(found, Samples) and found.ids == again.ids
    count = len(found.ids)
    assert count == len(found.images) == len(found.labels) == len(found.splits) >= 9
    assert len(set(found.ids)) == count and all("\\" not in name for name in found.ids)
    assert set(found.labels) == set(found.class_names) and sorted_classes(found.labels) == found.class_names
    assert set(found.splits) <= {"train", "val", "test"}
    assert decode(found.images[count - 1], 1).shape == (1, 8, 8)


def test_classes_that_are_numbers_are_sorted_as_numbers():
    assert sorted_classes(["10", "9", "-1", "2"]) == ("-1", "2", "9", "10")
    assert sorted_classes(["10", "9", "b"]) == ("10", "9", "b")


def said(settings) -> tuple[int, str]:
    with pytest.raises(CommitteeError) as caught:
        read(settings)
    return caught.value.exit_code, str(caught.value)


# --- folder ------------------------------------------------------------


def test_folder_with_splits(make_folder, settings):
    root = make_folder("root", {"train/cat": 3, "train/dog/brown": 2, "valid/cat": 1, "test/dog": 2})
    found = read(settings(root))
    assert found.ids == [
        "test/dog/0.png",
        "test/dog/1.png",
        "train/cat/0.png",
        "train/cat/1.png",
        "train/cat/2.png",
        "train/dog/brown/0.png",
        "train/dog/brown/1.png",
        "valid/cat/0.png",
    ]
    assert found.splits == ["test"] * 2 + ["train"] * 5 + ["val"]
    assert found.labels == ["dog", "dog", "cat", "cat", "cat", "dog", "dog", "cat"]


def test_classes_may_be_called_like_splits(make_folder, settings):
    assert read(settings(make_folder("root", {"train": 2, "plane": 2}))).class_names == ("plane", "train")


def test_folder_without_train(make_folder, settings):
    root = make_folder("root", {"val/cat": 2, "test/cat": 2})
    assert said(settings(root)) == (
        1,
        f"{root}: expected train, val and test, each once, or a folder for each class, got 'test', 'val'. "
        "Name one of them train.",
    )


def test_empty_class(make_folder, settings):
    root = make_folder("root", {"cat": 2, "dog": 0})
    assert said(settings(root)) == (
        1,
        f"{root / 'dog'}: expected JPEG, PNG or WebP images, got none. "
        "Add images of this class, or remove its folder.",
    )


def test_empty_folder(tmp_path, settings):
    assert said(settings(tmp_path)) == (
        1,
        f"{tmp_path}: expected a folder of images for each class, got no folder. "
        f"Put the JPEG, PNG or WebP images of each class into {tmp_path.as_posix()}/CLASS/.",
    )


def test_empty_split(make_folder, settings):
    root = make_folder("root", {"train/cat": 1, "train/dog": 1})
    (root / "test").mkdir()
    assert said(settings(root)) == (
        1,
        f"{root / 'test'}: expected a folder of images for each class, got no folder.",
    )


def test_one_class(make_folder, settings):
    assert said(settings(make_folder("root", {"cat": 3}))) == (
        1,
        "data set: expected at least 2 classes, got 'cat'.",
    )


# --- paths ------------------------------------------------------------


def test_missing_path(make_folder, settings):
    root = make_folder("flowers", {"a": 1})
    wrong = root.with_name("flower") / "train"
    assert said(settings(wrong)) == (
        2,
        f"{wrong.parent.as_posix()}: the folder does not exist. Did you mean 'flowers'?",
    )


def test_no_path(settings):
    assert said(settings()) == (
        2,
        "dataset.path: expected the folder or file of the images, got none. "
        "Set it: --set dataset.path=FOLDER",
    )


def test_unknown_built_in(settings):
    known = [name for name in READERS.names() if READERS.load(name).built_in]
    assert said(settings(name="digit")) == (
        2,
        f"dataset.name: expected {', '.join(known)}, or dataset.path as well, got 'digit'. "
        "Did you mean 'digits'?",
    )


def test_unknown_kind_of_file(tmp_path, settings):
    known = [name for name in READERS.names() if not READERS.load(name).built_in]
    file = tmp_path / "notes.txt"
    file.write_text("", "utf-8")
    assert said(settings(file)) == (
        2,
        f"dataset.path: expected a folder or file in one of the formats {', '.join(known)}, "
        f"got '{file.as_posix()}'. "
        "Give its format: --set dataset.reader=NAME",
    )


def test_digits_take_no_path(tmp_path, settings):
    assert said(settings(tmp_path, reader="digits")) == (
        2,
        f"reader digits: expected no path, got '{tmp_path}'. Remove dataset.path.",
    )


def test_a_folder_has_no_columns(make_folder, settings):
    assert said(settings(make_folder("root", {"a": 1, "b": 1}), fold_column="part")) == (
        2,
        "reader folder: expected an option among 'path', got 'fold_column'.",
    )


def test_number_of_classes(make_folder, settings, caplog):
    read(settings(make_folder("root", {"a": 1, "b": 1}), n_classes=3))
    assert caplog.messages == [
        "dataset.n_classes: expected 3 classes, got 2: 'a', 'b'. All classes of the data are used."
    ]


# --- tables ------------------------------------------------------------


def test_columns(make_table, settings):
    table = make_table(
        ["path", "label", "fold", "group", "split", "site"],
        lambda row: [f"./images\\{row}.png", f" {row % 3}", row % 4, row // 2, "TEST" * (row > 20), row % 2],
    )
    found = read(settings(table))
    assert found.ids[:2] == ["images/0.png", "images/1.png"] and found.class_names == ("0", "1", "2")
    assert found.folds == [str(row % 4) for row in range(24)]
    assert found.groups == [str(row // 2) for row in range(24)]
    assert found.splits == ["train"] * 21 + ["test"] * 3
    assert read(settings(table, group_column="site")).groups == ["0", "1"] * 12


@pytest.mark.parametrize("missing", ["", "NaN"])
def test_missing_cells_of_a_table(make_table, settings, missing):
    columns = ["path", "label", "group"]
    cells = [
        lambda row: f"images/{row}.png",
        lambda row: f"{row % 2}.0",
        lambda row: missing if row % 3 else "7.0",
    ]
    found = read(settings(make_table(columns, lambda row: [cell(row) for cell in cells])))
    assert found.groups == ["" if row % 3 else "7" for row in range(24)] and found.class_names == ("0", "1")


@pytest.mark.parametrize(
    ("name", "what", "todo"),
    [("path", "an image", "Complete or remove"), ("label", "a label", "Label or remove")],
)
def test_images_and_labels_that_are_missing(make_table, settings, name, what, todo):
    cells = {"path": "images/{}.png", "label": "{}"}
    table = make_table(
        [*cells],
        lambda row: ["" if row == 4 and each == name else text.format(row) for each, text in cells.items()],
    )
    assert said(settings(table)) == (
        1,
        f"{table}: column '{name}': expected {what} in each row, got none in row 5. {todo} these rows.",
    )


def test_absolute_paths_below_the_table_are_the_same_samples(make_table, settings):
    table = make_table(["path", "label"], lambda row: [f"images/{row}.png", row % 2])
    text = table.read_text("utf-8").replace("images/", f"{table.parent.as_posix()}/images/")
    relative = read(settings(table)).ids
    table.write_text(text, "utf-8")
    assert read(settings(table)).ids == relative


def test_missing_column(make_table, settings):
    table = make_table(["path", "lable"], lambda row: [f"images/{row}.png", "a"])
    assert said(settings(table)) == (
        1,
        f"{table}: expected a column 'label', got 'path', 'lable'. Did you mean 'lable'?",
    )


def test_missing_own_column(make_table, settings):
    table = make_table(["path", "label", "patient"], lambda row: [f"images/{row}.png", row % 2, row])
    assert said(settings(table, group_column="patients")) == (
        1,
        f"{table}: expected a column 'patients', got 'path', 'label', 'patient'. Did you mean 'patient'?",
    )


def test_missing_image(make_table, settings):
    table = make_table(
        ["path", "label"], lambda row: [f"images/{row}.jpg" if row < 1 else f"images/{row}.png", "a"]
    )
    assert said(settings(table)) == (
        1,
        f"{table}: column 'path': files that do not exist in {table.parent.as_posix()}: "
        "'images/0.jpg'. Did you mean '0.png'?",
    )


def test_missing_label(make_table, settings):
    table = make_table(["path", "label"], lambda row: [f"images/{row}.png", "" if row in (3, 5) else "a"])
    assert said(settings(table)) == (
        1,
        f"{table}: column 'label': expected a label in each row, got none in row 4, 6. "
        "Label or remove these rows.",
    )


def test_repeated_image(make_table, settings):
    table = make_table(["path", "label"], lambda row: [f"images/{row // 2}.png", row % 2])
    assert said(settings(table)) == (
        1,
        "sample ids: expected unique ids, got more than one 'images/0.png', 'images/1.png', 'images/2.png', "
        "'images/3.png', 'images/4.png' and 7 more. Remove the repeated rows.",
    )


def test_unknown_split(make_table, settings):
    table = make_table(["path", "label", "split"], lambda row: [f"images/{row}.png", row % 2, "trian"])
    assert said(settings(table)) == (
        1,
        f"{table}: column 'split': expected train, val or test, got 'trian'. Did you mean 'train'?",
    )


def test_ragged_row(make_table, settings):
    table = make_table(["path", "label"], lambda row: [f"images/{row}.png", "a", *["b"] * (row == 2)])
    assert said(settings(table)) == (
        1,
        f"{table}:4: expected 2 fields, got more. Put text that contains commas in quotes.",
    )


def test_empty_table(make_table, settings):
    table = make_table(["path", "label"], lambda row: [])
    table.write_text("path,label\n", "utf-8")
    assert said(settings(table)) == (1, f"{table}: expected rows of labeled images, got none.")


def test_no_text(make_table, settings):
    table = make_table(["path", "label"], lambda row: [])
    table.write_bytes(b"path,label\n\xff\xfe,1\n")
    code, sentence = said(settings(table))
    assert code == 1 and sentence.startswith(
        f"{table}: expected CSV in UTF-8, got 'utf-8' codec can't decode"
    )


def test_parquet_with_the_files_inside(make_folder, settings):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    root = make_folder("hub", {"images": 10})
    files = sorted((root / "images").iterdir())
    cells = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    parquet.write_table(
        pyarrow.table({"image": cells, "label": [row % 2 for row in range(10)]}), root / "hub.parquet"
    )
    found = read(settings(root / "hub.parquet"))
    assert found.ids == [file.name for file in files] and found.class_names == ("0", "1")
    assert np.array_equal(decode(found.images[7]), decode(files[7]))


def test_parquet_is_not_installed(tmp_path, settings, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    file = tmp_path / "table.parquet"
    file.write_bytes(b"")
    assert said(settings(file)) == (
        1,
        f"{file}: expected the package 'pyarrow', got none installed. "
        "Install it with: pip install 'committee[parquet]'",
    )


def test_no_parquet(tmp_path, settings):
    pytest.importorskip("pyarrow")
    file = tmp_path / "table.parquet"
    file.write_bytes(b"not a table")
    code, sentence = said(settings(file))
    assert code == 1 and sentence.startswith(f"{file}: expected a Parquet table, got ")


# --- arrays ------------------------------------------------------------


def save(tmp_path, **arrays) -> Path:
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


IMAGES = np.arange(6 * 3 * 4 * 5, dtype=np.uint64).astype(np.uint8).reshape(6, 4, 5, 3)


def test_arrays_with_everything(tmp_path, settings):
    path = save(
        tmp_path,
        images=IMAGES.transpose(0, 3, 1, 2),
        labels=np.array([0, 1, 1, 0, 0, 1]),
        class_names=np.array(["zebra", "ant"]),
        splits=np.array(["train"] * 4 + ["test"] * 2),
        folds=np.array([0, 0, 1, 1, 0, 0]),
        groups=np.array(list("abcdef")),
    )
    found = read(settings(path))
    assert found.ids == list("012345") and found.class_names == ("zebra", "ant")
    assert found.labels == ["zebra", "ant", "ant", "zebra", "zebra", "ant"]
    assert found.folds == list("001100") and found.groups == list("abcdef")
    assert found.splits == ["train"] * 4 + ["test"] * 2
    assert np.array_equal(decode(found.images[2], 3), IMAGES[2].transpose(2, 0, 1))


def test_whole_floats_are_numbers(tmp_path, settings):
    path = save(tmp_path, images=IMAGES, labels=np.array([0.0, 1, 1, 0, 0, 1]))
    assert read(settings(path)).class_names == ("0", "1")


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"images": IMAGES}, ": expected an array 'labels', got 'images'."),
        (
            {"images": IMAGES / 255, "labels": np.arange(6)},
            ": images: expected uint8 [N, H, W], [N, H, W, c] or "
            "[N, c, H, W], got float64 [6, 4, 5, 3]. Scale them to 0..255.",
        ),
        ({"images": IMAGES, "labels": np.arange(5)}, ": labels: expected [6], one value per image, got [5]."),
        (
            {"images": IMAGES, "labels": np.arange(6), "class_names": np.array(["a", "b"])},
            ": labels: expected whole numbers 0..1, for its 2 class_names, got 0..5.",
        ),
        (
            {"images": IMAGES, "labels": np.array([{}] * 6)},
            ": expected arrays without Python objects, "
            "got Object arrays cannot be loaded when allow_pickle=False. "
            "Save them with numpy.save or numpy.savez.",
        ),
    ],
)
def test_bad_arrays(tmp_path, settings, arrays, sentence):
    path = save(tmp_path, **arrays)
    assert said(settings(path)) == (1, f"{path}{sentence}")

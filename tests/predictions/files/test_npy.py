"""Arrays of predictions with ids, labels and classes in files beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from committee.errors import DataError
from committee.predictions.files.base import read
from committee.predictions.files.npy import Npy

SCORES = np.float32([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])


def test_files_beside_the_array(tmp_path: Path) -> None:
    np.save(tmp_path / "val_preds.npy", SCORES)
    np.save(tmp_path / "test_preds.npy", SCORES[:2] * 5)
    np.save(tmp_path / "y_val.npy", np.eye(2)[[0, 1, 1]])
    (tmp_path / "ids_test.txt").write_text("x.png\ny.png\n", encoding="utf-8")
    (tmp_path / "class_indices.json").write_text('{"dog": 1, "cat": 0}', encoding="utf-8")
    val, test = read(tmp_path / "val_preds.npy", "a"), read(tmp_path / "test_preds.npy", "a")
    assert val.class_names == test.class_names == ("cat", "dog")
    assert val.labels is not None and val.labels.tolist() == [0, 1, 1] and test.labels is None
    assert val.sample_ids.tolist() == ["0", "1", "2"] and test.sample_ids.tolist() == ["x.png", "y.png"]
    np.testing.assert_allclose(np.exp(val.logits[0]), SCORES, rtol=1e-6)
    np.testing.assert_allclose(test.logits[0], SCORES[:2] * 5)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [([[0.0], [1.0], [1.0]], [0, 1, 1]), (["1", "0", "0"], ["1", "0", "0"])],
)
def test_labels(labels: object, expected: list[object], tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", SCORES)
    np.save(tmp_path / "labels.npy", labels)
    table = Npy().read(tmp_path / "p.npy")
    assert table.labels is not None and table.labels.tolist() == expected


def test_errors(tmp_path: Path) -> None:
    path = tmp_path / "p.npy"
    np.save(path, SCORES)
    with pytest.raises(DataError) as caught:
        Npy().read(path)
    assert str(caught.value) == (
        f"{path}: expected a file of ids or of labels beside it, got none. "
        "Save the names of the images, in the order of the rows, as ids.npy."
    )
    np.save(path, SCORES[0])
    with pytest.raises(DataError, match=r"expected floats \[N, C\], got float32 \[2\]"):
        Npy().read(path)
    path.write_bytes(b"no")
    with pytest.raises(DataError, match="expected a NumPy array without Python objects"):
        Npy().read(path)

"""Files of single folds: which belong to one model, and what they are joined to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from committee.errors import DataError
from committee.predictions.folds_of_files import fold_of, models_of, read_models
from committee.predictions.table import Predictions

PROBS = np.random.default_rng(0).dirichlet(np.ones(11), 6)
LABELS = [3, 10, 2, 0, 10, 1]


def pandas(path: Path, rows: list[int], index: list[object]) -> Path:
    """Write what `frame.to_csv(path)` writes: an unnamed index, p0..p10 and the label."""
    lines = [",".join(["", *(f"p{k}" for k in range(11)), "label"])]
    lines += [",".join(map(str, [index[row], *PROBS[row], LABELS[row]])) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("resnet_fold0", ("resnet", 0)),
        ("oof_vit_fold_12", ("oof_vit", 12)),
        ("a.Fold-3", ("a", 3)),
        ("a_fold2_test", ("a_test", 2)),
        ("scaffold1", None),
        ("fold1", None),
        ("resnet", None),
    ],
)
def test_names_of_folds(name: str, found: tuple[str, int] | None) -> None:
    assert fold_of(name) == found


def test_only_files_that_differ_by_their_fold_are_joined(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a_fold0.csv", "a_fold1.npz", "b_fold0.csv", "c.csv")]
    for path in paths:
        path.touch()
    assert models_of(paths) == {
        "a": {0: paths[0], 1: paths[1]},
        "b_fold0": {-1: paths[2]},
        "c": {-1: paths[3]},
    }


@pytest.mark.parametrize("restarts", [False, True])
def test_fold_files_of_pandas_become_out_of_fold_rows(tmp_path: Path, restarts: bool) -> None:
    index: list[object] = [0, 1, 2, 0, 1, 2] if restarts else [5, 4, 3, 2, 1, 0]
    files = [
        pandas(tmp_path / "m_fold0.csv", [0, 1, 2], index),
        pandas(tmp_path / "m_fold1.csv", [3, 4, 5], index),
    ]
    whole = read_models(
        [
            *files,
            *(
                pandas(tmp_path / f"n_fold{k}.csv", rows, index)
                for k, rows in ((1, [5, 3, 4]), (0, [2, 1, 0]))
            ),
        ]
    )
    assert whole.members == ("m", "n") and whole.class_names == tuple(map(str, range(11)))
    assert whole.labels is not None and whole.labels.tolist() == LABELS
    assert whole.folds is not None and whole.folds.tolist() == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(np.exp(whole.logits), np.stack([PROBS, PROBS]), rtol=1e-5)
    assert whole.sample_ids.tolist() == (
        ["0/0", "0/1", "0/2", "1/0", "1/1", "1/2"] if restarts else ["5", "4", "3", "2", "1", "0"]
    )


def test_folds_of_the_same_rows_are_averaged_only_where_that_is_asked(tmp_path: Path) -> None:
    files = []
    for fold, value in enumerate((0.5, 0.9)):
        files.append(tmp_path / f"m_fold{fold}.npz")
        np.savez(files[-1], ids=["x"], probs=[[value, 1 - value]])
    mean = read_models(files, average_folds=True)
    np.testing.assert_allclose(np.exp(mean.logits[0]), [[0.7, 0.3]], rtol=1e-6)
    with pytest.raises(DataError) as caught:
        read_models(files)
    assert str(caught.value) == (
        "fold files of m: expected different samples in each fold, got 'x' in more than one. "
        "Give the out-of-fold rows of each fold; files of test rows belong to --test."
    )


def test_classes_of_fold_files_are_matched_by_name(tmp_path: Path) -> None:
    def save(fold: int, ids: list[str], classes: list[str]) -> Path:
        path = tmp_path / f"m_fold{fold}.npz"
        np.savez(
            path, ids=ids, probs=[[0.8, 0.2]] * len(ids), classes=classes, groups=[f"g{fold}"] * len(ids)
        )
        return path

    found = read_models([save(0, ["a"], ["cat", "dog"]), save(1, ["b", "c"], ["dog", "cat"])])
    assert isinstance(found, Predictions)
    np.testing.assert_allclose(np.exp(found.logits[0, :, 0]), [0.8, 0.2, 0.2], rtol=1e-6)
    assert found.groups is not None and found.groups.tolist() == [0, 1, 1]
    with pytest.raises(
        DataError, match="expected the classes of the other folds, 'cat', 'dog', got 'cat', 'owl'"
    ):
        read_models([save(0, ["a"], ["cat", "dog"]), save(1, ["b"], ["cat", "owl"])])

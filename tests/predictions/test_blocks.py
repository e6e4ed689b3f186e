"""Outputs that stay in files or in float16: the same results as in memory, and what is read of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from committee.combiners.base import build
from committee.errors import DataError
from committee.predictions import Predictions, blocks
from committee.predictions.blocks import Blocks, Source, blocks_of
from committee.predictions.files.base import read
from committee.predictions.folds_of_files import read_models
from committee.predictions.reading import Reading
from committee.predictions.simulation import simulate
from committee.scoring.scores import score_all

ON_DISK = Reading(on_disk=True)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LARGE", 1)


def of(values: NDArray[Any], rows: Predictions) -> Predictions:
    return Predictions.from_logits(
        values, members=rows.members, class_names=rows.class_names, labels=rows.labels, folds=rows.folds
    )


@pytest.fixture(scope="module")
def in_memory() -> Predictions:
    rows = simulate({"a": 2.0, "b": 2.0, "c": 1.0, "d": 0.5}, classes=4, rows=240)
    return of(rows.logits.astype(np.float16).astype(np.float32), rows)


@pytest.fixture(scope="module")
def file(in_memory: Predictions, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blocks") / "logits.npy"
    np.save(path, in_memory.logits.astype(np.float16))
    return path


RULES: list[Any] = [
    "soft_voting",
    "weighted",
    {"combiner": "weighted", "space": "logit"},
    {"combiner": "weighted", "metric": "brier"},
    {"combiner": "weighted", "metric": "auroc"},
    {"combiner": "greedy_selection", "metric": "accuracy"},
    {"combiner": "pruned", "inner": "temperature"},
    {"combiner": "pruned", "method": "diversity_max", "measure": "kl"},
    "cascade",
    "member_temperature",
]


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_fits_and_scores_are_those_of_arrays_in_memory(rule: Any, in_memory: Predictions, file: Path) -> None:
    on_disk = of(np.load(file, mmap_mode="r"), in_memory)
    assert blocks_of(on_disk.logits) is not None
    (fitted, scores), (other, others) = (
        score_all({"rule": build(rule)}, rows)["rule"] for rows in (in_memory, on_disk)
    )
    assert fitted.member_weights() == other.member_weights()
    np.testing.assert_allclose(scores.held_out, others.held_out, atol=3e-6)
    assert scores.fit == pytest.approx(others.fit, abs=1e-6)


def test_members_without_weight_are_not_read(in_memory: Predictions, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = of(in_memory.logits.astype(np.float16), in_memory)
    rule = build({"combiner": "weighted", "weights": {"a": 1, "c": 2}}).fit(rows)
    kept = blocks_of(rows.logits)
    assert kept is not None
    read_by: list[Source] = []
    names = {id(source): name for source, name in zip(kept.sources, rows.members, strict=True)}
    original = Source.read

    def counted(source: Source, span: Any) -> Any:
        read_by.append(source)
        return original(source, span)

    monkeypatch.setattr(Source, "read", counted)
    expected = rule.combine(in_memory.logits)
    np.testing.assert_allclose(rule.combine(rows.logits), expected, atol=1e-6)
    assert {names[id(source)] for source in read_by} == {"a", "c"}


def test_indexing_is_that_of_arrays(in_memory: Predictions, file: Path) -> None:
    array, kept = in_memory.logits, of(np.load(file, mmap_mode="r"), in_memory).logits
    for key in (1, (2, slice(3, 9)), (slice(None), [5, 2]), (slice(None), 7), ([3, 0], slice(None), [1, 0])):
        wanted = array[key] if not isinstance(key, tuple) or len(key) < 3 else array[[3, 0]][:, :, [1, 0]]
        np.testing.assert_array_equal(np.array(kept[key]), wanted)
    on_disk = of(np.load(file, mmap_mode="r"), in_memory)
    for change in (
        lambda rows: rows.rows([9, 4, 4]).rows([1, 0]),
        lambda rows: rows.select(["d", "b"]).with_classes(rows.class_names[::-1]),
        lambda rows: Predictions.join(
            [rows.select(["a"]), in_memory.select(["b"]).rows(np.arange(240)[::-1])]
        ),
    ):
        found = change(on_disk).logits
        assert isinstance(found, Blocks)  # type: ignore[unreachable]
        np.testing.assert_array_equal(np.array(found), change(in_memory).logits)


@pytest.mark.parametrize("kind", ["npy", "npz", "safetensors"])
@pytest.mark.parametrize("values", ["logits", "probs"])
def test_files_are_read_in_blocks(kind: str, values: str, in_memory: Predictions, tmp_path: Path) -> None:
    logits = in_memory.logits[0] - in_memory.logits[0].max(axis=1, keepdims=True)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = (probs if values == "probs" else in_memory.logits[0]).astype(np.float16)
    given[0] = [0, 1, 0, 0] if values == "probs" else given[0]
    path, arrays = tmp_path / f"a.{kind}", {"ids": np.arange(240), values: given}
    if kind == "npy":
        np.save(path, given)
        np.save(tmp_path / "ids.npy", arrays["ids"])
    elif kind == "npz":
        np.savez(path, **arrays)
    else:
        save_file(arrays, path)
    found = read(path, "a", ON_DISK)
    assert blocks_of(found.logits) is not None
    np.testing.assert_array_equal(np.array(found.logits), read(path, "a").logits)
    found.save(tmp_path / "saved")
    again = Predictions.load(tmp_path / "saved").logits
    np.testing.assert_array_equal(np.array(again), read(path, "a").logits)
    assert (blocks_of(again) is not None) == (values == "logits")


def test_several_large_files_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        np.savez(tmp_path / f"{name}.npz", ids=np.arange(9), logits=np.eye(9, dtype=np.float32))
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    assert blocks_of(read_models(paths).logits) is None
    monkeypatch.setattr("committee.predictions.folds_of_files.LARGE_FILES", 100)
    assert blocks_of(read_models(paths).logits) is not None


def test_large_saved_predictions_stay_on_disk_when_they_are_joined(
    in_memory: Predictions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in in_memory.members:
        in_memory.select([name]).save(tmp_path / name)
    parts = [Predictions.load(tmp_path / name) for name in in_memory.members]
    assert blocks_of(Predictions.join(parts).logits) is None
    monkeypatch.setattr("committee.predictions.blocks.LARGE_FILES", 100)
    found = Predictions.join(parts)
    assert blocks_of(found.logits) is not None
    np.testing.assert_array_equal(np.array(found.logits), in_memory.logits)
    mixed = Predictions.join([*parts[:1], in_memory.select(in_memory.members[1:])])
    np.testing.assert_array_equal(np.array(mixed.logits), in_memory.logits)


def test_a_file_that_is_cut_off_after_it_was_opened(in_memory: Predictions, tmp_path: Path) -> None:
    path = tmp_path / "logits.npy"
    np.save(path, in_memory.logits.astype(np.float16))
    rows = of(np.load(path, mmap_mode="r"), in_memory)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(DataError) as caught:
        build("soft_voting").fit(rows).combine(rows.logits)
    assert str(caught.value).startswith(
        f"{path}: expected the float16 array [240, 4] that it had when it was opened, got "
    )


def test_not_finite_values_in_a_file_are_named(in_memory: Predictions, tmp_path: Path) -> None:
    logits = in_memory.logits.astype(np.float16)
    logits[2, 7] = np.inf
    with pytest.raises(DataError, match=r"predictions: expected finite numbers, got NaN or infinity for '7'"):
        of(logits, in_memory)


def test_a_rule_without_a_fit_combines_what_is_on_disk(file: Path, in_memory: Predictions) -> None:
    on_disk, mean = of(np.load(file, mmap_mode="r"), in_memory), build("soft_voting")
    for place in range(2):  # as `committee combine` scores each member alone
        found = mean.combine(on_disk.logits[place : place + 1])
        np.testing.assert_allclose(found, mean.combine(in_memory.logits[place : place + 1]), atol=1e-6)

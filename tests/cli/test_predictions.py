"""Stored predictions, as the tables that people know."""

from __future__ import annotations

import csv
import json
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from committee.predictions.table import Predictions


@pytest.fixture
def words(tiny_settings, trained) -> list[object]:
    return [*(word for value in tiny_settings for word in ("--set", value)), "--store", trained.root]


def read(path: Path) -> tuple[list[str], list[str], np.ndarray, list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    values = np.array([row[1:-1] for row in rows], np.float32)
    return header, [row[0] for row in rows], values, [row[-1] for row in rows]


def test_the_table_is_what_the_store_holds(cli, words, trained, tmp_path):
    said = cli("predictions", *words, "--csv", tmp_path / "oof.csv", "--member", "test_vit", "--json")
    assert said.code == 0
    path = (tmp_path / "oof.csv").as_posix()
    rows = Predictions.load(trained.kfold("test_vit") / "oof")
    assert json.loads(said.out) == [
        {"file": path, "member": "test_vit", "networks": "folds", "rows": len(rows)}
    ]
    header, ids, values, labels = read(tmp_path / "oof.csv")
    assert header == ["id", *(f"p{index}" for index in range(10)), "label"]
    assert ids == rows.sample_ids.tolist()
    assert labels == [str(label) for label in rows.labels]
    exact = np.exp(rows.logits[0].astype(np.float64))
    np.testing.assert_allclose(values, exact / exact.sum(1, keepdims=True), rtol=1e-5)


def test_a_table_a_member_and_fold(cli, words, tmp_path):
    assert cli("predictions", *words, "--csv", tmp_path / "oof.csv", "--merged").code == 0
    said = cli("predictions", *words, "--csv", tmp_path / "oof.csv", "--per-fold")
    assert said.code == 0
    for member in ("test_resnet", "test_vit"):
        parts = [read(tmp_path / f"oof_{member}_fold_{fold}.csv")[1] for fold in range(3)]
        assert sorted(chain(*parts)) == sorted(read(tmp_path / f"oof_{member}.csv")[1])
    assert len(list(tmp_path.glob("*.csv"))) == 8


def test_the_test_split(cli, words, trained, tmp_path):
    said = cli(
        "predictions", *words, "--csv", tmp_path / "test.csv", "--member", "test_vit", "--split", "test"
    )
    assert said.code == 0
    stored = Predictions.load(trained.kfold("test_vit") / "test_refit")
    assert said.out.splitlines()[1].split()[1:] == ["test_vit", "refit", str(len(stored))]
    assert read(tmp_path / "test.csv")[1] == stored.sample_ids.tolist()


def test_what_is_not_there_is_named(cli, words, tmp_path):
    said = cli("predictions", *words, "--csv", tmp_path / "val.csv", "--split", "val")
    assert said.code == 1
    assert said.err == (
        "committee: test_resnet: expected stored predictions of the val split by its refit networks, "
        "got none. Run: committee train RECIPE\n"
    )


def test_folds_of_the_test_split_are_refused(cli, words, tmp_path):
    said = cli("predictions", *words, "--csv", tmp_path / "test.csv", "--split", "test", "--per-fold")
    assert said.code == 2
    assert said.err == (
        "committee: --per-fold: expected --split oof, got --split test. "
        "Leave --per-fold out: rows of this split do not belong to a fold.\n"
    )

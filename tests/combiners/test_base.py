"""Building, saving and loading combiners."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from committee.combiners.base import COMBINERS, build, load, save
from committee.combiners.soft_voting import SoftVoting
from committee.errors import DataError, RecipeError, StoreError, UnknownNameError, UsageError
from committee.predictions.table import Predictions


def test_names_in_the_store():
    names = {key: COMBINERS.load(key).ensemble_name for key in COMBINERS.names()}
    assert names["soft_voting"] == "soft_voting_ensemble"
    assert names["weighted"] == "weighted_ensemble"
    assert names["stacking_lr"] == "stacking_lr"


def test_build_takes_a_key_a_mapping_or_a_combiner():
    voter = SoftVoting()
    assert build(voter) is voter
    assert isinstance(build("soft_voting"), SoftVoting)
    weighted = build({"combiner": "weighted", "space": "logit"})
    assert weighted.options() == {"weights": None, "metric": "auto", "space": "logit"}
    nested = build({"combiner": "temperature", "inner": {"combiner": "subset", "members": ["a"]}})
    assert nested.options()["inner"] == {
        "combiner": "subset",
        "members": ["a"],
        "inner": {"combiner": "soft_voting"},
    }


def test_build_refuses():
    with pytest.raises(UnknownNameError) as unknown:
        build("soft_votin")
    assert str(unknown.value) == (
        f"combiner: expected one of {', '.join(COMBINERS.names())}, got 'soft_votin'. "
        "Did you mean 'soft_voting'?"
    )
    with pytest.raises(UsageError) as option:
        build({"combiner": "weighted", "weight": [1]})
    assert str(option.value) == (
        "combiner weighted: expected an option among 'weights', 'metric', 'space', got 'weight'. "
        "Did you mean 'weights'?"
    )
    with pytest.raises(RecipeError) as form:
        build({"inner": "soft_voting"})
    assert str(form.value) == (
        "combiner: expected a name, or a mapping with the key 'combiner' and the options, "
        "got {'inner': 'soft_voting'}."
    )


def test_load_refuses_tensors_that_were_not_described(digits, tmp_path):
    save(build("weighted").fit(digits), tmp_path)
    save_file({"weight": torch.ones(7)}, tmp_path / "combiner.safetensors")
    with pytest.raises(StoreError) as error:
        load(tmp_path)
    assert str(error.value) == ("combiner.safetensors: expected weight float32 [4], got weight float32 [7].")


def test_load_refuses_a_damaged_file(digits, tmp_path):
    save(build("weighted").fit(digits), tmp_path)
    (tmp_path / "combiner.safetensors").write_bytes(b"short")
    with pytest.raises(StoreError, match="expected a saved combiner, got a header of "):
        load(tmp_path)
    (tmp_path / "combiner.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="expected a saved combiner, got a damaged one"):
        load(tmp_path)


def test_load_refuses_another_protocol(digits, tmp_path):
    save(build("soft_voting").fit(digits), tmp_path)
    path = tmp_path / "combiner.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "protocol": 99}), encoding="utf-8")
    with pytest.raises(StoreError) as error:
        load(tmp_path)
    assert str(error.value) == "combiner.json: expected protocol 1, got 99."


def test_saved_tensors_are_safetensors(digits, tmp_path):
    save(build({"combiner": "temperature", "inner": "weighted"}).fit(digits), tmp_path)
    assert set(load_file(tmp_path / "combiner.safetensors")) == {"inverse_temperature", "inner.weight"}


def test_tiles_do_not_show(digits):
    combiner = build("weighted").fit(digits)
    whole = combiner(torch.from_numpy(digits.logits)).numpy()
    assert len(digits.labels) % (2**18 // 40) != 0
    np.testing.assert_allclose(combiner.combine(digits.logits), whole, atol=1e-6)
    many = np.tile(digits.logits, (1, 30, 1))
    np.testing.assert_allclose(combiner.combine(many), np.tile(whole, (30, 1)), atol=1e-6)


def test_dense_predictions_are_combined_and_not_learned_from():
    dense = Predictions.from_logits(
        np.zeros((2, 3, 4, 5, 5)), members=["a", "b"], class_names=list("wxyz"), labels=np.array([0, 1, 2])
    )
    assert build("soft_voting").fit(dense).combine(dense.logits).shape == (3, 4, 5, 5)
    with pytest.raises(DataError) as error:
        build("weighted").fit(dense)
    assert str(error.value) == (
        "combiner: expected logits [members, samples, classes] to fit on, got [2, 3, 4, 5, 5]."
    )


def test_answers_that_are_not_numbers_are_refused():
    logits = np.zeros((2, 30, 3), np.float32)
    logits[1, 7:9, 0] = np.nan
    with pytest.raises(DataError) as caught:
        build("soft_voting").bind(["a", "b"]).combine(logits)
    assert str(caught.value) == (
        "soft_voting: expected finite logits, got NaN in 2 of 30 rows, the first of which is row 8. "
        "Find the member with NaN: numpy.isnan(logits).any(axis=(1, 2))."
    )

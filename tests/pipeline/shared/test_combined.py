"""Outputs of ensembles on stored rows: slices and whole arrays agree, and other rows are refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from committee.combiners.base import build
from committee.errors import StoreError
from committee.pipeline.shared import combined as module
from committee.pipeline.shared.combined import combined
from committee.pipeline.shared.splits import split_rows
from committee.predictions.table import Predictions
from committee.store.commit import commit
from committee.store.layout import Store

MEMBERS = ("test_resnet", "test_vit")
DEPLOYED = dict.fromkeys(MEMBERS, "refit")


@pytest.mark.parametrize("values", [1, 60, 2**22])
def test_slices_and_the_whole_array_agree(
    values: int, trained: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SLICE_VALUES", values)
    combiner = build("logit_averaging").bind(MEMBERS)
    whole = split_rows(trained, MEMBERS, "test", DEPLOYED)
    log_probs, rows = combined(trained, combiner, MEMBERS, "test", DEPLOYED)
    np.testing.assert_allclose(log_probs, combiner.combine(whole.logits), atol=1e-6)
    np.testing.assert_array_equal(rows.labels, whole.labels)


def test_predictions_of_other_rows_are_refused(trained: Store) -> None:
    folder = trained.kfold("test_vit") / "test_refit"
    stored = Predictions.load(folder, mmap=False)
    with commit(folder, kind="predictions", fingerprint="other rows") as new:
        replace(stored, labels=stored.labels[::-1].copy()).save(new)
    with pytest.raises(StoreError) as error:
        combined(trained, build("soft_voting"), MEMBERS, "test", DEPLOYED)
    assert str(error.value) == (
        "test_vit: expected predictions of the same rows as test_resnet, got predictions of others. "
        "Run: committee train RECIPE"
    )

"""Ensembles on stored rows: the same as on all rows at once, and rows that differ are named."""

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
VOICES = dict.fromkeys(MEMBERS, "refit")


@pytest.mark.parametrize("at_once", [1, 60, 2**22])
def test_slices_say_what_the_whole_says(
    at_once: int, trained: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    rule = build("logit_averaging").bind(MEMBERS)
    whole = split_rows(trained, MEMBERS, "test", VOICES)
    log_probs, rows = combined(trained, rule, MEMBERS, "test", VOICES)
    np.testing.assert_allclose(log_probs, rule.combine(whole.logits), atol=1e-6)
    np.testing.assert_array_equal(rows.labels, whole.labels)


def test_predictions_of_other_rows_are_refused(trained: Store) -> None:
    folder = trained.kfold("test_vit") / "test_refit"
    stored = Predictions.load(folder, mmap=False)
    with commit(folder, kind="predictions", fingerprint="other rows") as new:
        replace(stored, labels=stored.labels[::-1].copy()).save(new)
    with pytest.raises(StoreError) as error:
        combined(trained, build("soft_voting"), MEMBERS, "test", VOICES)
    assert str(error.value) == (
        "test_vit: expected predictions of the rows that test_resnet has, got others. "
        "Run: committee train RECIPE"
    )

"""Combiners of maps: pixels are rows whose group is their image, and what does not combine them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from committee.combiners.base import COMBINERS, build
from committee.combiners.shared.serving import serving
from committee.errors import UsageError
from committee.predictions.simulation import simulate_maps, simulate_numbers
from committee.predictions.table import Predictions
from committee.predictions.target_types import NUMBER_MAPS
from committee.scoring.scores import score
from committee.tasks.base import task_of

IMAGES = simulate_maps({"near": 2.0, "tree": 1.5, "bayes": 1.0}, images=10, size=4, classes=3)
DEPTHS = replace(
    simulate_numbers({"near": 0.4, "tree": 0.6, "bayes": 0.8}, rows=160),
    groups=np.arange(160) // 16,
    target_type=NUMBER_MAPS,
)
QUICK: dict[str, list[dict[str, Any]]] = {
    "stacking_rf": [{"n_estimators": 2}],
    "stacking_xgb": [{"n_estimators": 2, "max_depth": 2}],
    "stacking_mlp": [{"hidden_dims": [4], "epochs": 1}],
    "attention": [{"epochs": 1, "hidden_dim": 4, "folds": 2}],
}
CASES = [
    pytest.param({"combiner": key, **options}, rows, id=f"{rows.target_type.name}-{key}-{place}")
    for rows in (IMAGES, DEPTHS)
    for key in serving(task_of(rows))
    for place, options in enumerate(QUICK.get(key, COMBINERS.load(key).examples(("near", "tree"))))
    if rows is IMAGES or "hard_voting" not in str(options)
    if key != "vector_scaling"  # its penalty counts images
]


def as_rows(pixels: Predictions) -> Predictions:
    return replace(pixels, target_type=pixels.target_type.of_rows)


@pytest.mark.parametrize(("spec", "pixels"), CASES)
def test_pixels_are_rows_with_a_group(spec: dict[str, Any], pixels: Predictions) -> None:
    one, other = (build(spec).fit(rows) for rows in (pixels, as_rows(pixels)))
    np.testing.assert_array_equal(one.combine(pixels.logits), other.combine(pixels.logits))
    assert one.member_weights() == other.member_weights()
    assert one.task.target_type is pixels.target_type


def test_all_rules_of_rows_but_conditional_ones_combine_maps() -> None:
    for pixels in (IMAGES, DEPTHS):
        left_out = set(serving(task_of(as_rows(pixels)))) - set(serving(task_of(pixels)))
        assert left_out == ({"cascade"} if pixels is IMAGES else set())


@pytest.mark.parametrize("spec", ["cascade", {"combiner": "temperature", "inner": "cascade"}])
def test_rules_that_run_some_networks_for_some_rows_are_refused(spec: Any) -> None:
    with pytest.raises(UsageError) as caught:
        build(spec).fit(IMAGES)
    assert str(caught.value) == (
        "cascade: expected predictions of classes, got predictions of class_maps. A network predicts all "
        "pixels of an image at once, so that this rule would run all of them. Use one of "
        f"{', '.join(serving(task_of(IMAGES)))}."
    )
    with pytest.raises(UsageError, match=r"median: expected .* of numbers, got .* class_maps\. Use"):
        build("median").fit(IMAGES)


@pytest.mark.parametrize("metric", ["mean_iou", "mean_dice"])
def test_weights_and_choices_optimize_overlap(metric: str) -> None:
    task = task_of(IMAGES)
    equal = task.evaluate(build("soft_voting").fit(IMAGES).combine(IMAGES.logits), IMAGES.labels, [metric])
    for spec in ({"combiner": "weighted"}, {"combiner": "greedy_selection"}):
        fitted = build({**spec, "metric": metric}).fit(IMAGES)
        found = task.evaluate(fitted.combine(IMAGES.logits), IMAGES.labels, [metric])
        assert found[metric] >= equal[metric] - 1e-9
    pruned = build({"combiner": "pruned", "metric": metric, "folds": 2}).fit(IMAGES).notes()
    for entry in pruned["path"]:
        mean = build({"combiner": "subset", "members": entry["members"]}).fit(IMAGES).combine(IMAGES.logits)
        assert entry["fit"] == pytest.approx(task.evaluate(mean, IMAGES.labels, [metric])[metric])


def test_scores_of_maps_resample_images() -> None:
    """Each image sixteen times as large says as much: intervals and gains depend on images, not on pixels."""
    many = IMAGES.rows(np.repeat(np.arange(len(IMAGES)), 16))
    many = replace(many, sample_ids=np.array([str(row) for row in range(len(many))]))
    found = {}
    for name, rows in (("few", IMAGES), ("many", many)):
        folds = rows.groups % 5
        found[name] = score(build("weighted"), rows, folds=folds)[1]
    for metric, interval in found["few"].cross_fitted.items():
        other = found["many"].cross_fitted[metric]
        assert other.value == pytest.approx(interval.value, abs=2e-3)
        assert other.high - other.low > 0.75 * (interval.high - interval.low), metric
    for metric, gain in found["few"].gain.items():
        other_gain = found["many"].gain[metric]
        assert gain.units == other_gain.units == 10
        assert other_gain.standard_error == pytest.approx(gain.standard_error, rel=0.05, abs=1e-3), metric


def test_biases_of_classes_are_held_back_by_the_number_of_images() -> None:
    shifted = replace(IMAGES, logits=IMAGES.logits + np.array([2, 0, 0], np.float32))
    biases = {}
    for name, rows in (("pixels", as_rows(shifted)), ("images", shifted)):
        biases[name] = np.ptp(build("vector_scaling").fit(rows).notes()["biases"])
    assert biases["images"] < biases["pixels"] / 3
    assert (shifted.units(), as_rows(shifted).units(), shifted.units(shifted.groups < 4)) == (10, 160, 4)
    _, one = score(build("vector_scaling"), shifted)
    _, other = score(build("vector_scaling"), as_rows(shifted))
    assert np.abs(one.held_out - other.held_out).max() > 0.05

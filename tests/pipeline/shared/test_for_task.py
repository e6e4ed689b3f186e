"""Recipes of maps: what follows from the task, and what does not apply to it."""

from __future__ import annotations

import pytest

from committee.errors import UsageError
from committee.pipeline.shared.for_task import check_task, for_task
from committee.predictions.target_types import CLASS_MAPS, CLASSES, NUMBER_MAPS
from committee.recipe.load import load_recipe
from committee.tasks.segmentation import Segmentation

ONE = ["backbones={include: [timm:test_resnet]}", "dataset.name=digits"]


def test_defaults_are_those_of_the_task() -> None:
    found = for_task(load_recipe(None, ONE), Segmentation()).runs.score_ensemble
    assert [each.combiner for each in found.methods] == list(Segmentation.methods)
    assert found.optimization_metric == "log_loss"


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (
            "runs.score_ensemble.methods=[cascade]",
            "runs.score_ensemble.methods: expected combiners of class_maps: attention, compose, fallback, "
            "greedy_selection, hard_voting, logit_averaging, member_temperature, pruned, soft_voting, "
            "subset, temperature, vector_scaling, weighted, got 'cascade'. Leave the key out, which means "
            "those of the task.",
        ),
        (
            "runs.score_ensemble.optimization_metric=f1_macro",
            "runs.score_ensemble.optimization_metric: expected log_loss or brier or accuracy or "
            "balanced_accuracy or mean_iou or mean_dice for class_maps, got f1_macro. Leave it out.",
        ),
    ],
)
def test_what_maps_of_classes_do_not_have(override: str, text: str) -> None:
    recipe = load_recipe(None, [*ONE, override])
    with pytest.raises(UsageError) as caught:
        check_task(recipe, CLASS_MAPS)
    assert str(caught.value) == text
    check_task(recipe, CLASSES)


@pytest.mark.parametrize("metric", ["mean_iou", "mean_dice"])
def test_overlap_is_optimized_of_maps_of_classes_only(metric: str) -> None:
    recipe = load_recipe(None, [*ONE, f"runs.score_ensemble.optimization_metric={metric}"])
    check_task(recipe, CLASS_MAPS)
    for other in (CLASSES, NUMBER_MAPS):
        with pytest.raises(UsageError, match=f"optimization_metric: expected .*, got {metric}"):
            check_task(recipe, other)

"""The model card is what the Hugging Face hub expects, whatever the names of the classes are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard

from committee.metrics.conformal import sets
from committee.metrics.set_table import SetTable
from committee.pipeline.bundling.card import files
from committee.pipeline.bundling.subject import Subject
from committee.pipeline.model_card.described import Data
from committee.recipe.model_card import ModelCard as About

SCORES = {
    "accuracy": {"value": 0.9, "low": 0.85, "high": 0.94},
    "log_loss": {"value": 0.3, "low": 0.2, "high": 0.4},
    "auroc": {"value": math.nan, "low": math.nan, "high": math.nan},
}
REPORT = {
    "split": "test",
    "n": 200,
    "metrics": SCORES,
    "cross_fitted": SCORES,
    "latency_ms": {"median": 1.5},
    "size_mb": 2.0,
}


def card_of(subject: Subject) -> ModelCard:
    return ModelCard(files(subject, {})["README.md"].decode())


def test_its_metadata_has_the_scores_with_intervals(subject: Callable[..., Subject]) -> None:
    data = card_of(
        subject(
            report=REPORT,
            data=Data("pets"),
            about=About(license="apache-2.0", tags=["cats"]),
            provenance={"kind": "ensemble"},
        )
    ).data
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "apache-2.0",
        "onnx",
        "image-classification",
    )
    assert data.model_name == "mean" and {"ensemble", "cats"} < set(data.tags)
    found = {each.metric_type: each for each in data.eval_results}
    assert set(found) == {"accuracy", "log_loss"}  # NaN is no score
    accuracy = found["accuracy"]
    assert (accuracy.metric_value, accuracy.dataset_name, accuracy.dataset_split) == (0.9, "pets", "test")
    assert accuracy.metric_args == {"confidence": 0.95, "low": 0.85, "high": 0.94}


def test_a_file_of_another_precision_has_no_scores_in_its_metadata(subject: Callable[..., Subject]) -> None:
    card = card_of(subject(report=REPORT, difference=0.02))
    assert card.data.eval_results is None and card.data.metrics is None
    assert "`accuracy` | 0.9000" in card.text and "differ from it by at most 2.0e-02" in card.text


def test_a_model_without_report_or_thresholds_says_so(subject: Callable[..., Subject]) -> None:
    card = card_of(subject())
    assert card.data.eval_results is None and card.data.license == "unknown"
    assert "Not evaluated" in card.text and "Prediction sets" not in card.text


@pytest.mark.parametrize(
    ("facts", "text"),
    [
        ({"method": "cascade", "members": ["a", "b"]}, "It was made by `cascade` from `a`, `b`."),
        ({"plan": "moe", "of": ["a", "b"], "backbone": "x | y"}, "It was made by `moe` from `a`, `b`."),
        ({"plan": "single", "backbone": "timm:x"}, "It was made by `single` from `timm:x`."),
        ({"calibrate": "pooled"}, "preprocessing. Its probabilities are calibrated (`pooled`)."),
    ],
)
def test_it_says_what_the_model_was_made_of(
    subject: Callable[..., Subject], facts: dict[str, Any], text: str
) -> None:
    assert text in card_of(subject(provenance=facts)).text


def test_names_of_classes_cannot_be_markup(subject: Callable[..., Subject]) -> None:
    classes = card_of(subject()).text.partition("## Classes")[2].strip().splitlines()
    assert len(classes) == 3
    assert classes[1] == r"- \</script\>\<b\>\|\*x\*\|" and classes[2] == r"- 🐈 Katze\\nzwei"


def test_names_of_data_and_backbones_cannot_be_markup_nor_metadata(subject: Callable[..., Subject]) -> None:
    data = Data("x\n---\nlicense: mit |<b>", "abc", {"test": 1, "train": 20}, 2)
    made = {"plan": "single", "backbone": "python:a`<b>"}
    card = card_of(subject(report=REPORT, data=data, provenance=made))
    assert card.data.license == "unknown" and card.data.eval_results[0].dataset_name == data.name
    assert (
        r"data set x\\n\-\-\-\\nlicense: mit \|\<b\>: 1 image in test, 20 images in train. 2 images"
        in card.text
    )
    assert "from `python:a'<b>`." in card.text


def test_the_recipe_says_what_the_model_is_for(subject: Callable[..., Subject]) -> None:
    about = About(limitations="Fails at night.", citation="@misc{a, note={```}}", contact="me@example.org")
    text = card_of(subject(about=about)).text
    assert "**What the model is for:** not stated (`model_card.intended_use` of the recipe)." in text
    assert "**Known errors, biases and risks:** Fails at night." in text
    assert "````\n@misc{a, note={```}}\n````" in text and text.endswith("## Contact\n\nme@example.org\n")


def test_its_prediction_sets_are_those_of_the_command(
    subject: Callable[..., Subject], thresholds: dict[str, Any]
) -> None:
    text = card_of(subject(provenance={"sets": thresholds})).text
    table = SetTable.from_json(thresholds, "mean")
    rows = text.partition("| coverage | least probability |")[2].splitlines()[2:6]
    draws = np.random.default_rng(0).dirichlet(np.ones(3), 500)
    for row in rows:
        coverage, least = (float(cell.split()[0]) for cell in row.strip("| ").split(" | "))
        inside = draws >= least
        inside[np.arange(len(draws)), draws.argmax(1)] = True
        assert np.array_equal(inside, sets(np.log(draws), table.limit(coverage, "lac"), "lac")), row
    assert "calibrated on 200 rows" in text and "| 0.5 | " in text.partition("## Abstention")[2]

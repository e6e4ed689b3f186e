"""The bundle of a model that predicts numbers: its card, its Triton settings and its page."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from committee.pipeline.bundling import card, triton, web
from committee.pipeline.bundling.subject import Subject
from committee.predictions.target_types import NUMBERS

SCORES = {"rmse": {"value": 3.5, "low": 3.25, "high": 3.75}}
REPORT = {
    "split": "test",
    "n": 200,
    "metrics": SCORES,
    "cross_fitted": SCORES,
    "latency_ms": {"median": 1.5},
    "size_mb": 2.0,
}


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    (tmp_path / "model.onnx").write_bytes(b"")
    return Subject(
        "mean",
        ("age", "height"),
        3,
        {"kind": "ensemble", "method": "median", "members": ["a", "b"]},
        REPORT,
        1e-6,
        file=tmp_path / "model.onnx",
        target_type=NUMBERS,
        units=("years", "</script>"),
    )


def test_the_card_has_targets_units_and_scores(subject: Subject) -> None:
    made = ModelCard(card.files(subject, triton.files(subject))["README.md"].decode())
    assert made.data.pipeline_tag == "image-regression" and "image-regression" in made.data.tags
    assert {each.metric_type: each.metric_value for each in made.data.eval_results} == {"rmse": 3.5}
    for text in (
        "A model that predicts numbers from images (2), in one ONNX file with its preprocessing. "
        "It was made by `median` from `a`, `b`.",
        "Each photo gives a line of JSON with the value of each target.",
        "- `values`: float32 `[batch, 2]`, the number of each target in its unit.",
        "the values of this file differ from it by at most 1.0e-06 of their size.",
        "| `rmse` | 3.5000 (3.2500 to 3.7500) |",
        "## Targets\n\n- age \\(years\\)\n- height \\(\\</script\\>\\)",
    ):
        assert text in made.text, text
    assert "probabilit" not in made.text and "class" not in made.text.replace("class_names.json", "")


def test_triton_has_values_and_no_labels(subject: Subject) -> None:
    found = triton.files(subject)
    settings = found["triton/mean/config.pbtxt"]
    assert isinstance(settings, bytes) and set(found) == {"triton/mean/config.pbtxt", subject.place}
    assert b'name: "values"' in settings and b"dims: [ 2 ]" in settings and b"label" not in settings


def test_the_page_shows_values_with_units(subject: Subject) -> None:
    page = web.files(subject, None)["web/index.html"]
    assert isinstance(page, bytes)
    assert 'const OUTPUT = "values", UNITS = ["years", "\\u003c/script>"];' in page.decode()
    assert page.count(b"</script>") == 2 and b"@" not in page.replace(b"@media", b"")

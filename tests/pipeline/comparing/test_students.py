"""Remarks about distilled models: measured figures beside the rules of thumb."""

from __future__ import annotations

from typing import Any

import pytest

from committee.pipeline.comparing.students import remarks

TEACHER = {"name": "vote", "parameters": 1000}


def student(temperature: float, parameters: int, loss: str = "kd") -> dict[str, Any]:
    taught = {"teacher": "vote", "distillation": {"loss": {"name": loss}, "temperature": temperature}}
    return {"name": "distilled_small", "parameters": parameters, "provenance": taught}


def test_a_student_within_the_rules() -> None:
    plain = {"name": "resnet", "provenance": {}}
    assert remarks([student(4, 250), plain, TEACHER], {"vote": TEACHER}) == [
        "distilled_small was distilled at temperature 4 (rule of thumb: 3 to 5), and it has 25% of the "
        "parameters of its teacher vote (10 to 30%)."
    ]
    assert remarks([student(9, 250, "mse_values")], {"vote": TEACHER}) == [
        "distilled_small was distilled by mse_values, and it has 25% of the parameters of its teacher vote "
        "(10 to 30%)."
    ]


@pytest.mark.parametrize(
    ("temperature", "parameters", "outside"),
    [(2.9, 300, "temperature"), (5, 301, "size"), (5.1, 99, "temperature and size")],
)
def test_a_student_outside_of_them(temperature: float, parameters: int, outside: str) -> None:
    (text,) = remarks([student(temperature, parameters)], {"vote": TEACHER})
    assert text.endswith(f" Warning: {outside} outside of the rule of thumb; compare other values.")


def test_a_teacher_that_is_not_evaluated() -> None:
    (text,) = remarks([student(4, 1)], {})
    assert "the size of its teacher is not known" in text and "Warning" not in text

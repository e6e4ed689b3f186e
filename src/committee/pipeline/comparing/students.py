"""Rules of thumb for distillation, beside what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from committee.pipeline.shared.reports import Report
from committee.recipe.distillation import LOSSES

TEMPERATURES = (3.0, 5.0)
"""Usual temperatures of distillation (Hinton et al. 2015; Tian et al. 2020 use 4)."""
SHARES = (0.1, 0.3)
"""Usual sizes of students, relative to their teachers."""


def remarks(reports: Iterable[Report], known: Mapping[str, Report]) -> list[str]:
    """Return a sentence for each distilled model, with a warning if it is outside of the rules of thumb.

    Parameters
    ----------
    reports : iterable of dict
        Reports of the compared models; a distilled one has `teacher` and `distillation` in its provenance.
    known : mapping of str to dict
        Reports of all evaluated models, by name.
    """
    return [
        _remark(report, known)
        for report in reports
        if {"teacher", "distillation"} <= set(report.get("provenance", {}))
    ]


def _remark(report: Report, known: Mapping[str, Report]) -> str:
    provenance: Mapping[str, Any] = report["provenance"]
    teacher = known.get(provenance["teacher"])
    how, outside = _how(provenance["distillation"])
    size = "the size of its teacher is not known, since it is not evaluated"
    if teacher is not None:
        share = report["parameters"] / max(teacher["parameters"], 1)
        size = f"it has {100 * share:.0f}% of the parameters of its teacher {provenance['teacher']}"
        outside += [] if _is_within(share, SHARES) else ["size"]
    text = f"{report['name']} was distilled {how}, and {size} (10 to 30%)."
    if outside:
        text += f" Warning: {' and '.join(outside)} outside of the rule of thumb; compare other values."
    return text


def _how(settings: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return how a student was taught, in words, and what of it is outside of the rules of thumb."""
    loss, temperature = str(settings["loss"]["name"]), float(settings["temperature"])
    if "temperature" not in LOSSES.options(loss):
        return f"by {loss}", []
    outside = [] if _is_within(temperature, TEMPERATURES) else ["temperature"]
    return f"at temperature {temperature:g} (rule of thumb: 3 to 5)", outside


def _is_within(value: float, limits: tuple[float, float]) -> bool:
    return limits[0] <= value <= limits[1]

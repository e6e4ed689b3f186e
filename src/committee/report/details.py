"""All about one model: its metrics, its classes, what its members add, and where they disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from committee.metrics.classification import METRICS
from committee.pipeline.shared.reports import Report
from committee.report.text import interval

Table = tuple[str, list[str], list[list[Any]]]


def tables(report: Report) -> list[Table]:
    """Return title, columns and rows of all there is to say of the model in a `metrics.json`."""
    made = [_metrics(report), _classes(report), _mistakes(report), *_sets(report)]
    if report["kind"] == "ensemble":
        made += [_gains(report), _calibration(report), _networks(report), *_skipping(report)]
        made += [_members(report), _samples(report)]
    return [table for table in made if table[2]]


def _metrics(report: Report) -> Table:
    fit, cross_fitted, test = report["fit"], report["cross_fitted"], report["metrics"]
    shown = [name for name in METRICS if name in cross_fitted or name in test]
    rows = [
        [name, interval(cross_fitted.get(name)), fit.get(name), interval(test.get(name))] for name in shown
    ]
    return "metrics", ["metric", "cross-fitted", "of the fit", "test"], rows


def _classes(report: Report) -> Table:
    columns = ["class", "precision", "recall", "f1", "n"]
    return (
        "classes of the test split",
        columns,
        [[each[name] for name in columns] for each in report["per_class"]],
    )


def _mistakes(report: Report) -> Table:
    """The cells of the confusion matrix off its diagonal, most rows first."""
    names = [each["class"] for each in report["per_class"]]
    cells = [
        [names[true], names[guess], number]
        for true, row in enumerate(report["confusion"])
        for guess, number in enumerate(row)
        if number and guess != true
    ]
    cells.sort(key=lambda cell: -cell[2])
    return "mistakes on the test split", ["class", "taken for", "n"], cells[:10]


def _sets(report: Report) -> list[Table]:
    """The prediction sets of a report, and what withholding answers brings; nothing where it has none."""
    found = report.get("sets")
    if not found:
        return []
    rows = [
        [method, coverage, interval(each["coverage"]), interval(each["mean_size"])]
        for method in ("lac", "aps")
        for coverage, each in found[method].items()
    ]
    answered = [[each["confidence"], each["answered"], each["accuracy"]] for each in found["abstain"]]
    return [
        (f"prediction sets on test, {found['note']}", ["sets", "asked for", "coverage", "mean size"], rows),
        ("answers withheld below a probability, on test", ["below", "answered", "accuracy"], answered),
    ]


def _networks(report: Report) -> Table:
    rows = [[inference, *scores.values()] for inference, scores in report.get("by_networks", {}).items()]
    columns = ["networks", "accuracy", "log_loss", "ece", "mean confidence"]
    return "test scores by the networks that speak", columns, rows


def _skipping(report: Report) -> list[Table]:
    """What a rule that spares photos some networks saves; nothing where it spares none."""
    found = report.get("skipping")
    if not found:
        return []
    kept = found["accuracy_kept"]
    title = f"accuracy kept: {kept['cross_fitted']:.4f} cross-fitted, {kept['test']:.4f} on test"
    times = ("mean", "median", "p95", "dense_mean", "dense_median", "dense_p95")
    timed = [[each["batch"], *(each[key] for key in times)] for each in found["latency_ms"]]
    return [
        (title, ["member", "asked about"], [list(each) for each in found["used_members"].items()]),
        ("milliseconds a call; dense: with all networks", ["images", *times], timed),
    ]


def _gains(report: Report) -> Table:
    rows = [[name, interval(gain), gain["text"], gain["against"]] for name, gain in report["gain"].items()]
    return "cross-fitted gain", ["metric", "gain", "in words", "over"], rows


def _calibration(report: Report) -> Table:
    found = report["calibration"] or {}
    rows = [[name, *found[name].values()] for name in ("log_loss", "ece") if name in found]
    return f"calibration ({report['calibrate']}), cross-fitted", ["metric", "before", "after"], rows


def _members(report: Report) -> Table:
    weights, lost = report["weights"] or {}, report["contributions"]
    rows = [[name, weights.get(name), lost.get(name)] for name in report["members"]]
    return "members", ["member", "weight", "log_loss higher without it"], rows


def _samples(report: Report) -> Table:
    rows = [
        [each["sample_id"], each["label"], _votes(each["votes"]), each["disagreement"]]
        for each in report["disagreement"]
    ]
    title = "samples on which members disagree most, of those that the ensemble learned from"
    return title, ["sample", "class", "votes", "disagreement"], rows


def _votes(votes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in votes.items())

"""Everything about one model as tables: metrics, classes, contributions of members, disagreement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from committee.metrics.classification import METRICS
from committee.metrics.conformal import METHODS
from committee.pipeline.shared.reports import Report
from committee.pipeline.shared.summary import interval

Table = tuple[str, list[str], list[list[Any]]]


def tables(report: Report) -> list[Table]:
    """Return title, headings and rows of each table about a model.

    Parameters
    ----------
    report : dict
        The `metrics.json` of the model. Tables without rows are left out.
    """
    found = [_metrics(report), _classes(report), _mistakes(report), *_sets(report)]
    if report["kind"] == "ensemble":
        found += [_gains(report), _calibration(report), _networks(report), *_conditional(report)]
        found.append(_together(report))
        found += [_members(report), _samples(report)]
    return [table for table in found if table[2]]


def _metrics(report: Report) -> Table:
    fit, cross_fitted, test = report["fit"], report["cross_fitted"], report["metrics"]
    shown = [name for name in METRICS if name in cross_fitted or name in test]
    rows = [
        [name, interval(cross_fitted.get(name)), _four(fit.get(name)), interval(test.get(name))]
        for name in shown
    ]
    return "Metrics", ["metric", "cross-fitted", "on the rows of the fit", "test"], rows


def _classes(report: Report) -> Table:
    scores = ["precision", "recall", "f1"]
    rows = [
        [each["class"], *(_four(each[score]) for score in scores), each["n"]] for each in report["per_class"]
    ]
    return "Classes of the test split", ["class", *scores, "n"], rows


def _mistakes(report: Report) -> Table:
    rows = [[each["class"], each["predicted"], each["n"]] for each in report["mistakes"][:10]]
    return "Most frequent mistakes on the test split", ["class", "predicted as", "n"], rows


def _sets(report: Report) -> list[Table]:
    """Return tables of prediction sets and of abstention, or nothing if the report has none."""
    found = report.get("sets")
    if not found:
        return []
    rows = [
        [method, coverage, interval(each["coverage"]), interval(each["mean_size"])]
        for method in METHODS
        for coverage, each in found.get(method, {}).items()
    ]
    kept = [
        [each["confidence"], _four(each["answered"]), _four(each["accuracy"])] for each in found["abstain"]
    ]
    return [
        (
            f"Prediction sets on the test split, {found['note']}",
            ["method", "wanted coverage", "coverage", "mean size"],
            rows,
        ),
        (
            "Abstention on the test split: no prediction if the best class is less probable",
            ["least probability", "share predicted", "accuracy"],
            kept,
        ),
    ]


def _networks(report: Report) -> Table:
    rows = [
        [inference, *map(_four, scores.values())]
        for inference, scores in report.get("by_networks", {}).items()
    ]
    columns = ["networks", "accuracy", "log_loss", "ece", "mean confidence"]
    return "Test scores of the refit networks and of the fold networks", columns, rows


def _conditional(report: Report) -> list[Table]:
    """Return tables about an ensemble that runs only some of its networks for an image, if it does."""
    found = report.get("conditional")
    if not found:
        return []
    kept = found["accuracy_kept"]
    title = (
        f"Networks that run. The accuracy is {kept['cross_fitted']:.4f} times that of all members together "
        f"(cross-fitted; {kept['test']:.4f} on the test split)"
    )
    times = ("mean", "median", "p95", "dense_mean", "dense_median", "dense_p95")
    timed = [[each["batch"], *(f"{each[key]:.1f}" for key in times)] for each in found["latency_ms"]]
    used = [[name, _four(share)] for name, share in found["used_members"].items()]
    return [
        (title, ["member", "share of the images"], used),
        ("Milliseconds per call; dense: if all networks run", ["images per call", *times], timed),
    ]


def _gains(report: Report) -> Table:
    rows = [[name, interval(gain), gain["text"], gain["against"]] for name, gain in report["gain"].items()]
    return "Cross-fitted gains", ["metric", "gain", "in words", "compared with"], rows


def _calibration(report: Report) -> Table:
    found = report["calibration"] or {}
    rows = [[name, *map(_four, found[name].values())] for name in ("log_loss", "ece") if name in found]
    return f"Effect of calibration ({report['calibrate']}), cross-fitted", ["metric", "before", "after"], rows


def _together(report: Report) -> Table:
    """Return the mutual information of the members, and how many candidates the ensemble is worth."""
    information, equivalent = report.get("mutual_information"), report.get("deep_ensemble_equivalent")
    rows = (
        []
        if information is None
        else [["mutual information of class and member, nats", interval(information)]]
    )
    if equivalent is not None:
        worth = equivalent["note"] if equivalent["value"] is None else f"{equivalent['value']:.2f}"
        rows.append(["candidates with equal weights and the same calibrated log_loss", worth])
    return "Members together, on the test split", ["measure", "value"], rows


def _members(report: Report) -> Table:
    weights, increases = report["weights"] or {}, report["contributions"]
    rows = [[name, _four(weights.get(name)), _four(increases.get(name))] for name in report["members"]]
    return "Members", ["member", "weight", "increase of the log_loss without it"], rows


def _samples(report: Report) -> Table:
    rows = [
        [each["sample_id"], each["label"], _votes(each["votes"]), _four(each["disagreement"])]
        for each in report["disagreement"]
    ]
    title = "Samples on which the members disagree most, among those that the ensemble was fitted on"
    return title, ["sample", "class", "votes", "disagreement"], rows


def _four(value: float | None) -> str | None:
    """Return a number with four decimals."""
    return None if value is None else f"{value:z.4f}"


def _votes(votes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {number}" for name, number in votes.items())

"""Everything about one model as tables: metrics, classes, contributions of members, disagreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.errors import printable
from committee.metrics.conformal import METHODS
from committee.metrics.named import METRICS
from committee.pipeline.shared.rankings import ranking_of
from committee.pipeline.shared.reports import Report
from committee.pipeline.shared.summary import interval
from committee.report.text import has_unit, score

Table = tuple[str, list[str], list[list[Any]]]
SCORES = ("precision", "recall", "f1", "iou", "dice", "boundary_f1")
"""Scores of a class, of which reports have some."""


def tables(report: Report) -> list[Table]:
    """Return title, headings and rows of each table about a model.

    Parameters
    ----------
    report : dict
        The `metrics.json` of the model. Tables without rows are left out.
    """
    found = [_metrics(report), _targets(report), _classes(report), _mistakes(report)]
    found += [*_images(report), *sets_tables(report)]
    if report["kind"] == "ensemble":
        found += [_gains(report), _calibration(report), _networks(report), *_conditional(report)]
        found.append(_together(report))
        found += [_members(report), _samples(report)]
    return [(title, headings, [_on_one_line(row) for row in rows]) for title, headings, rows in found if rows]


def _on_one_line(row: Sequence[Any]) -> list[Any]:
    """Return a row whose names, which may come from anywhere, have no line break and no control character."""
    return [printable(cell) if isinstance(cell, str) else cell for cell in row]


def _metrics(report: Report) -> Table:
    fit, cross_fitted, test = report["fit"], report["cross_fitted"], report["metrics"]
    shown = [name for name in METRICS if name in cross_fitted or name in test]
    rows = [
        [name, score(name, cross_fitted.get(name)), _four(fit.get(name), name), score(name, test.get(name))]
        for name in shown
    ]
    return "Metrics", ["metric", "cross-fitted", "on the rows of the fit", "test"], rows


def _targets(report: Report) -> Table:
    """Return the metrics of each target, which are those of the table above if there is only one."""
    found = report.get("per_target", [])
    rows = [
        [each["target"], name, score(name, each[name])] for each in found for name in METRICS if name in each
    ]
    return "Targets of the test split", ["target", "metric", "value"], rows if len(found) > 1 else []


def _classes(report: Report) -> Table:
    found = report.get("per_class", [])
    columns = [key for key in ("class", *SCORES, "n", "n_images") if any(key in each for each in found)]
    rows = [[_four(each[key]) if key in SCORES else each[key] for key in columns] for each in found]
    return "Classes of the test split", columns, rows


def _images(report: Report) -> list[Table]:
    """Return the images of maps that are worst, and those on which the members disagree most."""
    titles = {
        "worst": "Images of the test split with the worst values",
        "disagreements": "Images of the test split on which the members disagree most",
    }
    result = []
    for key, title in titles.items():
        found = report.get(key) or []
        names = [name for each in found[:1] for name in each if name != "sample_id"]
        rows = [[each["sample_id"], *(_four(each[name], name) for name in names)] for each in found]
        result.append((title, ["image", *names], rows))
    return result


def _mistakes(report: Report) -> Table:
    rows = [[each["class"], each["predicted"], each["n"]] for each in report.get("mistakes", [])[:10]]
    return "Most frequent mistakes on the test split", ["class", "predicted as", "n"], rows


def sets_tables(report: Report) -> list[Table]:
    """Return tables of prediction sets and of abstention, or nothing if the report has none."""
    found = report.get("sets")
    if not found:
        return []
    if "intervals" in found:
        return [
            _intervals(found, "intervals", "Prediction intervals"),
            _intervals(found, "normalized_intervals", "Prediction intervals, normalized by the spread,"),
        ]
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


def _intervals(found: Mapping[str, Any], key: str, title: str) -> Table:
    """Return the coverage and the width of the intervals of numbers."""
    rows = [
        [each["target"], each["wanted"], interval(each["coverage"]), score("rmse", each["mean_width"])]
        for each in found.get(key, ())
    ]
    columns = ["target", "wanted coverage", "coverage", "mean width"]
    return f"{title} on the test split, {found['note']}", columns, rows


def _networks(report: Report) -> Table:
    rows = [
        [inference, *(_four(value, name) for name, value in scores.items())]
        for inference, scores in report.get("by_networks", {}).items()
    ]
    names: Mapping[str, float] = next(iter(report.get("by_networks", {}).values()), {})
    columns = ["networks", *("mean confidence" if name == "confidence" else name for name in names)]
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
    rows = [[name, score(name, gain), gain["text"], gain["against"]] for name, gain in report["gain"].items()]
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
        loss = "rmse" if "rmse" in equivalent else "calibrated log_loss"
        rows.append([f"candidates with equal weights and the same {loss}", worth])
    return "Members together, on the test split", ["measure", "value"], rows


def _members(report: Report) -> Table:
    weights, increases = report["weights"] or {}, report["contributions"]
    metric = ranking_of([report]).default
    rows = [
        [name, _four(weights.get(name)), _four(increases.get(name), metric)] for name in report["members"]
    ]
    columns = ["member", "weight", f"increase of the {metric} without it"]
    return "Members", columns, rows


def _samples(report: Report) -> Table:
    listed = report["disagreement"]
    rows = [
        [each["sample_id"], label_text(each["label"]), votes_text(each), _four(each["disagreement"])]
        for each in listed
    ]
    are_numbers = any("values" in each for each in listed)
    columns = ["true value", "values of members"] if are_numbers else ["class", "votes"]
    title = "Samples on which the members disagree most, among those that the ensemble was fitted on"
    return title, ["sample", *columns, "disagreement"], rows


def _four(value: float | None, metric: str = "") -> str | None:
    """Return a number with four decimals; that of a metric with a unit, with four significant digits."""
    return None if value is None else f"{value:{'.4g' if has_unit(metric) else 'z.4f'}}"


def label_text(label: Any) -> Any:
    """Return a class, or true numbers as text."""
    return _numbers(label) if isinstance(label, Sequence) and not isinstance(label, str) else label


def votes_text(row: Mapping[str, Any]) -> str:
    """Return the number of members by predicted class, or the numbers of each member."""
    if "values" in row:
        return "; ".join(f"{name}: {_numbers(values)}" for name, values in row["values"].items())
    return ", ".join(f"{name}: {number}" for name, number in row["votes"].items())


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)

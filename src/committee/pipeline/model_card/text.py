"""The text of a model card in the format of the Hugging Face hub: metadata, and the sections of all cards."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from committee._version import __version__
from committee.base.text import count
from committee.errors import printable
from committee.exporters.base import Exporter
from committee.metrics.set_table import SetTable
from committee.pipeline.model_card.described import Described

COVERAGES = (0.8, 0.9, 0.95, 0.99)
LISTED = 50
"""Largest number of classes that the card lists."""
USES = {
    "intended_use": "What the model is for",
    "out_of_scope": "Where it must not be used",
    "limitations": "Known errors, biases and risks",
}
"""Keys of the section `model_card` that a card has to answer, and the questions."""


def card_text(
    model: Described, *, form: str, use: str, files: str, file: str, differs: str, tags: Sequence[str]
) -> str:
    """Return a model card: YAML metadata with the scores of the test split as `model-index`, and sections.

    Parameters
    ----------
    model : Described
    form : str
        How the model is there, such as `in one ONNX file`.
    use : str
        The section that says how to use the files.
    files : str
        The section that lists the files.
    file : str
        The file that `committee predict` opens, for the example of prediction sets.
    differs : str
        How far files differ from the model whose scores are stated.
    tags : sequence of str
        Tags of the format; the first is the library of the model.

    Returns
    -------
    str
        Names of classes, targets and data sets are text in it, whatever characters they have.
    """
    sections = [_intro(model, form), use, files, _input(model), *_uses(model), _data(model)]
    sections += [_scores(model, differs), *_sets(model, file), _classes(model), *_ends(model)]
    body = "\n\n".join(section for section in sections if section)
    return f"---\n{_metadata(model, tags)}---\n\n{body}\n"


def _metadata(model: Described, tags: Sequence[str]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    is_same = model.difference <= Exporter.tolerance  # else the scores are those of another model
    found = _finite(model.report.get("metrics", {})) if is_same else {}
    results = [
        EvalResult(
            task_type=model.words.tag,
            dataset_type="image-folder",
            dataset_name=model.data.name,
            dataset_split=model.report["split"],
            metric_type=name,
            metric_name=name,
            metric_value=score["value"],
            metric_args={"confidence": 0.95, "low": score["low"], "high": score["high"]},
        )
        for name, score in found.items()
    ]
    ensemble = ["ensemble"] * (model.provenance.get("kind", "member") == "ensemble")
    card = ModelCardData(
        license=model.about.license,
        library_name=tags[0],
        pipeline_tag=model.words.tag,
        tags=list(dict.fromkeys([model.words.tag, *tags, "committee", *ensemble, *model.about.tags])),
        metrics=list(found) or None,
        model_name=model.name,
        eval_results=results or None,
    )
    return f"{card.to_yaml()}\n"


def _intro(model: Described, form: str) -> str:
    facts = model.provenance
    how, parts = facts.get("method") or facts.get("plan"), facts.get("members") or facts.get("of")
    named = ", ".join(map(code, parts or filter(None, [facts.get("backbone")])))
    made = f" It was made by {code(how)} from {named}." if how and named else ""
    calibrated = facts.get("calibrate")
    known = f" Its probabilities are calibrated (`{calibrated}`)." if calibrated not in (None, "none") else ""
    return (
        f"# {model.name}\n\n{model.words.what.format(count=len(model.class_names))}, {form} "
        f"with its preprocessing.{made}{known} It was written by committee {__version__}."
    )


def _input(model: Described) -> str:
    dense = model.target_type.dense
    resizes = "does not resize, and pads and normalizes" if dense else "resizes and normalizes"
    colors = "RGB" if model.channels == 3 else "luma (ITU-R 601)"
    return (
        "## Input and output\n\n"
        f"- `images`: uint8 `[batch, {model.channels}, height, width]`, {colors}, of any height and width; "
        f"the model {resizes}. The EXIF orientation is applied, transparent pixels are white.\n"
        f"- `{model.target_type.answers}`: float32 `[batch, {model.shape}]`, "
        f"{model.words.meaning}."
    )


def _uses(model: Described) -> Iterator[str]:
    """Yield the section about the use; what the recipe leaves out names its key."""
    yield "## Intended use"
    for key, question in USES.items():
        missing = f"not stated (`model_card.{key}` of the recipe)."
        yield f"**{question}:** {getattr(model.about, key) or missing}"


def _data(model: Described) -> str:
    data = model.data
    if not data.rows:
        return ""
    rows = ", ".join(f"{count(number, 'image')} in {split}" for split, number in data.rows.items())
    left = f" {count(data.left_out, 'image')} could not be decoded." if data.left_out else ""
    return (
        f"## Data\n\nTrained and evaluated on the data set {escaped(data.name)}: {rows}.{left} "
        f"Fingerprint of images, labels and splits: `{data.fingerprint}`."
    )


def _scores(model: Described, differs: str) -> str:
    """Return the scores with their 95% intervals."""
    report = model.report
    if not report:
        return (
            "## Scores\n\nNot evaluated: the scores are stated after `committee evaluate`, when the card is "
            "written again."
        )
    test, crossed = _finite(report.get("metrics", {})), _finite(report.get("cross_fitted", {}))
    names, latency = dict.fromkeys([*test, *crossed]), report["latency_ms"]["median"]
    rows = [[f"`{name}`", _interval(test.get(name)), _interval(crossed.get(name))] for name in names]
    seen = " Some test images may have been used to train an adopted member." if report.get("seen") else ""
    return (
        f"## Scores\n\nValues with 95% intervals on the data set {escaped(model.data.name)}: on "
        f"{count(report['n'], 'image')} of its {report['split']} split, and cross-fitted on training images "
        f"that neither the networks nor the combination had seen.{seen} They are those of the model in "
        f"PyTorch; {differs}.\n\n"
        + table(["metric", f"{report['split']} split", "cross-fitted"], rows)
        + f"\n\nThe weights have {report['size_mb']:.1f} MB. One photo takes {latency:.1f} ms in PyTorch, on "
        "the machine that evaluated the model."
    )


def _sets(model: Described, file: str) -> Iterator[str]:
    """Yield the sections about prediction sets and abstention, if the model has their thresholds."""
    found = model.provenance.get("sets")
    if not found or not model.words.are_classes:
        return
    known = SetTable.from_json(found, model.name)
    limits = {coverage: float(np.max(known.limit(coverage, "lac"))) for coverage in COVERAGES}
    yield (
        "## Prediction sets\n\nThe set of all classes with at least the probability below, and of the most "
        f"probable class, contains the true class with the given coverage ({known.note}). `committee predict "
        f"{file} photo.jpg --coverage 0.9` prints such sets, and with `--sets` other kinds.\n\n"
        + table(
            ["coverage", "least probability"],
            [[f"{each:g}", _least(limit)] for each, limit in limits.items()],
        )
    )
    kept = [
        [f"{each['confidence']:g}", _four(each["answered"]), _four(each["accuracy"])]
        for each in known.abstain
    ]
    yield (
        "## Abstention\n\nIf photos whose most probable class is less probable than the value in the first "
        "column are left to a person, the model answers this share of the photos, with this accuracy "
        "(measured on the rows that calibrate the prediction sets).\n\n"
        + table(["least probability", "share answered", "accuracy"], kept)
    )


def _least(limit: float) -> str:
    """Return the least probability of a class in a set, rounded down, so that the coverage is kept."""
    return "0 (all classes)" if limit >= 1 else f"{math.floor(1e6 * (1 - limit)) / 1e6:.6f}"


def _classes(model: Described) -> str:
    names = [f"- {escaped(name)}" for name in model.named[:LISTED]]
    more = len(model.class_names) - LISTED
    rest = [f"- and {more} more"] if more > 0 else []
    return "\n".join([f"## {model.words.heading}", "", *names, *rest])


def _ends(model: Described) -> Iterator[str]:
    if model.about.citation:
        fence = "`" * (3 + max(map(len, re.findall(r"`+", model.about.citation)), default=0))
        yield f"## Citation\n\n{fence}\n{model.about.citation.strip()}\n{fence}"
    if model.about.contact:
        yield f"## Contact\n\n{model.about.contact}"


def _finite(scores: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    return {name: score for name, score in scores.items() if math.isfinite(score["value"])}


def _interval(score: Mapping[str, float] | None) -> str:
    return "" if score is None else f"{score['value']:.4f} ({score['low']:.4f} to {score['high']:.4f})"


def _four(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def escaped(name: str) -> str:
    """Return a name without what Markdown would interpret."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&$-])", r"\\\1", printable(name))


def code(name: object) -> str:
    """Return a name as code in a line of Markdown."""
    return f"`{printable(str(name)).replace('`', chr(39))}`"


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, of cells that are Markdown already."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

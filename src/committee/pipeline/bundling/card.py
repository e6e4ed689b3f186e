"""The model card, `README.md`, in the format of the Hugging Face hub."""

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
from committee.pipeline.bundling.subject import Content, Subject

COVERAGES = (0.8, 0.9, 0.95, 0.99)
LISTED = 50
"""Largest number of classes that the card lists."""


def files(subject: Subject, others: Content) -> Content:
    """Return the card `README.md` of a bundle with these other files."""
    sections = [_intro(subject), _use(subject, others), _files(subject, others), _input(subject)]
    sections += [_scores(subject), *_sets(subject), _classes(subject)]
    body = "\n\n".join(section for section in sections if section)
    return {"README.md": f"---\n{_metadata(subject)}---\n\n{body}\n".encode()}


def _metadata(subject: Subject) -> str:
    """Return the YAML metadata, with the scores of the test split as `model-index`."""
    from huggingface_hub import EvalResult, ModelCardData

    is_same = subject.difference <= Exporter.tolerance  # else the scores are those of another model
    found = _finite(subject.report.get("metrics", {})) if is_same else {}
    results = [
        EvalResult(
            task_type=subject.words.tag,
            dataset_type="image-folder",
            dataset_name=subject.dataset,
            dataset_split=subject.report["split"],
            metric_type=name,
            metric_name=name,
            metric_value=score["value"],
            metric_args={"confidence": 0.95, "low": score["low"], "high": score["high"]},
        )
        for name, score in found.items()
    ]
    kind = str(subject.provenance.get("kind", "member"))
    card = ModelCardData(
        license=subject.license,
        library_name="onnx",
        pipeline_tag=subject.words.tag,
        tags=[subject.words.tag, "onnx", "onnxruntime", "committee", *["ensemble"] * (kind == "ensemble")],
        metrics=list(found) or None,
        model_name=subject.name,
        eval_results=results or None,
    )
    return f"{card.to_yaml()}\n"


def _intro(subject: Subject) -> str:
    facts = subject.provenance
    how, parts = facts.get("method") or facts.get("plan"), facts.get("members") or facts.get("of")
    named = ", ".join(f"`{name}`" for name in parts or filter(None, [facts.get("backbone")]))
    made = f" It was made by `{how}` from {named}." if how and named else ""
    calibrated = facts.get("calibrate")
    known = f" Its probabilities are calibrated (`{calibrated}`)." if calibrated not in (None, "none") else ""
    return (
        f"# {subject.name}\n\n{subject.words.what.format(count=len(subject.class_names))}, in one ONNX "
        f"file with its preprocessing.{made}{known} The file was written by committee {__version__}."
    )


def _use(subject: Subject, others: Content) -> str:
    page = (
        "In a browser, on this machine; photos are not uploaded:\n\n"
        "```sh\npython -m http.server --bind 127.0.0.1  # then open http://localhost:8000/web/\n```\n\n"
    )
    needs = (
        "The page needs onnxruntime-web in `web/ort/`, which this bundle does not contain. "
        f"`committee bundle {subject.name} --web-runtime npm` makes a bundle that does.\n\n"
    )
    has_page, has_runtime = "web/index.html" in others, any(name.startswith("web/ort/") for name in others)
    return (
        "## Use\n\n```sh\npip install -r requirements.txt\npython predict.py photo.jpg\n```\n\n"
        f"Each photo gives a line of JSON with {subject.words.line}. In Python:\n\n"
        '```python\nfrom predict import Model\n\nprint(Model().predict("photo.jpg"))\n```\n\n'
        f"{page * has_page}{needs * (has_page and not has_runtime)}"
        "With NVIDIA Triton:\n\n```sh\ntritonserver --model-repository=triton\n```\n\n"
        "Verify the files:\n\n```sh\nsha256sum -c SHA256SUMS  # macOS: shasum -a 256 -c SHA256SUMS\n"
        "committee bundle --check .  # also finds files that were added\n```"
    )


def _files(subject: Subject, others: Content) -> str:
    rows = {
        subject.place: "the model: the only copy, which the script, the page and Triton share",
        "predict.py": "predicts photos with numpy, Pillow and onnxruntime alone",
        "requirements.txt": "these three packages",
        "class_names.json": subject.words.names,
        f"triton/{subject.name}/": "a model of a Triton model repository, with `config.pbtxt`"
        f"{' and labels' * subject.words.are_classes}",
        "web/index.html": "a page that runs the model in a browser",
        "web/ort/": "onnxruntime-web (MIT license), which the page needs",
        "SHA256SUMS": "a checksum of each other file",
    }
    there = [name for name in rows if name == "SHA256SUMS" or any(each.startswith(name) for each in others)]
    return "## Files\n\n" + _table(["file", "content"], [[f"`{name}`", rows[name]] for name in there])


def _input(subject: Subject) -> str:
    dense = subject.target_type.dense
    resizes = "does not resize, and pads and normalizes" if dense else "resizes and normalizes"
    colors = "RGB" if subject.channels == 3 else "luma (ITU-R 601)"
    return (
        "## Input and output\n\n"
        f"- `images`: uint8 `[batch, {subject.channels}, height, width]`, {colors}, of any height and width; "
        f"the model {resizes}. The EXIF orientation is applied, transparent pixels are white.\n"
        f"- `{subject.target_type.answers}`: float32 `[batch, {subject.shape}]`, "
        f"{subject.words.meaning}."
    )


def _scores(subject: Subject) -> str:
    """Return the scores with their 95% intervals."""
    report = subject.report
    if not report:
        return (
            "## Scores\n\nNot evaluated: the scores are stated after `committee evaluate` and a new bundle."
        )
    test, crossed = _finite(report.get("metrics", {})), _finite(report.get("cross_fitted", {}))
    names, latency = dict.fromkeys([*test, *crossed]), report["latency_ms"]["median"]
    rows = [[f"`{name}`", _interval(test.get(name)), _interval(crossed.get(name))] for name in names]
    seen = " Some test images may have been used to train an adopted member." if report.get("seen") else ""
    return (
        f"## Scores\n\nValues with 95% intervals on the data set {_escaped(subject.dataset)}: on "
        f"{count(report['n'], 'image')} of its {report['split']} split, and cross-fitted on training images "
        f"that neither the networks nor the combination had seen.{seen} They are those of the model in "
        f"PyTorch; on real images, {subject.words.difference} "
        f"{subject.difference:.1e}{subject.words.relative}.\n\n"
        + _table(["metric", f"{report['split']} split", "cross-fitted"], rows)
        + f"\n\nThe weights have {report['size_mb']:.1f} MB. One photo takes {latency:.1f} ms in PyTorch, on "
        "the machine that evaluated the model."
    )


def _sets(subject: Subject) -> Iterator[str]:
    """Yield the sections about prediction sets and abstention, if the model has their thresholds."""
    found = subject.provenance.get("sets")
    if not found or not subject.words.are_classes:
        return
    table = SetTable.from_json(found, subject.name)
    limits = {coverage: float(np.max(table.limit(coverage, "lac"))) for coverage in COVERAGES}
    yield (
        "## Prediction sets\n\nThe set of all classes with at least the probability below, and of the most "
        f"probable class, contains the true class with the given coverage ({table.note}). `committee predict "
        f"{subject.place} photo.jpg --coverage 0.9` prints such sets, and with `--sets` other kinds.\n\n"
        + _table(
            ["coverage", "least probability"],
            [[f"{each:g}", _least(limit)] for each, limit in limits.items()],
        )
    )
    kept = [
        [f"{each['confidence']:g}", _four(each["answered"]), _four(each["accuracy"])]
        for each in table.abstain
    ]
    yield (
        "## Abstention\n\nIf photos whose most probable class is less probable than the value in the first "
        "column are left to a person, the model answers this share of the photos, with this accuracy "
        "(measured on the rows that calibrate the prediction sets).\n\n"
        + _table(["least probability", "share answered", "accuracy"], kept)
    )


def _least(limit: float) -> str:
    """Return the least probability of a class in a set, rounded down, so that the coverage is kept."""
    return "0 (all classes)" if limit >= 1 else f"{math.floor(1e6 * (1 - limit)) / 1e6:.6f}"


def _classes(subject: Subject) -> str:
    names = [f"- {_escaped(name)}" for name in subject.named[:LISTED]]
    more = len(subject.class_names) - LISTED
    rest = [f"- and {more} more, in `class_names.json`"] if more > 0 else []
    return "\n".join([f"## {subject.words.heading}", "", *names, *rest])


def _finite(scores: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    return {name: score for name, score in scores.items() if math.isfinite(score["value"])}


def _interval(score: Mapping[str, float] | None) -> str:
    return "" if score is None else f"{score['value']:.4f} ({score['low']:.4f} to {score['high']:.4f})"


def _four(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _escaped(name: str) -> str:
    """Return a name without what Markdown would interpret."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~&$-])", r"\\\1", printable(name))


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

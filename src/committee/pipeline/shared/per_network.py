"""The compression method of each network of an ensemble, chosen by measuring each network alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from committee.base.onnx_networks import extract_network, network_names
from committee.compression.base import Compressor
from committee.metrics.metric import Metric
from committee.pipeline.shared.held_out import in_words as loss_in_words
from committee.pipeline.shared.held_out import loss_of
from committee.pipeline.shared.trials import FLOAT, Report, Trials, fastest

NO_OUTPUTS = "its outputs are not those of a model, so that it cannot be measured alone"


def of_each_network(trials: Trials, methods: Mapping[str, Compressor], folder: Path) -> dict[str, Report]:
    """Try methods on each network of a model alone, and choose the fastest within the tolerances.

    Parameters
    ----------
    trials : Trials
    methods : mapping of str to Compressor
        Methods for ONNX files, by name.
    folder : Path
        A folder for the files.

    Returns
    -------
    dict
        Network -> `chosen`, a method or `float32`, and `methods`, the measurements of each; or the `reason`
        why the network is not measured. It is empty for a model of one network, or one that is not measured.
    """
    source = trials.model.choosing_file
    names = network_names(source)
    if len(names) < 2:
        return {}
    return {name: _of(trials, name, source, methods, folder / name) for name in names}


def _of(trials: Trials, name: str, source: Path, methods: Mapping[str, Compressor], folder: Path) -> Report:
    folder.mkdir(parents=True)
    alone = folder / "model.onnx"
    if not extract_network(source, name, alone):
        return {"reason": NO_OUTPUTS}
    baseline = trials.outputs("onnx", alone)
    made = {key: trials.tried(each, alone, baseline, folder / key) for key, each in methods.items()}
    before = {"size_mb": round(alone.stat().st_size / 1e6, 3), "latency_ms": trials.time(made, alone)}
    for its in made.values():
        its.pop("path", None)
        why = trials.refusal(its["choosing"]) if "choosing" in its else ""
        its.update({"status": "refused", "reason": why} if why else {})
    within = {key: its for key, its in made.items() if "status" not in its}
    return {"chosen": fastest({FLOAT: before, **within}), FLOAT: before, "methods": made}


def mixed(networks: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the method of each network; empty if they do not differ, or if a network was not measured."""
    chosen = {name: str(its.get("chosen", "")) for name, its in networks.items()}
    return chosen if len(set(chosen.values())) > 1 and all(chosen.values()) else {}


def in_words(networks: Mapping[str, Mapping[str, Any]], metric: Metric) -> Sequence[str]:
    """Return a sentence about each network, with what its method costs it."""
    return [f"{name}: {_sentence(its, metric)}." for name, its in networks.items()]


def _sentence(its: Mapping[str, Any], metric: Metric) -> str:
    if "reason" in its:
        return str(its["reason"])
    if its["chosen"] == FLOAT:
        return "stays float32"
    found = its["methods"][its["chosen"]]["choosing"]
    lost = loss_in_words(metric, loss_of(metric, found))
    return f"{its['chosen']}, {lost}, agreement {found['agreement']:.4f}"

"""The comparison in a store: rows, scores on the same rows, costs of files, and the budget."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from committee.errors import DataError, RecipeError, StoreError, UnknownNameError
from committee.metrics.classification import evaluate
from committee.models.timing import Timing
from committee.pipeline.comparing import comparison
from committee.pipeline.comparing import files as comparing_files
from committee.pipeline.comparing.candidates import candidates, training_seconds
from committee.pipeline.comparing.files import ModelFile, device_for, model_files
from committee.pipeline.comparing.scores import outputs_of, shared_rows
from committee.pipeline.comparing.served import Served
from committee.pipeline.run import run_verb
from committee.pipeline.shared.package import add_formats
from committee.pipeline.shared.photo import Photos
from committee.pipeline.shared.reports import read_reports
from committee.pipeline.stages.compare import Compare
from committee.recipe.load import load_recipe
from committee.store.layout import Store


def made(store: Store, settings: list[str], *overrides: str) -> Any:
    return Compare().run(load_recipe(None, [*settings, *overrides]), store)


@pytest.fixture
def evaluated(trained_with: Callable[..., Store], tiny_settings: list[str]) -> Store:
    """A store with two evaluated members and their mean."""

    def add(store: Store) -> None:
        recipe = load_recipe(None, tiny_settings)
        run_verb("build-ensemble", recipe, store, methods=["soft_voting"])
        run_verb("evaluate", recipe, store)

    return trained_with("compared", add)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are checkpoints, which need no graph, and are not run."""

    def serve(
        files: Mapping[str, Path], photos: Photos, device: str, trusted: Collection[str]
    ) -> tuple[dict[str, Served], dict[str, Exception]]:
        times = {name: 10.0 * (place + 1) for place, name in enumerate(sorted(files))}
        return {
            name: Served({size: Timing(ms, ms, 0.0, 3) for size in ("1", "32")}, {"32": 100.0})
            for name, ms in times.items()
        }, {}

    monkeypatch.setattr(comparison, "serve", serve)


def test_the_best_of_each_kind_on_the_same_rows(
    evaluated: Store, tiny_settings: list[str], quick: None
) -> None:
    outcome = made(evaluated, tiny_settings, "compare.format=checkpoint")
    facts = json.loads(evaluated.comparison_report().read_text("utf-8"))
    assert outcome.exit_code == 0 and {row["kind"] for row in facts["rows"]} == {"single", "vote"}
    assert outcome.done == [row["name"] for row in facts["rows"]]
    assert (facts["split"], facts["n"], facts["runtime"]) == ("test", 49, "torch (eager)")
    reports = {report["name"]: report for report in read_reports(evaluated)}
    for row in facts["rows"]:
        for metric, its in row["scores"].items():
            assert its == pytest.approx(reports[row["name"]]["metrics"][metric])
        assert row["training_s"] == training_seconds(evaluated, row["name"]) > 0
        assert row["file_mb"] > 0 and Path(row["file"]).exists()
    first, second = (row["differences"] for row in facts["rows"])
    (a,), (b,) = first.values(), second.values()
    assert a["log_loss"]["value"] == pytest.approx(-b["log_loss"]["value"])
    vote = next(row for row in facts["rows"] if row["kind"] == "vote")
    # Both members together, with equal weights, are worth two of them.
    assert vote["deep_ensemble_equivalent"]["value"] == pytest.approx(2, abs=1e-3) or (
        "worse than one member" in vote["deep_ensemble_equivalent"]["note"]
    )


def test_a_budget_that_nothing_meets_is_a_failure_with_the_nearest(
    evaluated: Store, tiny_settings: list[str], quick: None
) -> None:
    outcome = made(
        evaluated, tiny_settings, "compare={format: torchscript, models: [test_vit], max_latency_ms: 5}"
    )
    assert outcome.exit_code == 3 and set(outcome.failed) == {"budget"}
    assert outcome.failed["budget"].startswith(
        "No compared model is within the budget (5 ms). The nearest is test_vit, which exceeds it in "
        "latency: "
    )
    facts = json.loads(evaluated.comparison_report().read_text("utf-8"))
    assert facts["deploy"] is None and facts["rows"][0]["over"] == ["latency"]


def test_the_budget_of_pruning_is_that_of_the_comparison(tiny_settings: list[str]) -> None:
    own = ["pruning.cost_budget={max_latency_ms: 7, max_size_mb: 8}", "compare={max_latency_ms: 3}"]
    settings = Compare()._settings(load_recipe(None, [*tiny_settings, *own]))
    assert (settings.max_latency_ms, settings.max_size_mb, settings.min_accuracy) == (3, 8, None)


def test_a_file_that_cannot_predict_the_test_images_is_left_out(
    evaluated: Store, tiny_settings: list[str], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def files(store: Store, name: str, format: str) -> list[ModelFile]:
        (whole,) = model_files(store, name, format)
        return [whole, replace(whole, package="small", is_exact=False)]

    def no_images(*_: object) -> None:
        raise DataError("photos: there are none")

    monkeypatch.setattr(comparison, "model_files", files)
    monkeypatch.setattr(comparison, "predicted", no_images)
    outcome = made(evaluated, tiny_settings, "compare={format: checkpoint, models: [test_vit]}")
    assert (outcome.done, outcome.exit_code) == (["test_vit"], 3)
    assert outcome.failed == {"test_vit (small)": "photos: there are none."}


def test_every_file_of_a_package_and_the_last_report_stays_if_none_runs(
    evaluated: Store, tiny_settings: list[str], quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = "exports.formats=[state_dict, checkpoint, torchscript]"
    outcome = made(evaluated, tiny_settings, both, "compare={format: all, models: [test_vit]}")
    facts = json.loads(evaluated.comparison_report().read_text("utf-8"))
    assert [row["key"] for row in facts["rows"]] == ["test_vit (checkpoint)", "test_vit (torchscript)"]
    assert (outcome.exit_code, facts["runtime"]) == (0, "the runtime of each")

    monkeypatch.setattr(
        comparison, "serve", lambda files, *_: ({}, dict.fromkeys(files, StoreError("broken")))
    )
    outcome = made(evaluated, tiny_settings, "compare={format: checkpoint, models: [test_vit]}")
    failed = {"test_vit": "broken.", "compare": "compare: expected a file that runs, got none."}
    assert (outcome.exit_code, outcome.failed) == (1, failed)
    assert json.loads(evaluated.comparison_report().read_text("utf-8")) == facts
    assert not Compare().report(outcome, evaluated).blocks


@pytest.mark.parametrize(
    ("format", "device"),
    [
        ("openvino", "cpu"),
        ("tensorrt", "cuda"),
        ("aotinductor", "cpu"),
        ("checkpoint", "mps"),
        ("all", "cpu"),
    ],
)
def test_a_format_for_one_device_is_measured_there(format: str, device: str) -> None:
    assert device_for(format, "mps") == device


def test_losses_are_those_of_files_that_compress_wrote(
    trained: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trained.deploy("test_vit")
    entries: dict[str, Any] = {}
    for name in ("onnx_float16", "onnx_int8"):
        (folder / name).mkdir(parents=True)
        (folder / name / "model.onnx").touch()
        entries[name] = {"format": "onnx", "status": "done", "file": f"{name}/model.onnx"}
        entries[name]["parity"] = {"max_abs_diff": 0.1}
    entries["onnx_int8"]["method"] = "onnx_static"
    (folder / "export_status.json").write_text(json.dumps({"formats": entries}), "utf-8")
    monkeypatch.setattr(comparing_files, "_lost", lambda *_: {"accuracy_lost": {}})
    found = {each.package: each.lost for each in model_files(trained, "test_vit", "onnx")}
    assert found == {"onnx_float16": None, "onnx_int8": {"accuracy_lost": {}}}
    add_formats(folder, {}, removed=list(entries))  # a refusal leaves what `export` wrote
    assert [each.package for each in model_files(trained, "test_vit", "onnx")] == ["onnx_float16"]


def test_paired_differences_are_those_of_the_scores(evaluated: Store) -> None:
    reports = candidates(evaluated)
    rows = shared_rows(evaluated, reports, [], 0)
    assert rows is not None and rows.networks is None
    ours, others = (outputs_of(evaluated, report)[0] for report in reports)
    found = rows.difference(ours, others)
    labels = rows.rows.require_labels("test")
    for metric, its in found.items():
        a, b = (evaluate(each, labels, [metric])[metric] for each in (ours, others))
        assert its["value"] == pytest.approx(a - b) and its["low"] <= its["value"] <= its["high"]
    right = (ours.argmax(1) == labels) * 1.0 - (others.argmax(1) == labels)
    half = stats.t.ppf(0.975, len(labels) - 1) * stats.sem(right)
    assert found["accuracy"]["high"] - found["accuracy"]["value"] == pytest.approx(half)
    assert rows.equivalent(ours)["note"] == "the store has fewer than 2 single networks"


def test_models_that_are_unknown_or_not_evaluated(trained: Store, tiny_settings: list[str]) -> None:
    with pytest.raises(StoreError) as nothing:
        made(trained, tiny_settings, "compare={}")
    assert str(nothing.value) == (
        f"{trained.root}: expected evaluated models, to compare them, got none. Run: committee evaluate"
    )
    with pytest.raises(StoreError) as one:
        made(trained, tiny_settings, "compare.models=[test_vit]")
    assert str(one.value) == "test_vit: expected an evaluated model, got none. Run: committee evaluate"
    with pytest.raises(UnknownNameError, match=r"got 'test_vot'"):
        made(trained, tiny_settings, "compare.models=[test_vot]")
    with pytest.raises(StoreError) as no_file:
        model_files(trained, "test_vit", "onnx")
    assert str(no_file.value) == (
        "test_vit: expected a package in the format 'onnx', got none. Run: committee export --model-name NAME"
    )


@pytest.mark.parametrize("key", ["max_latency_ms", "max_size_mb"])
def test_a_budget_is_above_zero(key: str) -> None:
    with pytest.raises(RecipeError, match=f"compare.{key}.*greater than 0|compare.{key}.*above 0"):
        load_recipe(None, [f"compare.{key}=0"])


def test_the_command_line_compares_files_in_their_runtime(
    evaluated: Store, tiny_settings: list[str], tmp_path: Path, cli: Callable[..., Any]
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("matplotlib")
    words = [word for each in tiny_settings for word in ("--set", each)]
    words += ["--store", evaluated.root, "--model-name", "test_resnet", "--max-size-mb", "0.001"]
    said = cli("compare", *words, "--plot", tmp_path / "plot.png", "--json", tmp_path / "its.json")
    assert said.code == 3, said.err
    written = json.loads((tmp_path / "its.json").read_text("utf-8"))
    assert written["comparison"] == json.loads(evaluated.comparison_report().read_text("utf-8"))
    recipe = cli("compare", "--json", tmp_path / "recipe.yaml")
    assert recipe.code == 2 and "--json: expected nothing or a file FILE.json, got '" in recipe.err
    assert "No compared model is within the budget (0.001 MB)." in said.out
    assert "over: size" in said.out and (tmp_path / "plot.png").is_file()
    row = json.loads(evaluated.comparison_report().read_text("utf-8"))["rows"][0]
    assert 0 < row["latency_ms"]["1"]["median"] <= row["latency_ms"]["1"]["p95"]
    assert row["file"].endswith("deploy/test_resnet/onnx/model.onnx")
    peak = row["memory_mb"]
    # A process that imports torch takes more than this.
    assert peak["32"] is None or 30 < peak["start"] <= peak["1"] <= peak["32"] < 200
    zero = cli("compare", *words[:-2], "--max-latency-ms", "0")
    assert zero.code == 2 and "compare.max_latency_ms" in zero.err

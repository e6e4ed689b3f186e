"""The stage that compresses files: what it keeps, refuses and reports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from committee.base.onnx_networks import network_of
from committee.compression.onnx_dynamic import OnnxDynamic
from committee.errors import ExportError, RecipeError, StoreError
from committee.exporters import _onnx_graph
from committee.pipeline.shared import compressed, network_files, trials
from committee.pipeline.shared.held_out import choosing_rows
from committee.pipeline.stages.compress import Compress, read_compression
from committee.pipeline.stages.export import Export
from committee.recipe.compression import CompressionMethod
from committee.recipe.load import load_recipe

NAME = "test_resnet"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Return a function that writes the graph of a model as before, if one was recorded under its name."""
    folder, write = tmp_path_factory.mktemp("graphs"), _onnx_graph.write

    def copied(module, example, path, card):
        kept = folder / f"{card.name}.onnx"
        if not kept.exists():
            write(module, example, kept, card)
        return shutil.copyfile(kept, path)

    return copied


@pytest.fixture
def run(trained, tiny_settings, monkeypatch, recorded):
    """Run the stage on the trained store."""
    monkeypatch.setattr(_onnx_graph, "write", recorded)
    monkeypatch.setattr(network_files, "CALLS", 2)

    def run(*overrides: str, force: bool = False):
        recipe = load_recipe(None, [*tiny_settings, "compress.images=16", *overrides])
        stage = Compress([NAME], force)
        return stage, stage.run(recipe, trained)

    return run


def test_files_within_the_tolerance_are_kept_and_measured(run, trained, cli) -> None:
    stage, outcome = run("compress.methods=[float16, onnx_static]", "compress.min_agreement=0")
    assert (outcome.done, outcome.failed) == ([NAME], {})
    report = read_compression(trained)[NAME]
    assert report["chosen_on"] == "out-of-fold"
    assert set(report["files"]) == {"onnx_float16", "onnx_int8"}
    status = json.loads((trained.deploy(NAME) / "export_status.json").read_text("utf-8"))["formats"]
    for folder, its in report["files"].items():
        assert its["status"] == "kept"
        assert its["size_mb"] < report["float32"]["size_mb"]
        assert its["test"]["n"] == report["float32"]["test"]["n"] > 10
        assert its["test"]["accuracy_lost"]["value"] == pytest.approx(
            report["float32"]["test"]["accuracy"]["value"] - its["test"]["accuracy"]["value"]
        )
        assert its["test"]["accuracy_lost"]["low"] <= its["test"]["accuracy_lost"]["value"]
        assert set(its["latency_ms"]) == set(its["speedup"]) == {"1", "32"}
        assert status[folder]["file"] == its["file"]
        assert status[folder]["parity"]["max_abs_diff"] == its["test"]["max_abs_diff"]
    assert "compressed" in stage.report(outcome, trained).facts
    assert cli("discover", "--store", trained.root).code == 0
    _predicts(trained.deploy(NAME) / "onnx_int8", trained, cli)


def _predicts(file, store, cli) -> None:
    from PIL import Image

    photo = store.root / "photo.png"
    Image.fromarray(np.arange(40 * 30, dtype=np.uint8).reshape(40, 30)).save(photo)
    done = cli("predict", file, photo, "--json")
    assert done.code == 0, done.err
    assert "photo.png" in done.out


def test_file_beyond_the_tolerance_is_refused_unless_it_is_forced(run, trained) -> None:
    refused = ("compress.methods=[onnx_static]", "compress.min_agreement=1", "compress.tolerance=0")
    _, outcome = run(*refused)
    assert read_compression(trained)[NAME]["files"]["onnx_int8"]["status"] == "refused"
    assert not (trained.deploy(NAME) / "onnx_int8").exists()
    text = outcome.failed[NAME]
    assert text.startswith(f"{NAME}: expected a compressed file within the tolerance, got onnx_int8: it ")
    assert "compress." in text
    assert text.endswith("Keep them nevertheless with --force, or raise compress.tolerance.")
    _, outcome = run(*refused, force=True)
    assert (outcome.done, outcome.failed) == ([NAME], {})
    its = read_compression(trained)[NAME]["files"]["onnx_int8"]
    assert (its["status"], its["forced"]) == ("kept", text.partition("onnx_int8: ")[2].partition(". Keep")[0])


def test_auto_chooses_a_method_for_each_network(run, trained, tiny_settings, monkeypatch, cli) -> None:
    """8 bits make one network faster, and the other slower."""

    def measure_file(path: Path, device: str, batches: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
        assert {size: batch[0].shape for size, batch in batches.items()} == {
            "1": (1, 1, 8, 8),  # the images of the data set
            "32": (32, 1, 8, 8),
        }
        parts = set(path.parts)
        ms = 5.0 if {"test_resnet", "onnx_static"} <= parts else 10.0
        ms = 20.0 if {"test_vit", "onnx_static"} <= parts or "onnx_int8" in parts else ms
        return dict.fromkeys(batches, np.full(4, 7.0 if "onnx_mixed" in parts else ms))

    monkeypatch.setattr(trials, "measure_file", measure_file)
    chosen = [CompressionMethod(method=name) for name in ("float16", "onnx_static")]
    assert {each.folder for each in chosen} <= {each.folder for each in compressed.every_method()}
    monkeypatch.setattr(compressed, "every_method", lambda: chosen)
    assert cli("build-ensemble", "--method", "soft_voting", "--store", trained.root, "--quiet").code == 0
    recipe = load_recipe(
        None,
        [*tiny_settings, "compress.images=16", "compress.min_agreement=0", "compress.tolerance=1"],
    )
    (name,) = trained.ensembles()
    stage = Compress([name])
    outcome = stage.run(recipe, trained)
    assert (outcome.done, outcome.failed) == ([name], {})
    report = read_compression(trained)[name]
    assert {each: its["chosen"] for each, its in report["networks"].items()} == {
        "test_resnet": "onnx_static",
        "test_vit": "float16",
    }
    found = report["networks"]["test_resnet"]["methods"]["onnx_static"]
    assert found["speedup"]["1"] == 2 and 0 <= found["choosing"]["agreement"] <= 1
    assert {folder: its["status"] for folder, its in report["files"].items()} == {
        "onnx_float16": "not chosen",
        "onnx_int8": "not chosen",
        "onnx_mixed": "kept",
    }
    words = [each for each in stage.report(outcome, trained).blocks if isinstance(each, str)]
    assert words[0].startswith("test_resnet: onnx_static, ") and "agreement" in words[0]
    model = onnx.load(trained.deploy(name) / "onnx_mixed" / "model.onnx")
    kinds = {
        name: {each.data_type for each in model.graph.initializer if name in _readers(model, each.name)}
        for name in ("test_resnet", "test_vit")
    }
    assert TensorProto.INT8 in kinds["test_resnet"] and TensorProto.FLOAT16 not in kinds["test_resnet"]
    assert TensorProto.FLOAT16 in kinds["test_vit"] and TensorProto.INT8 not in kinds["test_vit"]


def _readers(model, value: str) -> set[str | None]:
    """Return the networks that read a value, possibly through a node that decodes it."""
    nodes = [node for node in model.graph.node if value in node.input]
    decoded = [out for node in nodes if node.op_type == "DequantizeLinear" for out in node.output]
    found = {network_of(node) for node in nodes}
    return found.union(*(_readers(model, each) for each in decoded))


@pytest.mark.parametrize("order", [("export", "compress"), ("compress", "export")])
def test_a_folder_of_both_stages_has_one_key(order, run, trained, tiny_settings, monkeypatch) -> None:
    """The file of `export` with `precision: int8` is that of `onnx_static`, and neither writes it again."""
    settings = ("compress.methods=[onnx_static]", "compress.min_agreement=0", "compress.tolerance=1")
    formats = "exports.formats=[onnx, {format: onnx, precision: int8}]"
    recipe = load_recipe(None, [*tiny_settings, "compress.images=300", *settings, formats])
    stages = {"export": Export([NAME]), "compress": Compress([NAME])}
    written = []
    for name in order:
        assert stages[name].run(recipe, trained).failed == {}
        written.append((trained.deploy(NAME) / "onnx_int8" / "manifest.json").stat().st_mtime_ns)
    assert written[0] == written[1]
    assert (trained.deploy(NAME) / "onnx_int8" / "predict.py").is_file()
    status, report = (trained.deploy(NAME) / "export_status.json"), trained.compression_report()
    before = [path.stat().st_mtime_ns for path in (status, report)], status.read_text("utf-8")
    assert json.loads(before[1])["formats"]["onnx_int8"]["method"] == "onnx_static"
    monkeypatch.setattr(compressed, "open_model", None)  # nothing is made again
    for name in ("export", "compress"):
        assert stages[name].run(recipe, trained).failed == {}
    assert status.stat().st_mtime_ns == before[0][0] and status.read_text("utf-8") == before[1]


def test_auto_reports_methods_that_fail_and_does_not_fail(run, trained, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise ExportError("this method", got="an error")

    chosen = [CompressionMethod(method=name) for name in ("float16", "onnx_dynamic")]
    monkeypatch.setattr(compressed, "every_method", lambda: chosen)
    monkeypatch.setattr(OnnxDynamic, "compress", fail)
    _, outcome = run("compress.min_agreement=0", "compress.tolerance=1")
    assert (outcome.done, outcome.failed) == ([NAME], {})
    found = {folder: its["status"] for folder, its in read_compression(trained)[NAME]["files"].items()}
    assert found == {"onnx_float16": "kept", "onnx_dynamic": "failed"}


def test_without_cache_and_images_the_error_says_which_images(trained) -> None:
    shutil.rmtree(trained.root / "cache")
    outcome = Compress([NAME]).run(load_recipe(None, ["dataset.path=nowhere"]), trained)
    text = outcome.failed[NAME]
    assert text.startswith(f"{trained.root}: expected the cache of decoded images 37-crop-1, or the images ")
    assert text.endswith("Name the folder of the images with --set dataset.path=FOLDER.")


def test_networks_that_have_seen_all_rows_are_refused(trained) -> None:
    for fold in trained.folds(NAME):
        if fold != "refit":
            shutil.rmtree(trained.checkpoint(NAME, fold))
    with pytest.raises(StoreError) as caught:
        choosing_rows(trained, NAME, None, 10, 0)
    assert str(caught.value) == (
        f"{NAME}: expected rows that its networks were not trained on, to choose among compressed files, got "
        "neither a val split nor fold networks. "
        "Train in another store with dataset.val_size=0.1 or training.folds=5."
    )


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("compress.methods=[onnx_statc]", "expected one of float16, "),
        ("compress.methods=[{method: float16, bits: 8}]", "expected an option of float16 (none), got 8"),
        ("compress.methods=[float16, float16]", "expected methods that differ"),
        (
            "compress.methods=[{method: onnx_static, calibration: x}]",
            "expected one of minmax, entropy, percent",
        ),
        ("compress.tolerance=2", "expected a number not greater than 1, got 2"),
    ],
)
def test_wrong_settings_are_refused(override: str, text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, [override])
    assert text in str(caught.value)


def test_verb_compresses_and_dry_run_lists(cli, trained) -> None:
    done = cli("compress", "--model-name", NAME, "--method", "float16", "--store", trained.root, "--dry-run")
    assert done.code == 0, done.err
    assert "onnx_float16" in done.out
    assert not trained.deploy(NAME).exists()
    done = cli("compress", "--model-name", "nothing", "--store", trained.root)
    assert done.code == 2
    assert "nothing" in done.err

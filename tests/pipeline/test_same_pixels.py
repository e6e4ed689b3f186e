"""The evaluation, the module, the command line and the exported file see the same pixels of each photo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from committee.images.dataset import open_dataset
from committee.images.decode import decode
from committee.metrics.classification import evaluate
from committee.models.member import Member
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.splits import load_predictions
from committee.store.layout import Store
from committee.training.fit.predict import logits_of

SHAPES = [(40, 1), (7, 3000), (3000, 7), (37, 37), (32, 32), (9, 12), (150, 101), (55, 70)]
"""Heights and widths: a pixel wide, panoramas, canvases of the members, and smaller and larger photos."""
SIZES = {"a": 32, "b": 48}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Write two noisy photos of each shape, in two classes of different brightness."""
    rng = np.random.default_rng(0)
    for number, shape in enumerate(SHAPES * 2):
        name = "bright" if (number // len(SHAPES)) % 2 else "dark"
        pixels = rng.integers(0, 256, (*shape, 3)) // 2 + 127 * (name == "bright")
        place = tmp_path / "photos" / name / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(place)
    return tmp_path / "photos"


def adopt(cli, common: list[str], folder: Path, name: str, size: int) -> None:
    """Adopt an untrained network whose answers are sensitive to single levels of pixels."""
    member = Member.build("timm:test_resnet", classes=["bright", "dark"], size=size, name=name, seed=size)
    state = member.network.net.state_dict()
    state["fc.weight"] *= 30
    save_file(state, folder / f"{name}.safetensors")
    (folder / "classes.txt").write_text("bright\ndark\n", encoding="utf-8")
    words = ["--name", name, "--backbone", "timm:test_resnet", "--img-size", size, "--seen", "none"]
    files = ["--weights", folder / f"{name}.safetensors", "--classes", folder / "classes.txt"]
    said = cli("adopt", *words, *files, *common)
    assert said.code == 0, said.err


@pytest.fixture
def adopted(photos: Path, tmp_path: Path, cli, monkeypatch: pytest.MonkeyPatch):
    """Adopt members of two sizes with a kind of preprocessing, and return the store and further words."""

    def run(fit: str) -> tuple[Store, list[str]]:
        monkeypatch.chdir(tmp_path)
        settings = {"path": photos, "fit": fit, "test_size": 0.5, "num_workers": 0}
        common = [word for key, value in settings.items() for word in ("--set", f"dataset.{key}={value}")]
        common += ["--set", "training.folds=2", "-q"]
        for name, size in SIZES.items():
            adopt(cli, common, tmp_path, name, size)
        return Store(tmp_path / "store"), common

    return run


def shown(module: torch.nn.Module, files: list[Path]) -> np.ndarray:
    """Return the probabilities of a module for photos."""
    with torch.inference_mode():
        logits = torch.cat([module.eval()(torch.from_numpy(decode(file))[None]) for file in files])
    return logits.softmax(1).numpy()


@pytest.mark.slow
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_what_is_evaluated_is_what_is_shipped(fit: str, photos: Path, adopted, cli) -> None:
    store, common = adopted(fit)
    stored = load_predictions(store, list(SIZES), "test")
    files = [photos / str(name) for name in stored.sample_ids]
    for name, logits in zip(SIZES, stored.logits, strict=True):
        expected = shown(load_model(store, name)[0], files)
        assert np.abs(expected - expected.mean(0)).max() > 0.01
        np.testing.assert_allclose(torch.from_numpy(logits).softmax(1), expected, atol=1e-5)
    if fit == "pad":
        _check_ensemble(store, common, files, stored.require_labels("test"), cli)


def _check_ensemble(store: Store, common: list[str], files: list[Path], labels: np.ndarray, cli) -> None:
    assert cli("build-ensemble", "--method", "soft_voting", *common).code == 0
    assert cli("evaluate", *common).code == 0
    name = store.resolve("soft_voting")
    module = load_model(store, name)[0]
    answers = shown(module, files)
    dataset = open_dataset(None, store, img_sizes=[*SIZES.values()], folds=0, seed=0)
    cached = logits_of(module, dataset, dataset.rows("test"), batch_size=9, device=torch.device("cpu"))
    np.testing.assert_allclose(torch.from_numpy(cached).softmax(1), answers, atol=1e-5)
    report = json.loads((store.ensemble_metrics(name) / "metrics.json").read_text())
    expected = evaluate(np.log(answers), labels, ["log_loss"])["log_loss"]
    assert report["metrics"]["log_loss"]["value"] == pytest.approx(expected, abs=1e-5)
    onnx = ["--set", "exports.formats=[onnx]", "--set", f"exports.which=[{name}]"]
    assert cli("export", *common, *onnx).code == 0
    [file] = store.root.rglob("*.onnx")
    for model in (name, file):
        rows = json.loads(cli("predict", model, *files, "--json").out)["predictions"]
        found = [[row["probabilities"][each] for each in ("bright", "dark")] for row in rows]
        np.testing.assert_allclose(found, answers, atol=1e-5)

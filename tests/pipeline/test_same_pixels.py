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
    """Write four noisy photos of each shape, in two classes of different brightness."""
    rng = np.random.default_rng(0)
    for number, shape in enumerate(SHAPES * 4):
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


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_what_is_evaluated_is_what_is_shipped(
    fit: str, photos: Path, tmp_path: Path, cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"path": photos, "fit": fit, "test_size": 0.5, "num_workers": 0}
    common = [word for key, value in settings.items() for word in ("--set", f"dataset.{key}={value}")]
    common += ["--set", "training.folds=2", "--set", "exports.formats=[onnx]", "-q"]
    for name, size in SIZES.items():
        adopt(cli, common, tmp_path, name, size)
    assert cli("build-ensemble", "--method", "soft_voting", *common).code == 0
    assert cli("evaluate", *common).code == 0
    store = Store(tmp_path / "store")
    module, names = load_model(store, "soft_voting")[0].eval(), list(SIZES)
    stored = load_predictions(store, names, "test")
    files = [photos / str(name) for name in stored.sample_ids]
    images = [torch.from_numpy(decode(file))[None] for file in files]
    with torch.inference_mode():
        shown = {
            name: torch.cat([load_model(store, name)[0].eval()(image) for image in images]).softmax(1)
            for name in names
        }
        answers = torch.cat([module(image) for image in images]).softmax(1).numpy()
        for name, logits in zip(names, stored.logits, strict=True):
            np.testing.assert_allclose(torch.from_numpy(logits).softmax(1), shown[name], atol=1e-5)
        dataset = open_dataset(None, store, img_sizes=[*SIZES.values()], folds=0, seed=0)
        cached = logits_of(module, dataset, dataset.rows("test"), batch_size=9, device=torch.device("cpu"))
        np.testing.assert_allclose(torch.from_numpy(cached).softmax(1), answers, atol=1e-5)
    assert all((each - each.mean(0)).abs().max() > 0.01 for each in shown.values())
    report = json.loads((store.ensemble_metrics(store.resolve("soft_voting")) / "metrics.json").read_text())
    expected = evaluate(np.log(answers), stored.require_labels("test"), ["log_loss"])["log_loss"]
    assert report["metrics"]["log_loss"]["value"] == pytest.approx(expected, abs=1e-5)
    models = ["soft_voting"]
    if fit == "pad":
        assert cli("export", *common).code == 0
        models += [str(file) for file in store.root.rglob("*.onnx") if "soft_voting" in str(file)]
        assert len(models) == 2
    for model in models:
        said = cli("predict", model, *files, "--json")
        rows = json.loads(said.out)["images"]
        found = np.array([[row["probabilities"][name] for name in ("bright", "dark")] for row in rows])
        np.testing.assert_allclose(found, answers, atol=1e-5)

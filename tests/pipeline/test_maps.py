"""A recipe of maps from masks to reports: one small store, all stages."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from committee.combiners.base import load as load_combiner
from committee.errors import UsageError
from committee.images.dataset import open_dataset
from committee.models.stored import load_network
from committee.models.tiling import tiled
from committee.pipeline.bundle import bundle
from committee.pipeline.bundling.reading import check
from committee.pipeline.run import run_verb
from committee.pipeline.shared import map_scores
from committee.pipeline.shared.map_scores import MapsOfMembers, Scored, score_maps
from committee.pipeline.shared.sets import voting
from committee.pipeline.shared.splits import load_predictions
from committee.recipe.load import load_recipe
from committee.report.facts import Facts
from committee.report.page import parts_of
from committee.store.layout import Store

VERBS = ("train", "build-ensemble", "evaluate")


@pytest.fixture(scope="session")
def disks(once):
    """Sixteen gray images with disks of other brightness than their surroundings, and their masks."""

    def save(folder):
        generator = np.random.default_rng(0)
        for part in ("images", "masks"):
            (folder / part).mkdir()
        for number in range(16):
            height, width = 40 + 4 * (number % 3), 36 + 6 * (number % 4)
            y, x = np.mgrid[:height, :width]
            center = generator.uniform(10, 26, 2)
            mask = (y - center[0]) ** 2 + (x - center[1]) ** 2 < generator.uniform(5, 9) ** 2
            image = generator.normal(90 + 60 * mask, 20).clip(0, 255).astype(np.uint8)
            values = mask.astype(np.uint8)
            values[:3] = 255
            Image.fromarray(image).save(folder / "images" / f"{number:02}.png")
            Image.fromarray(values).save(folder / "masks" / f"{number:02}.png")

    return once("disks", save)


@pytest.fixture(scope="session")
def map_settings(disks):
    return [
        f"dataset={{path: '{disks}', channels: 1, img_size: 32, pixels_per_image: 200, batch_size: 8}}",
        "device=cpu",
        "models=[{name: 'timm:test_resnet', as: first, seeds: [0, 1], output_stride: 4}]",
        "training={pretrained: false, epochs: 3, folds: 2, lr: 0.01}",
        "runs.score_ensemble={enable: true, methods: [soft_voting, weighted]}",
    ]


@pytest.fixture(scope="session")
def maps_root(once, map_settings):
    def fill(folder):
        recipe, store = load_recipe(None, map_settings), Store(folder / "store")
        for verb in VERBS:
            outcome = run_verb(verb, recipe, store)
            assert not outcome.failed, outcome.failed

    return once("maps", fill) / "store"


def report(root, name, kind=""):
    return json.loads((root / "metrics" / kind / name / "metrics.json").read_text("utf-8"))


def test_rows_of_predictions_are_pixels_in_groups_of_images(maps_root):
    rows = load_predictions(Store(maps_root))
    assert rows.target_type.name == "class_maps" and rows.class_names == ("0", "1")
    images = np.array([each.rpartition("@")[0] for each in rows.sample_ids.tolist()])
    assert len(np.unique(images)) == len(np.unique(rows.groups)) == 13  # three are in the test split
    assert len(rows) == 13 * 200 and set(rows.folds.tolist()) == {0, 1}
    for name in np.unique(images):
        own = images == name
        assert len(set(rows.groups[own])) == len(set(rows.folds[own])) == 1


def test_stored_pixels_are_those_of_the_module(maps_root):
    store = Store(maps_root)
    dataset = open_dataset(None, store, folds=0, seed=0)
    stored = load_predictions(store, ["first_s0"], "test")
    row = dataset.rows("test")[0]
    module = load_network(store.checkpoint("first_s0", "refit"), ())
    image = torch.from_numpy(np.array(dataset.maps.image(row))).permute(2, 0, 1)
    with torch.inference_mode():
        outputs, alone = tiled(module, image, task=module.task), module(image[None])[0]
    own = dataset.positions([row])
    pixels = outputs.flatten(1).T.numpy()[dataset.points.pixel[own]]
    there = stored.sample_ids == dataset.table.ids[own][0]
    np.testing.assert_allclose(
        module.task.normalized(torch.from_numpy(stored.logits[0][there])),
        module.task.normalized(torch.from_numpy(pixels[:1])),
        atol=1e-5,
    )
    torch.testing.assert_close(
        module.task.normalized(outputs.movedim(0, -1)),
        module.task.normalized(alone.movedim(0, -1)),
        atol=1e-4,
        rtol=0,
    )


def test_reports_are_about_whole_images(maps_root):
    for name in ("soft_voting_ensemble", "weighted_ensemble"):
        found = report(maps_root, name, "ensembles")
        assert found["n"] == 3 and len(found["worst"]) == 3
        assert len(found["disagreements"]) == (3 if len(found["members"]) > 1 else 0)
        assert {"mean_iou", "mean_dice", "boundary_f1", "log_loss", "ece"} <= {*found["metrics"]}
        assert {"mean_iou", "mean_dice", "log_loss"} <= {*found["cross_fitted"]}
        assert [each["class"] for each in found["per_class"]] == ["0", "1"]
        assert sum(each["n"] for each in found["per_class"]) == pixels_with_labels(maps_root)
        assert found["sets"] is None
    assert report(maps_root, "first_s0")["metrics"]["mean_iou"]["value"] > 0.4


def test_views_without_an_inverse_are_refused_before_any_fit(maps_root, map_settings):
    recipe = load_recipe(None, [*map_settings, "tta={enable: true, of: [soft_voting], views: [five_crop]}"])
    with pytest.raises(
        UsageError, match="views 'five_crop' of maps: expected views that show the whole image"
    ):
        run_verb("tta", recipe, Store(maps_root))


def test_rules_and_their_calibration_have_the_task_of_the_members(maps_root):
    store = Store(maps_root)
    for name in ("soft_voting_ensemble", "weighted_ensemble"):
        rule = load_combiner(store.ensemble(name))
        assert rule.key == "temperature" and rule.task.key == rule.inner.task.key == "segmentation"


def pixels_with_labels(root):
    dataset = open_dataset(None, Store(root), folds=0, seed=0)
    return sum(int((dataset.maps.map(row) >= 0).sum()) for row in dataset.rows("test").tolist())


def test_maps_that_are_not_stored_are_computed_again(maps_root, monkeypatch):
    store = Store(maps_root)
    dataset = open_dataset(None, store, folds=0, seed=0)
    members = ("first_s0", "first_s1")
    rule = load_combiner(store.ensemble("weighted_ensemble"))
    models = {
        "pair": Scored(rule, dict.fromkeys(rule.member_names, "refit")),
        "folds": Scored(voting(dataset.task), dict.fromkeys(members, "folds")),
    }
    source = MapsOfMembers(store, dataset, "test", torch.device("cpu"))
    stored = score_maps(models, source, seed=0)
    assert stored["pair"]["metrics"] == report(maps_root, "weighted_ensemble", "ensembles")["metrics"]
    monkeypatch.setattr(map_scores, "SUFFIX", "_none.npy")
    monkeypatch.setattr(map_scores, "VALUES_AT_ONCE", 500)
    again = score_maps(models, source, seed=0)
    for name, found in stored.items():
        assert again[name]["worst"] == found["worst"]
        for metric, value in found["metrics"].items():
            assert again[name]["metrics"][metric]["value"] == pytest.approx(value["value"], abs=1e-6)


def test_the_latency_is_that_of_crops(maps_root):
    for name, kind in (("first_s0", ""), ("soft_voting_ensemble", "ensembles")):
        latency = report(maps_root, name, kind)["latency_ms"]
        assert (latency["image"], latency["image_of"]) == ([1, 32, 32], "crops as in training")
        assert latency["resizing"] == {} and latency["median"] == latency["network_sized"]["median"]


@pytest.mark.parametrize(
    ("verb", "todo"),
    [
        ("compare", "See scores, times and sizes with: committee leaderboard"),
        (
            "compress",
            "Write smaller files, of which each pixel is compared, with: committee export --formats ",
        ),
    ],
)
def test_what_does_not_serve_maps_is_refused_before_work(verb, todo, maps_root, map_settings, tmp_path):
    copy = shutil.copytree(maps_root, tmp_path / "store")
    with pytest.raises(UsageError) as raised:
        run_verb(verb, load_recipe(None, [*map_settings, f"{verb}.enable=true"]), Store(copy))
    text = f"{verb}: expected members that predict classes or numbers, got a data set of class_maps. {todo}"
    assert str(raised.value).startswith(text)
    assert not (copy / "deploy").exists()


def test_a_stored_ensemble_is_bundled(maps_root, map_settings, tmp_path, caplog):
    pytest.importorskip("onnxscript")
    copy = shutil.copytree(maps_root, tmp_path / "store")
    caplog.set_level(logging.INFO, "committee")
    made = bundle(load_recipe(None, map_settings), Store(copy), "soft_voting_ensemble")
    assert "web/index.html" not in made.files and "The bundle has no web page" in caplog.text
    settings = (made.path / "triton/soft_voting_ensemble/config.pbtxt").read_text()
    assert "dims: [ 2, -1, -1 ]\n" in settings and "label" not in settings
    card = (made.path / "README.md").read_text()
    assert "A model of the class of each pixel (2 classes)" in card and "image-segmentation" in card
    assert "- `probabilities`: float32 `[batch, 2, height, width]`, which sum to one for each pixel." in card
    assert check(made.path).name == "soft_voting_ensemble"
    parity = json.loads((copy / "deploy/soft_voting_ensemble/export_status.json").read_text())
    parity = parity["formats"]["onnx"]["parity"]
    assert parity["same_class"] == 1 and parity["shapes"][0] == "4x1x32x32"


def test_damaged_maps_fail_the_models_that_have_them_alone(maps_root, map_settings, tmp_path):
    root = shutil.copytree(maps_root, tmp_path / "store")
    shutil.rmtree(root / "metrics")
    file = root / "checkpoints" / "first_s0" / "refit" / "test_maps.npy"
    file.write_bytes(file.read_bytes()[:-1000])
    failed = run_verb("evaluate", load_recipe(None, map_settings), Store(root)).failed
    assert {*failed} == {"checkpoints/first_s0/refit", "soft_voting_ensemble"}
    assert all(f"{file.as_posix()}: expected" in str(each) for each in failed.values())
    assert report(root, "first_s1")["metrics"] == report(maps_root, "first_s1")["metrics"]


def test_the_report_shows_whole_images_with_masks(maps_root, tmp_path):
    store = Store(shutil.copytree(maps_root, tmp_path / "store"))
    parts = {part.key: part for part in parts_of(Facts(store))}
    assert {"map_images", "reliability", "confusion", "classes"} <= set(parts)
    assert not {"mistakes", "disagreement", "label_errors", "sets"} & set(parts)
    cards = parts["map_images"].blocks[0].cards
    assert len(cards) == 3 and all(len(card.panels) > 2 for card in cards)
    assert all(address.startswith("data:image/") for card in cards for _, address in card.panels)
    shutil.rmtree(store.root / "cache")
    gallery = next(part for part in parts_of(Facts(store)) if part.key == "map_images").blocks[0]
    assert all([title for title, _ in card.panels] == ["image"] for card in gallery.cards)
    assert "The images are those of the source" in gallery.text

"""Import of what trainers left, from files to members and stored predictions."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from committee.errors import DataError, StoreError, UnknownNameError, UsageError
from committee.images.record import load_record
from committee.models.ensemble import Ensemble
from committee.models.stored import load_network
from committee.pipeline.combine import combine
from committee.pipeline.discover import discover, look_through
from committee.pipeline.importing.files import Files
from committee.pipeline.importing.models import import_models
from committee.pipeline.importing.wanted import Imported, Wanted
from committee.pipeline.layouts.base import LAYOUTS as FAMILY
from committee.pipeline.run import run_verb
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.splits import load_predictions
from committee.predictions.table import Predictions
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store.layout import Store

State = dict[str, torch.Tensor]


@pytest.fixture
def recipe(tiny_settings: list[str]) -> Recipe:
    return load_recipe(None, [each for each in tiny_settings if "backbones" not in each])


def state_of(root: Path, member: str, fit: str) -> State:
    return dict(load_network(Store(root).checkpoint(member, fit), ()).network.net.state_dict())


def save(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def write_oof(folder: Path, rows: Predictions, suffix: str = "") -> None:
    """Write the rows of each fold as pandas does: the index, p0, p1, ... and the label."""
    folder.mkdir(parents=True, exist_ok=True)
    for fold in np.unique(rows.folds):
        part = rows.rows(rows.folds == fold)
        probabilities = np.exp(part.logits[0] - np.logaddexp.reduce(part.logits[0], 1, keepdims=True))
        with (folder / f"{part.members[0]}_fold{fold}.csv").open("w", encoding="utf-8") as file:
            file.write(",".join(["", *(f"p{place}" for place in range(10)), "label"]) + "\n")
            for name, values, label in zip(part.sample_ids, probabilities, part.labels, strict=True):
                file.write(",".join([f"{name}{suffix}", *map("{:.6f}".format, values), str(label)]) + "\n")


@pytest.fixture(scope="session")
def competition(once: Callable[..., Path], trained_root: Path) -> Path:
    """Checkpoints and out-of-fold predictions of three folds of two models, and a configuration."""

    def fill(folder: Path) -> None:
        for member in ("test_resnet", "test_vit"):
            for fold in range(3):
                state = state_of(trained_root, member, f"fold_{fold}")
                save(
                    folder / "ckpt" / f"{member}_fold{fold}.pt", {f"module.{n}": t for n, t in state.items()}
                )
            write_oof(folder / "oof", load_predictions(Store(trained_root), [member]))
        (folder / "cfg.yaml").write_text("img_size: 32\nmean: [0.5]\nstd: [0.5]\n", encoding="utf-8")

    return once("competition", fill)


def done(models: list[Imported]) -> dict[str, str]:
    return {model.name: model.state for model in models}


def test_networks_of_folds_become_members(
    competition: Path, trained_root: Path, store: Store, recipe: Recipe
) -> None:
    models, unused = import_models(recipe, store, Files(competition), dry_run=True)
    assert done(models) == dict.fromkeys(("test_resnet", "test_vit"), "would be adopted")
    assert [model.notes for model in models] == [[], []] and not store.root.exists() and not unused
    models, _ = import_models(recipe, store, Files(competition))
    assert done(models) == dict.fromkeys(("test_resnet", "test_vit"), "adopted")
    assert models[0].notes == ["100.0% of its answers in the files of predictions are the same here."]
    assert models[0].backbone == "timm:test_resnet"
    mine, theirs = load_predictions(store), load_predictions(Store(trained_root))
    np.testing.assert_allclose(mine.logits, theirs.logits, atol=1e-5)
    assert not mine.seen.any() and np.array_equal(mine.folds, theirs.folds)
    assert not load_predictions(store, split="test").seen.any()
    module, facts = load_model(store, "test_vit")
    assert isinstance(module, Ensemble) and len(module.members) == 3
    assert facts["inference"] == "refit" and len(facts["adopted"]["folds"]) == 3
    outcome = run_verb("build-ensemble", recipe, store, methods=["soft_voting"])
    assert outcome.done == ["soft_voting_ensemble"] and outcome.exit_code == 0, outcome.failed
    assert not look_through(store)["left_out"]
    models, _ = import_models(recipe, store, Files(competition))
    assert done(models) == dict.fromkeys(("test_resnet", "test_vit"), "adopted already")


def test_a_part_of_the_folds(competition: Path, store: Store, recipe: Recipe, tmp_path: Path) -> None:
    """Rows in no file may be training rows of all networks, in the test split too."""
    import_models(recipe, store, Files(competition), Wanted(backbones={"test_vit": "timm:test_vit"}))
    record = load_record(store)
    assert record is not None and max(record.folds) == 2
    part = tmp_path / "part"
    for fold in (0, 2):
        save(part / f"vit_fold{fold}.pt", torch.load(competition / "ckpt" / f"test_vit_fold{fold}.pt"))
        text = (competition / "oof" / f"test_vit_fold{fold}.csv").read_text(encoding="utf-8")
        (part / f"oof_vit_fold{fold}.csv").write_text(text, encoding="utf-8")
    wanted = Wanted(backbones={"": "timm:test_vit"}, size=32, mean=[0.5], std=[0.5])
    (model,), _ = import_models(recipe, store, Files(part), wanted)
    assert model.adopted is not None and model.state == "adopted"
    held_out = sum(fold in (0, 2) for fold in record.folds)
    assert model.adopted.fresh == {"train": held_out, "val": 0, "test": 0}


def lightning(root: Path, state: State) -> None:
    content = {
        "state_dict": {f"model.{name}": tensor for name, tensor in state.items()},
        "hyper_parameters": {"model_name": "test_vit", "lr": 0.1},
        "pytorch-lightning_version": "2.5.0",
    }
    save(root / "lightning_logs/version_3/checkpoints/epoch=1-step=20.ckpt", content)


def timm(root: Path, state: State) -> None:
    content = {
        "arch": "test_vit",
        "state_dict": {name: torch.zeros_like(tensor) for name, tensor in state.items()},
        "state_dict_ema": state,
        "args": argparse.Namespace(model="test_vit"),
        "metric": np.float64(77.5),
    }
    run = root / "20240101-120000-test_vit-32"
    save(run / "model_best.pth.tar", content)
    (run / "args.yaml").write_text("model: test_vit\nmodel_ema: true\n", encoding="utf-8")


def torchvision(root: Path, state: State) -> None:
    arguments = argparse.Namespace(model="test_vit", val_crop_size=32)
    average = {"n_averaged": torch.ones(1), **{f"module.{n}": t * 0 for n, t in state.items()}}
    save(root / "checkpoint.pth", {"model": state, "model_ema": average, "args": arguments, "epoch": 9})


def checkpoints(root: Path, state: State) -> None:
    save(root / "test_vit_lr3.pt", state)


LAYOUTS = {each.__name__: each for each in (lightning, timm, torchvision, checkpoints)}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_network_is_adopted(
    layout: str, trained_root: Path, store: Store, recipe: Recipe, tmp_path: Path
) -> None:
    LAYOUTS[layout](tmp_path / "left", state_of(trained_root, "test_vit", "refit"))
    wanted = Wanted(mean=[0.5], std=[0.5], seen="train")
    (model,), unused = import_models(recipe, store, Files(tmp_path / "left"), wanted)
    assert (model.state, model.backbone) == ("adopted", "timm:test_vit"), model.notes
    assert model.name == ("test_vit_lr3" if layout == "checkpoints" else "test_vit")
    assert model.layout == FAMILY.load(layout).title and not unused
    assert model.adopted is not None and model.adopted.view["size"] == 32
    mine, theirs = (load_predictions(each, split="test") for each in (store, Store(trained_root)))
    np.testing.assert_allclose(mine.logits[0], theirs.select(["test_vit"]).logits[0], atol=1e-5)


def test_what_cannot_be_imported_is_named_and_does_not_stop_the_rest(
    trained_root: Path, store: Store, recipe: Recipe, tmp_path: Path
) -> None:
    state = state_of(trained_root, "test_vit", "refit")
    save(tmp_path / "test_vit.pt", state)
    save(tmp_path / "mystery.pt", state)
    save(tmp_path / "test_resnet.pt", state)
    (tmp_path / "broken.pt").write_bytes(b"no")
    (tmp_path / "net.onnx").write_bytes(b"")
    (tmp_path / "classes.txt").write_text("cat\ndog\n", encoding="utf-8")
    models, unused = import_models(recipe, store, Files(tmp_path))
    assert done(models) == {
        "broken": "left out",
        "mystery": "left out",
        "test_resnet": "left out",
        "test_vit": "adopted",
    }
    notes = {model.name: model.notes for model in models}
    assert "expected a state dict of tensors" in notes["broken"][0]
    assert notes["mystery"] == [
        "mystery: expected the name of its architecture, got none that is known ('mystery'). "
        "Name it: --backbone mystery=timm:NAME"
    ]
    assert "tensors of timm:test_resnet" in notes["test_resnet"][0]
    assert notes["test_vit"] == [
        "It may have been trained on all images: it is left out of ensembles. Name the images that it "
        "was not trained on with --seen or --fresh."
    ]
    assert unused == {
        "net.onnx": "an exported file has no weights to adopt; predict with it, and import the predictions"
    }


def test_a_name_in_a_file_imports_no_code(store: Store, recipe: Recipe, tmp_path: Path) -> None:
    save(tmp_path / "model.pt", {"w": torch.zeros(1)})
    (tmp_path / "config.json").write_text(json.dumps({"backbone": "python:os:system"}), encoding="utf-8")
    (model,), _ = import_models(recipe, store, Files(tmp_path))
    assert model.state == "left out" and "expected the name of its architecture" in model.notes[0]


def test_predictions_without_networks(trained: Store, recipe: Recipe, tmp_path: Path) -> None:
    """Those of images of the store get its ids, labels and folds, and are combined with those of members."""
    rows = load_predictions(trained, ["test_vit"])
    write_oof(tmp_path / "left/oof", replace(rows, members=("net",)), suffix=".png")
    (model,), _ = import_models(recipe, trained, Files(tmp_path / "left"))
    assert (model.name, model.state) == ("net", "stored")
    assert model.notes == ["The oof rows are matched with images by file name without suffix."]
    stored = Predictions.load(trained.kfold("net") / "oof")
    assert stored.members == ("net",) and np.array_equal(stored.sample_ids, rows.sample_ids)
    np.testing.assert_allclose(stored.logits[0].argmax(1), rows.logits[0].argmax(1))
    both = combine([trained.kfold(name) / "oof" for name in ("net", "test_resnet")], methods=["soft_voting"])
    assert both.predictions.members == ("net", "test_resnet")
    catalog = look_through(trained)
    assert [each["name"] for each in catalog["predictions"]] == ["net"] and not catalog["left_out"]
    (model,), _ = import_models(recipe, trained, Files(tmp_path / "left"))
    assert model.state == "stored already"


def test_predictions_without_images_are_stored_as_they_are(
    competition: Path, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "oof").mkdir()
    for path in (competition / "oof").iterdir():
        (tmp_path / "oof" / path.name.replace("test_", "")).write_bytes(path.read_bytes())
    models, _ = import_models(load_recipe(None, []), store, Files(tmp_path))
    assert done(models) == {"resnet": "stored", "vit": "stored"}
    stored = Predictions.load(store.kfold("vit") / "oof")
    assert len(stored) == 191 and sorted(np.unique(stored.folds)) == [0, 1, 2]
    save(tmp_path / "net_fold0.pt", {"w": torch.zeros(1)})
    net, *_ = import_models(load_recipe(None, []), store, Files(tmp_path))[0]
    assert net.state == "left out" and net.notes == [
        f"dataset.path: expected the folder or file of the images, got none, and the store {store.root} "
        "contains no data set. Set it: --set dataset.path=FOLDER"
    ]


def test_arrays_of_keras(store: Store, tmp_path: Path) -> None:
    """Ids, labels and classes are read from the files beside the array."""
    folder = tmp_path / "predictions" / "vgg16"
    folder.mkdir(parents=True)
    np.save(folder / "val_preds.npy", np.float32([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]))
    nothing = load_recipe(None, [])
    (model,), _ = import_models(nothing, store, Files(tmp_path))
    assert model.notes == [
        f"{folder / 'val_preds.npy'}: expected a file of ids or of labels beside it, got none. "
        "Save the names of the images, in the order of the rows, as ids.npy."
    ]
    np.save(folder / "y_val.npy", np.eye(2)[[0, 1, 1]])
    (folder / "class_indices.json").write_text('{"dog": 1, "cat": 0}', encoding="utf-8")
    (folder / "filenames.txt").write_text("a.png\nb.png\nc.png\n", encoding="utf-8")
    (model,), _ = import_models(nothing, store, Files(tmp_path))
    assert (model.name, model.state, model.predictions) == ("vgg16", "stored", ("val",))
    stored = Predictions.load(store.kfold("vgg16") / "val")
    assert stored.class_names == ("cat", "dog") and stored.labels is not None
    assert stored.labels.tolist() == [0, 1, 1] and stored.sample_ids.tolist() == ["a.png", "b.png", "c.png"]


def test_nothing_to_import(store: Store, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError) as caught:
        import_models(load_recipe(None, []), store, Files(tmp_path))
    titles = ", ".join(FAMILY.load(name).title for name in FAMILY.names())
    assert str(caught.value) == (
        f"{tmp_path}: expected what a trainer leaves ({titles}), got 1 files, no checkpoint or table of "
        "predictions by their names. Name the folder that contains them."
    )


def test_stores_and_folders_of_trainers_are_not_mixed_up(
    competition: Path, trained: Store, recipe: Recipe
) -> None:
    with pytest.raises(UnknownNameError) as unknown:
        import_models(recipe, trained, Files(competition), Wanted(backbones={"test_vi": "timm:test_vit"}))
    assert str(unknown.value) == (
        "--backbone: expected a model among 'test_resnet', 'test_vit', got 'test_vi'. "
        "Did you mean 'test_vit'?"
    )
    with pytest.raises(UsageError) as caught:
        import_models(recipe, trained, Files(trained.root))
    assert str(caught.value) == (
        f"{trained.root}: expected a folder that another trainer left, got a store of committee. "
        f"Its members need no import: committee leaderboard --store {trained.root}"
    )
    with pytest.raises(StoreError) as refused:
        discover(Store(competition))
    assert str(refused.value) == (
        f"{competition}: expected a store of committee, got models of other trainers: 2 x networks of folds. "
        f"Import them into a store: committee import {competition} --dry-run"
    )
    assert not (competition / "ensembles").exists()

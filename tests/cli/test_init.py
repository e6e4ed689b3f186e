"""`committee init` and `committee schema`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from committee.recipe.load import load_recipe


def test_init_writes_a_recipe_that_loads(cli, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    said = cli("init", path, "--set", "dataset.path=photos")
    assert said == (0, f"Wrote {path}. To train and combine, run: committee run {path}\n", "")
    assert load_recipe(path).dataset.path == "photos"


def test_init_asks_for_images_only_where_none_are_named(cli, tmp_path: Path) -> None:
    named, bare = tmp_path / "named.yaml", tmp_path / "bare.yaml"
    assert cli("init", named, "--set", "dataset.name=digits").out == (
        f"Wrote {named} for 1797 images of 10 classes. To train and combine, run: committee run {named}\n"
    )
    assert cli("init", bare).out == (
        f"Wrote {bare}. To train and combine, set dataset.path to your images, then run: "
        f"committee run {bare}\n"
    )
    hint = "# Set dataset.path to the folder of your images"
    assert (hint in named.read_text(), hint in bare.read_text()) == (False, True)


def test_init_writes_over_nothing_unless_told(cli, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("mine")
    said = cli("init", path)
    assert (said.code, said.err) == (
        2,
        f"committee: {path}: the file exists already. Overwrite it with --force, or name another file.\n",
    )
    assert path.read_text() == "mine"
    assert cli("init", path, "--force").code == 0


def test_init_refuses_what_no_recipe_takes(cli, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    said = cli("init", path, "--set", "epochs=-1")
    assert (said.code, said.err) == (
        2,
        "committee: training.epochs: expected a number not less than 1, got -1. (--set epochs=-1)\n",
    )
    assert not path.exists()


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with empty files of three classes; the working folder is the one above."""
    monkeypatch.chdir(tmp_path)
    for name, images in (("cat", 3), ("dog", 2), ("great auk", 1)):
        (tmp_path / "my photos" / name).mkdir(parents=True)
        for image in range(images):
            (tmp_path / "my photos" / name / f"{image}.jpg").touch()
    return Path("my photos")


def test_init_with_images_writes_their_path_and_classes_and_a_budget(cli, photos: Path) -> None:
    said = cli("init", photos)
    assert said == (
        0,
        "Wrote recipe.yaml for 6 images of 3 classes. To train and combine, run: committee run\n",
        "",
    )
    text = Path("recipe.yaml").read_text(encoding="utf-8")
    assert "# 6 images of 3 classes: cat 3, dog 2, great auk 1.\n" in text
    recipe = load_recipe("recipe.yaml")
    assert recipe.dataset.path == "my photos"
    assert recipe.pruning is not None and recipe.pruning.cost_budget.max_latency_ms is None
    assert "    max_latency_ms: null\n" in text and "    max_size_mb: null\n" in text
    other = cli("init", "other.yaml", photos, "--set", "pruning.cost_budget.max_size_mb=20")
    assert other.out.endswith("run: committee run other.yaml\n")
    assert "    max_size_mb: 20.0\n" in Path("other.yaml").read_text(encoding="utf-8")


def test_init_refuses_images_that_do_not_exist(cli, photos: Path) -> None:
    assert cli("init", "fotos").err == (
        "committee: fotos: the path does not exist. Name a folder of images, or a recipe file that ends in "
        ".yaml.\n"
    )
    assert cli("init", "a", "b").err == (
        "committee: init: expected one folder or file of images and one recipe file, got a b.\n"
    )
    assert not Path("recipe.yaml").exists()


def test_init_of_numbers_writes_the_defaults_of_their_task(cli, tmp_path: Path) -> None:
    table, path = tmp_path / "labels.csv", tmp_path / "recipe.yaml"
    table.write_text("path,age,size\na.png,1.5,20\nb.png,2.5,30\n")
    (tmp_path / "a.png").touch(), (tmp_path / "b.png").touch()
    assert cli("init", table, path).err.endswith(
        "Name the columns of numbers to predict with dataset.targets, or the column of classes 'label'.\n"
    )
    said = cli("init", table, path, "--set", "dataset.targets=[age, size]")
    assert said.out.startswith(f"Wrote {path} for 2 images of 2 targets. "), said
    runs, pruning = load_recipe(path).runs, load_recipe(path).pruning
    assert (runs.score_ensemble.optimization_metric, runs.score_ensemble.calibrate) == ("rmse", "none")
    assert runs.stacking is not None and runs.stacking.meta_learners == ["ridge"]
    assert pruning is not None and pruning.metric == "rmse"


def test_schema_is_json(cli) -> None:
    said = cli("schema")
    assert said.code == 0
    assert json.loads(said.out)["title"] == "Recipe"


def test_init_of_masks_writes_task_sizes_and_folds(cli, tmp_path: Path) -> None:
    for row in range(4):
        for kind, pixels in (("images", np.zeros((40, 90 + row, 3))), ("masks", np.eye(40, 90 + row))):
            path = tmp_path / "d" / kind / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    path = tmp_path / "recipe.yaml"
    said = cli("init", tmp_path / "d", path)
    assert said.out.startswith(f"Wrote {path} for 4 images of 2 classes. "), said
    assert "# 4 images of 90 x 40 to 93 x 40 pixels, with masks of 2 classes: '0', '1'.\n" in path.read_text()
    recipe = load_recipe(path)
    assert (recipe.dataset.task, recipe.dataset.img_size, recipe.training.folds) == ("segmentation", 32, 3)
    assert recipe.runs.score_ensemble.optimization_metric == "log_loss"
    assert "  ignore: null\n" in path.read_text() and cli("init", path, "--force").code == 0
    assert "pixels_per_image" not in path.read_text()
    assert (
        "img_size: 64"
        in (cli("init", tmp_path / "d", path, "--force", "--set", "img_size=64"), path.read_text())[1]
    )

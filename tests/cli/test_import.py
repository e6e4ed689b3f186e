"""`committee import`, as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

OOF = "id,cat,dog,label\na.png,0.9,0.1,cat\nb.png,0.2,0.8,dog\n"


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """Predictions of two backbones, and the exported file and metrics of one of them."""
    for name in ("vit", "cnn"):
        (tmp_path / "kfold" / name).mkdir(parents=True)
        (tmp_path / "kfold" / name / "oof.csv").write_text(OOF, encoding="utf-8")
    (tmp_path / "deploy" / "vit").mkdir(parents=True)
    (tmp_path / "deploy" / "vit" / "model.onnx").touch()
    return tmp_path


def test_import(left: Path, cli, tmp_path: Path) -> None:
    words = ("import", left, "--store", tmp_path / "store")
    said = cli(*words, "--dry-run")
    assert said.code == 0, said.err
    lines = [line.split() for line in said.out.splitlines()]
    assert any(line[:1] == ["cnn"] for line in lines)
    assert "would be stored" in said.out and "folders of a backbone" in said.out
    assert "vit/model.onnx" in said.out
    assert not (tmp_path / "store").exists()
    said = cli(*words)
    store = (tmp_path / "store").as_posix()
    assert said.code == 0
    assert said.out.endswith(f"Combine the stored predictions: committee combine {store}/kfold/*/oof\n")
    combined = cli("combine", f"{store}/kfold/vit/oof", f"{store}/kfold/cnn/oof", "--method", "soft_voting")
    assert combined.code == 0, combined.err
    listed = cli("discover", "--store", store)
    assert listed.code == 0 and [line.split()[:2] for line in listed.out.splitlines()][2:4] == [
        ["predictions", "cnn"],
        ["predictions", "vit"],
    ]


def test_folders_are_named_by_options_or_by_the_environment(
    left: Path, cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("import", "--store", tmp_path / "store", "--dry-run", "--json")
    said = cli(*words, "--kfold-dir", left / "kfold")
    models = json.loads(said.out)["models"]
    assert [(model["name"], model["predictions"]) for model in models] == [("cnn", ["oof"]), ("vit", ["oof"])]
    monkeypatch.setenv("KFOLD_DIR", str(left / "kfold"))
    assert json.loads(cli(*words).out)["models"] == models
    assert cli(*words, "--kfold-dir", left / "none").err == (
        f"committee: {left / 'none'}: the folder does not exist. Name the folder that the trainer wrote.\n"
    )


def test_what_is_left_out_is_in_the_exit_code(left: Path, cli, tmp_path: Path) -> None:
    (left / "kfold/cnn/oof.csv").write_text("id,cat,dog\na.png,0.9,0.8\n", encoding="utf-8")
    said = cli("import", left, "--store", tmp_path / "store")
    assert said.code == 3 and "cnn: " in said.out and "left out" in said.out
    (left / "kfold/vit/oof.csv").unlink()
    assert cli("import", left, "--store", tmp_path / "store").code == 1


def test_a_folder_is_needed(cli, tmp_path: Path) -> None:
    said = cli("import", "--store", tmp_path / "store")
    assert (said.code, said.err) == (
        2,
        "committee: import: expected a folder, got none. "
        "Run: committee import FOLDER --dry-run, or name folders with --ckpt-dir and --kfold-dir.\n",
    )

"""`committee adopt`, as a user sees it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from committee.models.stored import load_network
from committee.store.layout import Store


def test_adopt(trained: Store, cli, tmp_path: Path) -> None:
    member = load_network(trained.checkpoint("test_vit", "refit"), ())
    torch.save(
        {"state_dict": {f"model.{n}": t for n, t in member.network.net.state_dict().items()}},
        tmp_path / "net.ckpt",
    )
    (tmp_path / "classes.txt").write_text("\n".join(member.class_names), encoding="utf-8")
    words = (
        "adopt",
        "--store",
        trained.root,
        "--set",
        "dataset.img_size=32",
        "--set",
        "device=cpu",
        "--name",
        "guest",
        "--backbone",
        "timm:test_vit",
        "--weights",
        tmp_path / "net.ckpt",
        "--classes",
        tmp_path / "classes.txt",
    )
    said = cli(*words, "--dry-run")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "guest: would be adopted"
    assert lines[1].startswith("Preprocessing: 1 x 32 x 32 pixels (crop), mean ")
    assert "The names of its tensors have the prefix 'model.'." in lines
    text = " ".join(lines)
    assert "Images that it was not trained on, by --seen and --fresh: 0 of 191 train, 0 of 49 test" in text
    assert text.endswith(
        "It is left out of ensembles. Name the images that it was not trained on with --seen or --fresh."
    )
    said = cli(*words, "--seen", "none", "--mean", "0.5", "--std", "0.5", "--json")
    answer = json.loads(said.out)
    assert (answer["state"], answer["view"]["mean"], answer["fresh"]["train"]) == ("adopted", [0.5], 191)
    said = cli(*words, "--mean", "a,b")
    assert (said.code, said.err.splitlines()[-1]) == (
        2,
        "committee: --mean: expected one number, or three separated by commas, got 'a,b'.",
    )
    said = cli(*words[:-6], "--backbone", "timm:test_resnet", *words[-4:])
    assert said.code == 1 and "tensors of timm:test_resnet, got" in said.err
    assert any(line.split()[:1] == ["model.head.bias"] for line in said.err.splitlines())


def test_the_leaderboard_marks_what_flatters(
    trained: Store, cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = load_network(trained.checkpoint("test_vit", "refit"), ())
    torch.save(member.network.net.state_dict(), tmp_path / "net.pt")
    (tmp_path / "classes.txt").write_text("\n".join(member.class_names), encoding="utf-8")
    common = ("--store", trained.root, "--set", "dataset.img_size=32", "--set", "device=cpu")
    said = cli(
        "adopt",
        *common,
        "--name",
        "guest",
        "--backbone",
        "timm:test_vit",
        "--weights",
        tmp_path / "net.pt",
        "--classes",
        tmp_path / "classes.txt",
        "--fresh",
        "train",
    )
    assert said.code == 0, said.err
    said = cli("evaluate", *common)
    assert said.code == 0, said.err
    (line,) = (line for line in said.out.splitlines() if line.startswith("guest"))
    assert "+" in line
    monkeypatch.setenv("COLUMNS", "250")
    wide = cli("leaderboard", "--store", trained.root, "--wide").out.splitlines()
    (line,) = (line for line in wide if line.startswith("guest"))
    assert "]+" in line and "adopted" in line
    assert (
        "+ May be too good: an adopted member may have been trained on some of the test images." in said.out
    )

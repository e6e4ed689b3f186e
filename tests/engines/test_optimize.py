"""The verb optimize: what it stores, and who uses it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from committee.models import planner
from committee.models.engine_race import Race
from committee.store.layout import Store

pytestmark = pytest.mark.usefixtures("planted")

MEMBER = "test_resnet"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Measure one planted engine, and count the measurements."""
    races: list[int] = []
    run = Race.run
    monkeypatch.setattr(planner, "_entries", lambda *_: [("remember", "fp32")])
    monkeypatch.setattr(Race, "run", lambda race, entries: races.append(1) or run(race, entries))
    return races


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 40, 50), dtype=np.uint8)
    (tmp_path / "photos").mkdir()
    for place, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "photos" / f"{place}.png")
    return tmp_path / "photos"


def test_the_engine_is_stored_and_used_while_it_is_up_to_date(
    cli, trained: Store, photos: Path, measured: list[int], monkeypatch
) -> None:
    at = ("--store", trained.root)
    said = cli("optimize", MEMBER, *at, "--budget", 1, "--json")
    found = json.loads(said.out)
    assert (said.code, found["engine"], found["images"]) == (
        0,
        "remember",
        "32 x 1 x 37 x 37, squares that its networks read of images of the data set",
    )
    said = cli("optimize", MEMBER, *at, "--budget", 1)
    assert f"{MEMBER} runs on remember, in 0." in said.out
    assert (
        f"This is the stored measurement of {found['measured']} UTC. Measure again with: --again" in said.out
    )
    assert (found["stored"], len(measured)) == (False, 1), "the choice is stored"
    assert "stored" not in cli("optimize", MEMBER, *at, "--budget", 1, "--again").out
    assert measured.pop() == 1
    assert cli("optimize", MEMBER, *at, "--budget", 1, "--size", "20x30", "--batch", 2).code == 0
    assert cli("optimize", MEMBER, *at, "--budget", 1, "--images", photos, "--batch", 4).code == 0
    assert len(list(trained.engines(MEMBER).glob("*.json"))) == len(measured) == 3

    as_it_is = cli("predict", MEMBER, photos, *at, "--engine", "eager")
    assert "runs on" not in as_it_is.err
    fast = cli("predict", MEMBER, photos, *at)
    assert (fast.out, fast.code) == (as_it_is.out, 0)
    assert f"{MEMBER} runs on remember, in 0." in fast.err

    assert cli("evaluate", *at, "--set", "device=cpu").code == 0
    report = json.loads((trained.member_metrics(MEMBER) / "metrics.json").read_text())
    engine = report["latency_ms"]["engine"]
    assert (engine["engine"], engine["batch"], engine["image"]) == ("remember", 2, [1, 20, 30])
    assert 0 < engine["ratio"] < 0.95
    other = json.loads((trained.member_metrics("test_vit") / "metrics.json").read_text())
    assert "engine" not in other["latency_ms"]

    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: 64)
        assert "runs on" not in cli("predict", MEMBER, photos, *at).err, "the threads are others"
    for file in trained.engines(MEMBER).glob("*.json"):
        file.write_text("{")
    damaged = cli("predict", MEMBER, photos, *at)
    assert damaged.out == as_it_is.out
    assert "A stored engine is not used." in damaged.err
    assert "expected the choice of an engine, got a damaged one. Measure again with: " in damaged.err
    assert cli("optimize", MEMBER, *at, "--budget", 0.2, "--engine", "remember").code == 0
    assert "is not used" not in cli("predict", MEMBER, photos, *at).err


def test_an_engine_is_named_and_refused_with_the_reason(cli, trained: Store, photos: Path) -> None:
    def refused(*words: object) -> str:
        said = cli("predict", *words, photos, "--store", trained.root)
        assert said.code == 2
        return said.err.removeprefix("committee: ")

    assert cli("predict", MEMBER, photos, "--store", trained.root, "--engine", "channels_last").code == 0
    text = refused(MEMBER, "--engine", "nomemory")
    assert "expected an engine that runs this model, got one that cannot: the stack needs 80 GB. " in text
    text = refused(MEMBER, "--engine", "absent")
    assert "got one that cannot: the package 'fast' is not installed." in text
    assert "Did you mean 'right'?" in refused(MEMBER, "--engine", "rigth")
    text = refused(MEMBER, "--engine", "channels_last:fp8")
    assert text == "engine channels_last: precision: expected one of fp32, bf16, fp16, got 'fp8'.\n"
    text = refused(MEMBER, "--engine", "right", "--stream")
    assert text.startswith("--engine right: expected a model that fits in memory, got networks that ")
    text = refused("none.onnx", "--engine", "right")
    assert (
        text
        == "--engine right: expected a model of the store, got the path none.onnx. Leave the option out.\n"
    )


@pytest.mark.parametrize("text", ["32", "0x4", "axb", "3x4x5"])
def test_a_size_that_is_none_is_named(cli, trained_root: Path, text: str) -> None:
    said = cli("optimize", MEMBER, "--store", trained_root, "--size", text)
    wanted = "--size: expected height and width in pixels, such as 480x640"
    assert (said.code, said.err) == (2, f"committee: {wanted}, got '{text}'.\n")

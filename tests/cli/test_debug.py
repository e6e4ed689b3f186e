"""Debug mode: each stage alone, and nothing touched outside debug_tmp/."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from committee.cli.debug import sections
from committee.store.layout import Store

SMALL = ("--set", "dataset.img_size=32", "--set", "device=cpu", "--set", "exports.formats=[state_dict]")


def files(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and "debug_tmp" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.slow
def test_all_sections_on_synthetic_samples(store: Store, cli: Callable[..., object]) -> None:
    said = cli("debug", "--fast", "--verbose", "--json", "--store", store.root, *SMALL)
    rows = json.loads(said.out)
    assert {row["section"]: row["result"] for row in rows} == dict.fromkeys(sections(), "ok"), said.out
    assert [row["section"] for row in rows] == sections()
    assert said.code == 0
    assert [path.name for path in store.root.iterdir()] == ["debug_tmp"]
    assert "images [16, 32, 32, 3] uint8" in said.err
    assert str(store.debug_tmp() / "run_1" / "kfold" / "test_resnet_s0" / "oof") in said.err


@pytest.mark.parametrize(
    "section", [name for name in sections() if name not in ("smoke", "kfold", "soups", "meta_fuse")]
)
def test_a_stage_on_the_files_of_a_store_leaves_them_alone(
    trained: Store, cli: Callable[..., object], section: str
) -> None:
    before = files(trained.root)
    said = cli("debug", "--section", section, "--store", trained.root, *SMALL)
    assert said.code == 0, said.err
    assert files(trained.root) == before
    assert cli("debug", "--section", "discover", "--store", trained.root).code == 0
    assert sorted(path.name for path in trained.debug_tmp().iterdir()) == ["run_1", "run_2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "word", ["dataset.ignore=255", "dataset.class_names=[a, b, c]", "dataset.task=segmentation"]
)
def test_synthetic_samples_need_only_what_networks_read(
    store: Store, cli: Callable[..., object], word: str
) -> None:
    words = ("debug", "--section", "smoke", "--fast", "--store", store.root, *SMALL)
    said = cli(*words, "--set", word)
    assert said.code == 0, said.err


def test_only_confirm_removes_what_earlier_runs_left(store: Store, cli: Callable[..., object]) -> None:
    keep = store.debug_tmp() / "run_1" / "notes.txt"
    keep.parent.mkdir(parents=True)
    keep.write_text("mine", encoding="utf-8")
    words = ("debug", "--section", "smoke", "--fast", "--store", store.root, *SMALL)
    assert cli(*words).code == 0 and keep.exists()
    assert cli(*words, "--confirm", "--dry-run").code == 0 and keep.exists()
    assert cli(*words, "--confirm").code == 0 and not keep.exists()


def test_a_dry_run_says_what_each_section_would_do(store: Store, cli: Callable[..., object]) -> None:
    words = ("--fast", "--arch", "timm:test_vit", "--store", store.root, *SMALL)
    said = cli("debug", "--dry-run", "--json", *words)
    assert said.code == 0 and not store.root.exists()
    found = {row["section"]: row["what"] for row in json.loads(said.out)}
    assert list(found) == sections()
    assert found["smoke"] == "one batch forward and backward through test_vit_s0, test_vit_s1"
    assert found["kfold"] == "run the stage train: test_vit_s0, test_vit_s1"
    assert found["discover"] == "verify the checksums of a scratch store"
    assert found["fusion_train"] == "run the stage fusion: fusion_concat_mlp"
    assert found["moe"] == "run the stage moe: moe"
    soups = "soup_uniform_test_vit, soup_uniform_test_vit_s0, soup_uniform_test_vit_s1"
    assert found["soups"] == f"run the stage model_soup: {soups}"
    assert found["stack"] == "run the stage stacking: stacking_lr"
    assert found["meta_fuse"] == "run the stage meta_fuser: meta_fuser"
    assert found["export"] == "run the stage export: state_dict"


def test_a_failing_section_is_named(store: Store, cli: Callable[..., object]) -> None:
    said = cli("debug", "--section", "build_ensemble", "--json", "--store", store.root)
    assert said.code == 1
    assert json.loads(said.out)[0]["what"] == (
        f"{store.root}: expected trained members, got none. "
        "Run: committee train RECIPE, or debug with --fast."
    )


def test_an_unknown_section(cli: Callable[..., object]) -> None:
    said = cli("debug", "--section", "k-folds")
    assert said.code == 2
    assert said.err == (
        f"committee: --section: expected one of {', '.join(sections())}, all, got 'k-folds'. "
        "Did you mean 'kfold'?\n"
    )
    assert {"kfold", "moe", "soups", "fusion_train", "build_ensemble"} <= set(sections())

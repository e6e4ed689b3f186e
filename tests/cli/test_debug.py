"""Debug mode: each stage alone, and nothing touched outside debug_tmp/."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from committee.store.layout import Store

SMALL = ("--set", "dataset.img_size=32", "--set", "device=cpu", "--set", "exports.formats=[state_dict]")


def files(root: Path) -> dict[str, bytes]:
    paths = (path for path in root.rglob("*") if path.is_file() and "debug_tmp" not in path.parts)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_all_sections_on_synthetic_samples(store: Store, cli: Callable[..., object]) -> None:
    said = cli("debug", "--fast", "--verbose", "--json", "--store", store.root, *SMALL)
    assert [(row["section"], row["result"]) for row in json.loads(said.out)] == [
        ("smoke", "ok"),
        ("kfold", "ok"),
        ("discover", "ok"),
        ("recompute_bn", "ok"),
        ("extract_embeddings", "ok"),
        ("fusion_train", "ok"),
        ("build_ensemble", "ok"),
        ("stack", "ok"),
        ("prune", "ok"),
        ("meta_fuse", "ok"),
        ("export", "ok"),
    ], said.out
    assert said.code == 0
    assert [path.name for path in store.root.iterdir()] == ["debug_tmp"]
    assert "images [16, 37, 37, 3] uint8" in said.err
    assert str(store.debug_tmp() / "run_1" / "kfold" / "test_resnet_s0" / "oof") in said.err


@pytest.mark.parametrize(
    "section", ["discover", "recompute-bn", "fusion-train", "build-ensemble", "stack", "prune", "export"]
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


def test_only_confirm_removes_what_earlier_runs_left(store: Store, cli: Callable[..., object]) -> None:
    keep = store.debug_tmp() / "run_1" / "notes.txt"
    keep.parent.mkdir(parents=True)
    keep.write_text("mine", encoding="utf-8")
    words = ("debug", "--section", "smoke", "--fast", "--store", store.root, *SMALL)
    assert cli(*words).code == 0 and keep.exists()
    assert cli(*words, "--confirm", "--dry-run").code == 0 and keep.exists()
    assert cli(*words, "--confirm").code == 0 and not keep.exists()


def test_a_dry_run_says_what_each_section_would_do(store: Store, cli: Callable[..., object]) -> None:
    said = cli("debug", "--dry-run", "--fast", "--arch", "timm:test_vit", "--store", store.root, *SMALL)
    assert said.code == 0 and not store.root.exists()
    assert [line.split("  ")[-1].strip() for line in said.out.splitlines()[1:]] == [
        "one batch forward and backward through test_vit_s0, test_vit_s1",
        "2 folds and a refit of test_vit_s0, test_vit_s1, 1 epochs",
        "verify the checksums of a scratch store",
        "estimate batch norm's statistics of test_vit_s0, test_vit_s1 from 100 batches",
        "extract embeddings of test_vit_s0, test_vit_s1",
        "train fusion_concat_mlp",
        "build soft_voting_ensemble, hard_voting_ensemble, logit_averaging_ensemble, weighted_ensemble",
        "stack by stacking_lr",
        "prune by greedy_forward",
        "fuse soft_voting, logit_averaging by lr",
        "write state_dict of one model, and compare each with it",
    ]


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
        "committee: --section: expected one of smoke, kfold, discover, recompute_bn, extract_embeddings, "
        "fusion_train, build_ensemble, stack, prune, meta_fuse, export, all, got 'k-folds'. "
        "Did you mean 'kfold'?\n"
    )

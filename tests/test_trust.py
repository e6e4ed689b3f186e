"""No verb runs code because a store names it: builders are imported only where the user trusts them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from committee.cli._stage_verb import stage_verbs
from committee.models.ensemble import load
from committee.store.layout import Store
from committee.store.manifest import Manifest, list_files, read_manifest

OPTIONS = {
    "build-ensemble": ["--method", "soup_uniform", "--method", "soft_voting"],
    "compress": ["--model-name", "test_vit"],
    "distill": ["--teacher", "test_vit", "--student", "timm:test_resnet"],
    "export": ["--model-name", "test_vit"],
    "fusion-train": ["--set", "runs.fusion.fusion_methods=[concat_mlp]"],
    "moe-train": ["--set", "runs.moe.num_experts=2"],
    "prune": ["--set", "pruning.cost_budget.max_latency_ms=1000"],
    "tta": ["--of", "test_vit", "--views", "hflip"],
}


@pytest.fixture
def claims(trained: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Store, Path]:
    """A store whose member `test_vit` claims to be built by a module, and the file that the module writes."""
    ran = tmp_path / "ran"
    (tmp_path / "canary_nets.py").write_text(f"open({str(ran)!r}, 'w').close()", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for fold in trained.folds("test_vit"):
        folder = trained.checkpoint("test_vit", fold)
        path = folder / "member.json"
        facts = json.loads(path.read_text(encoding="utf-8"))
        # The name is that of a builder which the user trusts; the key is what would be imported.
        facts["architecture"] = {"name": "python:nets:small", "source": "python", "key": "canary_nets:build"}
        path.write_text(json.dumps(facts), encoding="utf-8")
        before = read_manifest(folder, verify=False)
        sealed = Manifest(before.kind, before.fingerprint, list_files(folder), before.facts)
        (folder / "manifest.json").write_text(json.dumps(sealed.to_json()), encoding="utf-8")
    return trained, ran


@pytest.mark.parametrize("verb", sorted({*stage_verbs(), "predict"} - {"train"}))
def test_no_verb_imports_a_builder_that_only_the_store_names(
    claims: tuple[Store, Path], cli: Callable[..., Any], tiny_settings: list[str], verb: str, tmp_path: Path
) -> None:
    store, ran = claims
    words = [part for setting in tiny_settings for part in ("--set", setting)]
    words += [*OPTIONS.get(verb, []), "--trust", "python:nets:small", "--store", store.root]
    before = ["test_vit", tmp_path] if verb == "predict" else []
    if before:
        (tmp_path / "a.png").write_bytes(b"")
    found = cli(verb, *before, *words)
    assert not ran.exists()
    # Verbs that read predictions alone load no network, and a member that is not evaluated is not compared.
    refused = (
        "python:canary_nets:build: expected a builder that the recipe names, got one from a saved file. If"
    )
    assert refused in found.out + found.err or verb in ("stack", "meta-fuse", "compare"), found


def test_trust_on_the_command_line_is_that_of_the_recipe(
    trained: Store, cli: Callable[..., Any], own_nets: str, tiny_settings: list[str], tmp_path: Path
) -> None:
    words = [part for setting in tiny_settings for part in ("--set", setting)]
    classes, weights = tmp_path / "classes.txt", tmp_path / "weights.pt"
    classes.write_text("\n".join(map(str, range(10))), encoding="utf-8")
    import torch
    from own_nets import small

    torch.save(small(10, 1).state_dict(), weights)
    given = ["--name", "mine", "--backbone", f"{own_nets}:small", "--weights", weights, "--classes", classes]
    assert cli("adopt", *given, *words, "--store", trained.root).code == 0
    folder = trained.checkpoint("mine", "refit")
    export = ["export", "--model-name", "mine", "--formats", "checkpoint", *words, "--store", trained.root]
    refused = cli(*export)
    assert refused.code == 3 or refused.code == 1
    assert f"allow it with --trust {own_nets}:small, with backbones.trusted in the recipe" in refused.err
    assert cli(*export, "--trust", f"{own_nets}:small").code == 0
    assert load(folder, trusted=f"{own_nets}:small").name == "mine"  # type: ignore[arg-type]
    photo = tmp_path / "a.png"
    from PIL import Image

    Image.new("L", (20, 20), 100).save(photo)
    package = trained.deploy("mine") / "checkpoint"
    assert f"--trust {own_nets}:small" in cli("predict", package, photo).err
    assert cli("predict", package, photo, "--trust", f"{own_nets}:small").code == 0
    bad = cli("predict", package, photo, "--trust", "timm:resnet18")
    assert bad.code == 2 and "backbones.trusted" in bad.err

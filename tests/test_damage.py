"""Damaged and untrusted stores: errors are reported, and damaged results are recomputed, never used."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from committee.errors import CommitteeError, StoreError, UsageError
from committee.images.record import load_record
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.pipeline.discover import look_through
from committee.pipeline.run import run_verb
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.train import Train
from committee.recipe.load import load_recipe
from committee.report.leaderboard import leaderboard
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import Manifest, list_files, read_manifest


@pytest.fixture(scope="module")
def full_root(trained_root: Path, tiny_settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with results of every kind, which tests only read."""
    store = Store(shutil.copytree(trained_root, tmp_path_factory.mktemp("full") / "store"))
    recipe = load_recipe(None, [*tiny_settings, "exports.formats=[state_dict, checkpoint]"])
    for outcome in (
        run_verb("build-ensemble", recipe, store, methods=["weighted"]),
        Evaluate().run(recipe, store),
    ):
        assert not outcome.failed
    assert not run_verb("export", recipe, store, models=["weighted"]).failed
    assert look_through(store)["left_out"] == []
    return store.root


@pytest.fixture
def full(full_root: Path, tmp_path: Path) -> Store:
    """A copy of that store, which tests may change."""
    return Store(shutil.copytree(full_root, tmp_path / "store"))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3] ^= 4
    path.write_bytes(content)


FILES = [
    "checkpoints/test_vit/refit/weights.safetensors",
    "checkpoints/test_vit/refit/member.json",
    "checkpoints/test_vit/fold_0/manifest.json",
    "checkpoints/test_vit/fold_1/epochs.csv",
    "kfold/test_vit/oof/logits.npy",
    "kfold/test_vit/oof/predictions.json",
    "kfold/test_vit/oof/seen.npy",
    "ensembles/weighted_ensemble/combiner.safetensors",
    "ensembles/weighted_ensemble/combiner.json",
    "ensembles/weighted_ensemble/ensemble.json",
    "ensembles/weighted_ensemble/gain_draws.npy",
    "deploy/weighted_ensemble/state_dict/weights.safetensors",
    "deploy/weighted_ensemble/metadata.json",
    "deploy/weighted_ensemble/class_mapping.json",
    "deploy/weighted_ensemble/export_status.json",
]


@pytest.mark.parametrize("damage", [flip, lambda path: path.write_bytes(path.read_bytes()[:-3]), Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_every_damaged_file_is_named(full: Store, name: str, damage: Any) -> None:
    damage(full.root / name)
    [entry, *_] = look_through(full)["left_out"]
    assert name.startswith(entry["path"])
    assert Path(name).name in entry["reason"] or entry["reason"].startswith(str((full.root / name).parent))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (FILES[0], ["predict", "test_vit"]),
        (FILES[1], ["predict", "test_vit"]),
        (FILES[7], ["predict", "weighted"]),
        (FILES[8], ["predict", "weighted"]),
        (FILES[9], ["predict", "weighted"]),
        (FILES[4], ["build-ensemble"]),
        ("checkpoints/test_vit/refit/manifest.json", ["predict", "test_vit"]),
    ],
)
def test_nothing_damaged_is_used(full: Store, cli, tmp_path: Path, name: str, words: list[str]) -> None:
    Image.new("L", (20, 20)).save(tmp_path / "photo.png")
    photo = [tmp_path / "photo.png"] if words[0] == "predict" else []
    method = [] if photo else ["--method", "soft_voting"]
    flip(full.root / name)
    said = cli(*words, *photo, *method, "--store", full.root)
    assert said.code in (1, 3) and str(full.root / name) in said.err, said
    assert "prediction" not in said.out


def test_an_exported_file_is_checked_where_it_was_exported(cli, tmp_path: Path) -> None:
    Image.new("L", (20, 20)).save(tmp_path / "photo.png")
    with commit(tmp_path / "onnx", kind="export", fingerprint="x") as new:
        (new / "model.onnx").write_bytes(bytes(100))
    flip(tmp_path / "onnx" / "model.onnx")
    said = cli("predict", tmp_path / "onnx" / "model.onnx", tmp_path / "photo.png")
    assert said == (
        1,
        "",
        f"committee: {tmp_path / 'onnx' / 'model.onnx'}: expected the content that was stored, "
        "got other bytes. Run the command that made it again.\n",
    )


def test_the_leaderboard_leaves_a_damaged_report_out(full: Store, caplog) -> None:
    flip(full.member_metrics("test_vit") / "metrics.json")
    names = [report["name"] for report in leaderboard(full)]
    assert sorted(names) == ["test_resnet", "weighted_ensemble"]
    assert (
        f"test_vit is excluded: {full.member_metrics('test_vit') / 'metrics.json'}: expected" in caplog.text
    )


def test_a_damaged_fold_is_trained_again_to_the_same_bytes(full: Store, tiny_settings, caplog) -> None:
    path = full.checkpoint("test_resnet", 0) / "weights.safetensors"
    canvas = next(full.root.glob("cache/*/canvas.npy"))
    before, decoded = path.read_bytes(), canvas.read_bytes()
    flip(path)
    flip(canvas)
    recipe = load_recipe(None, [*tiny_settings, "backbones.include=[timm:test_resnet]"])
    assert Train().run(recipe, full).done == ["test_resnet"]
    assert path.read_bytes() == before and canvas.read_bytes() == decoded
    for damaged in (path, canvas):
        assert f"{damaged}: expected the content that was stored, got other bytes." in caplog.text


def test_a_damaged_record_of_the_data_stops_the_run(full: Store, tiny_settings) -> None:
    flip(full.dataset_folder() / "samples.json")
    with pytest.raises(
        StoreError, match=r"samples\.json: expected the content that was stored, got other bytes"
    ):
        Train().run(load_recipe(None, tiny_settings), full)


HOLDER = """
import sys, time
from committee.store.layout import Store
with Store(sys.argv[1]).hold():
    print("held", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def held(store: Store) -> Iterator[int]:
    command = [sys.executable, "-c", HOLDER, str(store.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        try:
            yield holder.pid
        finally:
            holder.kill()


def test_readers_look_while_another_process_writes(full: Store, cli, tmp_path: Path) -> None:
    Image.new("L", (20, 20)).save(tmp_path / "photo.png")
    with held(full) as writer:
        for words in (
            ["leaderboard"],
            ["predict", "weighted", tmp_path / "photo.png"],
            ["predictions", "--csv", tmp_path / "oof.csv"],
        ):
            said = cli(*words, "--store", full.root)
            assert said.code == 0, said
        said = cli("discover", "--store", full.root)
        unwritten = (
            f"The catalog is not written. {full.root}: expected no other process that writes to it, got "
        )
        assert said.code == 0 and unwritten in said.out and "Written to" not in said.out
        for words in (["train"], ["run"], ["build-ensemble"], ["evaluate"], ["export"]):
            said = cli(*words, "--set", "backbones.include=[timm:test_resnet]", "--store", full.root)
            assert said.code == 1 and f"got process {writer} on " in said.err, said


@pytest.mark.parametrize("verb", ["train", "run", "build-ensemble", "evaluate", "export"])
def test_a_read_only_store_fails_at_the_start(full: Store, cli, tiny_settings, verb: str) -> None:
    mount = ["mount", "--bind", str(full.root), str(full.root)]
    again = ["mount", "-o", "remount,bind,ro", str(full.root)]
    try:
        if any(subprocess.run(each, capture_output=True, check=False).returncode for each in (mount, again)):
            pytest.skip("no right to mount")
    except OSError:
        pytest.skip("no mount here")
    options = [word for each in tiny_settings for word in ("--set", each)]
    try:
        said = cli(verb, *options, "--set", "training.epochs=1000", "--store", full.root)
    finally:
        subprocess.run(["umount", "-l", str(full.root)], check=True)
    assert (said.code, said.out) == (1, "")
    assert said.err.splitlines()[-1] == (
        f"committee: {full.root}: not writable (read-only file system). "
        "Make it writable, or name another folder with --store."
    )


def seal(folder: Path, **changes: Any) -> None:
    """Write a manifest that matches the present files of a folder, as an attacker could."""
    before = read_manifest(folder, verify=False)
    facts = {**before.facts, **changes}
    sealed = Manifest(before.kind, before.fingerprint, list_files(folder), facts)
    (folder / "manifest.json").write_text(json.dumps(sealed.to_json()), encoding="utf-8")


def rewrite(path: Path, **changes: Any) -> None:
    facts = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**facts, **changes}), encoding="utf-8")


STRANGE = [
    (
        {"source": "python", "key": "canary_nets:build"},
        "expected a builder that the recipe names",
    ),
    (
        {"options": {"checkpoint_path": "evil.pt"}},
        "expected an architecture without weights, files or addresses, got 'checkpoint_path'",
    ),
    (
        {"options": {"pretrained": True, "pretrained_cfg": {"file": "evil.pt"}}},
        "architecture without weights, files or addresses, got 'pretrained'",
    ),
    (
        {"key": "hf-hub:owner/name"},
        "expected an architecture without weights, files or addresses, got 'hf-hub:owner/name'",
    ),
    (
        {"key": "local-dir:/tmp/evil"},
        "expected an architecture without weights, files or addresses, got 'local-dir:/tmp/evil'",
    ),
    (
        {"source": "torchvision", "key": "resnet18", "options": {"weights": "DEFAULT"}},
        "addresses, got 'weights'",
    ),
    ({"source": "os"}, "expected one of"),
    ({"source": None}, "expected the description of a member, got invalid content"),
    ({"nonsense": 1}, "expected the description of a member, got invalid content"),
]


@pytest.mark.parametrize(("architecture", "said"), STRANGE)
def test_a_stranger_s_member_imports_and_fetches_nothing(
    full: Store, tmp_path: Path, monkeypatch, architecture, said
) -> None:
    (tmp_path / "canary_nets.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w').close()", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder = full.checkpoint("test_vit", "refit")
    described = json.loads((folder / "member.json").read_text(encoding="utf-8"))["architecture"]
    rewrite(folder / "member.json", architecture={**described, **architecture})
    seal(folder)
    for load in (lambda: Member.load(folder), lambda: load_model(full, "test_vit")):
        with pytest.raises(CommitteeError) as caught:
            load()
        assert said in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_builder_runs_only_under_its_own_key_and_without_options(full: Store, own_nets: str) -> None:
    folder = full.checkpoint("test_vit", "refit")
    key = own_nets.removeprefix("python:") + ":small"
    rewrite(
        folder / "member.json",
        architecture={"name": "x", "source": "python", "key": key, "options": {"a": 1}},
    )
    seal(folder)
    with pytest.raises(
        UsageError, match="expected an architecture without weights, files or addresses, got 'a'"
    ):
        load_model(full, "test_vit", trusted=[f"python:{key}"])


@pytest.mark.parametrize("slug", ["../../../outside", "..", "a\\..\\b", "C:x"])
def test_no_member_of_an_ensemble_leads_outside(full: Store, slug: str) -> None:
    folder = full.deploy("weighted_ensemble") / "checkpoint"
    Ensemble.load(folder)
    rewrite(folder / "ensemble.json", members=[slug])
    with pytest.raises(StoreError, match="expected names of files in this folder, got 'members/"):
        Ensemble.load(folder)


@pytest.mark.parametrize("name", ["../../outside", "/etc", "a/b", "..", "CON", "x" * 200, "a\0b", ""])
def test_no_name_in_a_record_leads_outside(full: Store, name: str) -> None:
    folder = full.ensemble("weighted_ensemble")
    facts = json.loads((folder / "ensemble.json").read_text(encoding="utf-8"))
    sources = {name: facts["sources"]["test_vit"]}
    rewrite(folder / "ensemble.json", members=[name], sources=sources, inference={name: "refit"})
    seal(folder)
    with pytest.raises(CommitteeError, match=r"name in the store: expected at most 100 letters|networks of"):
        ensemble_facts(full, "weighted_ensemble")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
PLACES = {
    "ensembles/weighted_ensemble/ensemble.json": lambda store: look_through(store),
    "ensembles/weighted_ensemble/combiner.json": lambda store: load_model(store, "weighted"),
    "checkpoints/test_vit/refit/member.json": lambda store: load_model(store, "test_vit"),
    "dataset/samples.json": load_record,
    "metrics/test_vit/metrics.json": leaderboard,
    "deploy/weighted_ensemble/export_status.json": look_through,
    "deploy/weighted_ensemble/checksums.json": look_through,
}


@pytest.mark.parametrize("name", PLACES)
@given(data=st.data())
@settings(max_examples=25)
def test_nothing_but_our_errors_comes_out_of_a_stranger_s_facts(
    full_root: Path, name: str, data: Any
) -> None:
    path = full_root / name
    before = path.read_bytes()
    manifest = path.parent / "manifest.json"
    sealed = manifest.read_bytes() if manifest.exists() else b""
    try:
        keys = list(json.loads(before))
        rewrite(path, **data.draw(st.dictionaries(st.sampled_from(keys), JSON, min_size=1, max_size=2)))
        if sealed:
            seal(path.parent)
        with contextlib.suppress(CommitteeError):
            PLACES[name](Store(full_root))
    finally:
        path.write_bytes(before)
        if sealed:
            manifest.write_bytes(sealed)


@given(
    changes=st.dictionaries(
        st.sampled_from(["backbone", "seed", "pretrained", "inference", "epochs"]), JSON, min_size=1
    )
)
@settings(max_examples=25)
def test_nothing_but_our_errors_comes_out_of_a_manifest_s_facts(
    full_root: Path, changes: dict[str, Any]
) -> None:
    folder = full_root / "checkpoints" / "test_vit" / "refit"
    before = (folder / "manifest.json").read_bytes()
    try:
        seal(folder, **changes)
        for look in (look_through, leaderboard, lambda store: load_model(store, "test_vit")):
            with contextlib.suppress(CommitteeError):
                look(Store(full_root))
    finally:
        (folder / "manifest.json").write_bytes(before)


def test_arrays_of_objects_in_a_store_do_not_run(full: Store, tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    folder = full.kfold("test_vit") / "oof"
    np.save(folder / "labels.npy", np.array([Canary()], dtype=object), allow_pickle=True)
    seal(folder)
    with pytest.raises(StoreError, match="Object arrays cannot be loaded"):
        run_verb("build-ensemble", load_recipe(None), full, methods=["soft_voting"])
    assert not (tmp_path / "ran").exists()

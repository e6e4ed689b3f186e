"""The catalog of a store: complete entries are listed, and the others are reported with a reason."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from committee.errors import StoreError
from committee.pipeline.discover import discover, look_through, set_aside
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import model_source
from committee.store.commit import write_json
from committee.store.layout import Store


def names(entries: list[dict[str, str]], key: str = "name") -> list[str]:
    return [entry[key] for entry in entries]


def test_the_catalog_has_the_complete_entries(trained: Store) -> None:
    catalog = discover(trained)
    assert json.loads(trained.catalog.read_text(encoding="utf-8")) == catalog
    assert names(catalog["members"]) == ["test_resnet", "test_vit"]
    assert (
        catalog["members"][1]
        | {
            "backbone": "timm:test_vit",
            "pretrained": False,
            "inference": "refit",
            "evaluated": False,
            "fits": ["fold_0", "fold_1", "fold_2", "refit"],
            "predictions": ["oof", "test_folds", "test_refit"],
        }
        == catalog["members"][1]
    )
    assert catalog["ensembles"] == catalog["packages"] == catalog["failed"] == catalog["left_out"] == []


def test_reading_writes_nothing(trained: Store) -> None:
    before = sorted(trained.root.rglob("*"))
    look_through(trained)
    assert sorted(trained.root.rglob("*")) == before


def test_no_store(store: Store) -> None:
    with pytest.raises(StoreError) as caught:
        discover(store)
    assert str(caught.value) == (
        f"{store.root}: the store does not exist. "
        "Create a store with: committee train RECIPE, or name another with --store."
    )
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("checkpoints/test_vit/fold_1/weights.safetensors", "checkpoints/test_vit/fold_1"),
        ("checkpoints/test_vit/refit/manifest.json", "checkpoints/test_vit/refit"),
        ("kfold/test_vit/oof/logits.npy", "kfold/test_vit/oof"),
    ],
)
def test_a_flipped_bit_leaves_the_member_out(trained: Store, file: str, path: str) -> None:
    content = bytearray((trained.root / file).read_bytes())
    content[len(content) // 2] ^= 1
    (trained.root / file).write_bytes(bytes(content))
    catalog = discover(trained)
    assert names(catalog["members"]) == ["test_resnet"]
    assert names(catalog["left_out"], "path") == [path]
    assert str(trained.root / file) in catalog["left_out"][0]["reason"]


def test_a_half_written_fit_is_named(trained: Store) -> None:
    (trained.checkpoint("test_vit", 1) / "manifest.json").unlink()
    catalog = discover(trained)
    assert names(catalog["left_out"], "path") == ["checkpoints/test_vit/fold_1"]
    assert catalog["left_out"][0]["reason"].startswith(
        f"{trained.checkpoint('test_vit', 1) / 'manifest.json'}: the file does not exist."
    )


def test_an_unfinished_training_is_named(trained: Store) -> None:
    for path in trained.kfold("test_vit").iterdir():
        path.rename(path.with_name(f".{path.name}.gone.new~"))
    trained.resume("test_vit", "refit").mkdir()
    catalog = discover(trained)
    assert catalog["left_out"] == [
        {
            "path": "checkpoints/test_vit",
            "reason": "test_vit: expected a finished training, got fold_0, fold_1, fold_2, refit. "
            "Run: committee train RECIPE",
        }
    ]


def test_a_member_without_its_out_of_fold_predictions_is_unfinished(trained: Store) -> None:
    shutil.rmtree(trained.kfold("test_vit") / "oof")
    (entry,) = discover(trained)["left_out"]
    assert entry["reason"] == (
        "test_vit: expected a finished training, got fold_0, fold_1, fold_2, refit, test_folds, test_refit. "
        "Run: committee train RECIPE"
    )


def test_a_member_that_failed_is_listed_with_the_reason(trained: Store) -> None:
    failure = {"name": "test_vit", "reason": "out of memory"}
    write_json(trained.root / "checkpoints" / "test_vit" / "failure.json", failure)
    catalog = discover(trained)
    assert names(catalog["members"]) == ["test_resnet"]
    assert catalog["failed"] == [failure] and catalog["left_out"] == []
    (trained.root / "checkpoints" / "test_vit" / "failure.json").write_text("{", encoding="utf-8")
    failure["reason"] = "failure.json is damaged: train the member again"
    assert discover(trained)["failed"] == [failure]


def test_predictions_without_networks_are_named(trained: Store) -> None:
    shutil.rmtree(trained.checkpoint("test_vit", 0).parent)
    catalog = discover(trained)
    assert names(catalog["members"]) == ["test_resnet"]
    assert catalog["left_out"] == [
        {
            "path": "kfold/test_vit",
            "reason": "test_vit: expected the networks that made these predictions, got none. "
            "Run: committee train RECIPE, or remove the folder.",
        }
    ]


def test_an_excluded_entry_is_reported_once(trained: Store, cli: Callable[..., object]) -> None:
    shutil.rmtree(trained.checkpoint("test_vit", 0).parent)
    result = cli("discover", "--store", trained.root)
    assert result.code == 3
    assert (result.out + result.err).count("expected the networks that made these predictions") == 1


def test_a_store_that_is_not_writable_is_read(trained: Store, cli: Callable[..., object]) -> None:
    catalog = trained.catalog.read_bytes() if trained.catalog.exists() else None
    (trained.root / ".lock").unlink(missing_ok=True)
    (trained.root / ".lock").mkdir()  # refuses root as well
    result = cli("discover", "--store", trained.root)
    unwritten = f"The catalog is not written. {trained.root}: not writable ("
    assert result.code == 0 and result.out.count(unwritten) == 1 and "Written to" not in result.out
    assert "test_resnet" in result.out
    assert (trained.catalog.read_bytes() if trained.catalog.exists() else None) == catalog


def make_package(store: Store, fingerprint: str) -> Path:
    folder = store.deploy("test_vit")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.bin").write_bytes(b"abc")
    write_json(folder / "export_status.json", {"fingerprint": fingerprint})
    sums = {"a.bin": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    write_json(folder / "checksums.json", sums)
    return folder


def test_packages_are_checked(trained: Store) -> None:
    folder = make_package(trained, model_source(trained, "test_vit"))
    assert discover(trained)["packages"] == [{"name": "test_vit", "files": ["a.bin"]}]
    (folder / "a.bin").write_bytes(b"abd")
    left_out = discover(trained)["left_out"]
    assert left_out[0]["reason"] == (
        f"{folder / 'a.bin'}: expected the exported content, got other bytes or no file. "
        "Run: committee export --model-name test_vit"
    )
    (folder / "checksums.json").unlink()
    assert discover(trained)["left_out"] == [
        {
            "path": "deploy/test_vit",
            "reason": f"{folder}: expected a finished export, got no checksums.json. "
            "Run: committee export --model-name test_vit",
        }
    ]


def test_a_package_of_networks_that_changed_since_is_left_out(trained: Store) -> None:
    folder = make_package(trained, "0" * 64)
    catalog = discover(trained)
    assert catalog["packages"] == []
    assert catalog["left_out"][0]["reason"] == (
        f"{folder}: expected a package of the present test_vit, got one of an earlier version. "
        "Run: committee export --model-name test_vit"
    )


def test_a_checksum_file_cannot_lead_outside(trained: Store, tmp_path: Path) -> None:
    folder = trained.deploy("test_vit")
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    write_json(folder / "checksums.json", {"../../../secret": "0"})
    assert "expected names of files in this folder" in discover(trained)["left_out"][0]["reason"]


def test_outdated_packages_are_not_reported_to_stages_that_read_none(trained: Store, caplog) -> None:
    make_package(trained, "0" * 64)
    outcome = Outcome()
    set_aside(discover(trained), outcome, needed=("checkpoints", "kfold"))
    assert not caplog.records and outcome.exit_code == 0

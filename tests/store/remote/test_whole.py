"""Whole commands on a store of a real S3 API: the same bytes as in a folder, after a kill, too."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from committee.exporters.base import Card, open_exported
from committee.images.dataset import open_dataset
from committee.images.source import path_of
from committee.images.unlabeled import open_unlabeled
from committee.inference.named import path_of as path_of_model
from committee.models.member import Member
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.package import package
from committee.pipeline.stages.train import Train
from committee.recipe.dataset import Dataset as Settings
from committee.recipe.load import load_recipe
from committee.store.copies import copy_of
from committee.store.layout import Store
from committee.store.manifest import read_manifest
from committee.store.remote.bucket import open_bucket

KILLED = """
import os, signal, sys
from committee.cli.main import main
from committee.store.remote import lease
from committee.store.remote.bucket import Bucket
lease.SECONDS = 1
upload = Bucket.upload

def deadly(self, key, file):
    upload(self, key, file)
    if "/fold_1/weights" in key:
        os.kill(os.getpid(), signal.SIGKILL)

Bucket.upload = deadly
main(["train", "--store", sys.argv[1], *(word for each in sys.argv[2:] for word in ("--set", each))])
"""


def weights(root, member):
    """The digests of all arrays and weights of a member."""
    folders = [path.parent for path in sorted(root.glob(f"*/{member}/*/manifest.json"))]
    found = {
        f"{folder.parent.parent.name}/{folder.name}/{name}": facts["sha256"]
        for folder in folders
        for name, facts in read_manifest(folder).files.items()
        if name.endswith((".safetensors", ".npy"))
    }
    assert found
    return found


def test_a_run_killed_in_an_upload_is_resumed_elsewhere_with_the_bytes_of_a_local_one(
    s3, tmp_path, tiny_settings, trained_root, monkeypatch
):
    settings = [*tiny_settings, "backbones.include=[timm:test_resnet]"]
    command = [sys.executable, "-c", KILLED, s3, *settings]
    monkeypatch.setenv("COMMITTEE_STORE_CACHE", str(tmp_path / "killed"))
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == (-signal.SIGKILL if sys.platform != "win32" else ended.returncode), (
        ended.stderr
    )
    elsewhere = Store(s3, tmp_path / "elsewhere")
    assert elsewhere.folds("test_resnet") == ("fold_0",)
    outcome = Train().run(load_recipe(None, settings), elsewhere)
    assert outcome.done == ["test_resnet"], outcome.failed
    third = Store(s3, tmp_path / "third")
    assert weights(third.root, "test_resnet") == weights(trained_root, "test_resnet")


@pytest.fixture
def uploaded(s3, trained_with, tmp_path):
    """A local store with reports, and the address of a store with the same results."""
    from committee.pipeline.run import run_verb

    def add(store):
        recipe = load_recipe(None, ["runs.score_ensemble.methods=[soft_voting]", "device=cpu"])
        run_verb("build-ensemble", recipe, store)
        run_verb("evaluate", recipe, store)

    local = trained_with("remote", add)
    mine = Store(s3, tmp_path / "first")
    shutil.copytree(local.root, mine.root)
    with mine.hold():
        pass
    return local, s3


def test_each_verb_answers_as_in_a_folder(uploaded, cli, tmp_path):
    local, address = uploaded
    image = tmp_path / "a.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8) * 4).save(image)
    for words in (
        ["leaderboard", "--json"],
        ["predict", "soft_voting", image, "--json"],
        ["predictions", "--csv", tmp_path / "p.csv", "--json"],  # which keeps a file with the same content
        ["discover", "--json"],
    ):
        here = cli(*words, "--store", local.root)
        there = cli(*words, "--store", address, "--store-cache", tmp_path / words[0])
        assert (here.code, there.code) == (0, 0), there.err
        assert json.loads(there.out) == json.loads(here.out)
    sizes = {
        words: {path.name for path in (tmp_path / words).rglob("*.safetensors")}
        for words in ("leaderboard", "predict")
    }
    assert sizes["leaderboard"] == set()
    assert "weights.safetensors" in sizes["predict"]


def test_python_reads_an_address_and_a_second_machine_adds_to_it(uploaded, tmp_path, monkeypatch):
    local, address = uploaded
    monkeypatch.setenv("COMMITTEE_STORE_CACHE", str(tmp_path / "python"))
    facts = load_model(address, "soft_voting")[1]
    assert facts["members"] == load_model(local, "soft_voting")[1]["members"]
    assert str(Store(address)) == address
    assert repr(Store(address)) == f"Store({address!r})"
    copy = copy_of(Store(address).root)
    assert str(Store(copy.root)) == address  # the folder of the copy means the same store
    with pytest.raises(LookupError, match=rf"^{address}: expected one of "):
        load_model(address, "nobody")


def test_debug_and_report_use_a_fresh_copy(uploaded, cli, tmp_path):
    _, address = uploaded
    said = cli("report", "--store", address, "--store-cache", tmp_path / "report")
    assert said.code == 0, said.err
    assert (Store(address, tmp_path / "other").root / "report.html").is_file()
    said = cli("debug", "--section", "discover", "--store", address, "--store-cache", tmp_path / "debug")
    assert said.code == 0, said.err


def upload(folder, address):
    bucket = open_bucket(address)
    for path in folder.rglob("*.*"):
        bucket.upload(path.relative_to(folder).as_posix(), path)


@pytest.fixture
def sorted_images(tmp_path):
    """A folder of images by class, with a table of the same images."""
    rows = ["path,label"]
    for number in range(24):
        label = ("dark", "light")[number % 2]
        path = tmp_path / "images" / label / f"{number} ü.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 100, (9, 8), np.uint8) + 150 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
        rows.append(f"../images/{label}/{path.name},{label}")
    (tmp_path / "images" / "sets").mkdir()
    (tmp_path / "images" / "sets" / "labels.csv").write_text(
        "\n".join(rows).replace("../images", ".."), "utf-8"
    )
    return tmp_path / "images"


def test_images_on_object_storage_are_those_of_a_folder(s3, sorted_images, tmp_path, cli):
    upload(sorted_images, f"{s3}/all")
    (sorted_images / "sets" / "labels.csv").rename(tmp_path / "labels.csv")
    (sorted_images / "sets").rmdir()
    upload(sorted_images, f"{s3}/photos")
    (sorted_images / "sets").mkdir()
    (tmp_path / "labels.csv").rename(sorted_images / "sets" / "labels.csv")

    def opened(path, name, **options):
        settings = Settings(path=str(path), img_size=8, num_workers=0, **options)
        return open_dataset(settings, Store(tmp_path / name), img_sizes=[8], folds=2, seed=0)

    table = opened(sorted_images / "sets" / "labels.csv", "a")
    there = opened(f"{s3}/all/sets/labels.csv", "b")
    assert there.fingerprint == table.fingerprint and there.name == "labels"
    assert list(there.sample_ids) == list(table.sample_ids)
    shutil.rmtree(sorted_images / "sets")
    folder, there = opened(sorted_images, "c"), opened(f"{s3}/photos", "d")
    assert there.fingerprint == folder.fingerprint
    assert np.array_equal(there.images(there.rows("train")), folder.images(folder.rows("train")))
    assert opened(sorted_images, "d").fingerprint == there.fingerprint  # a machine with a copy continues
    source = json.loads((tmp_path / "d/dataset/samples.json").read_text("utf-8"))["source"]
    assert source["path"] == f"{s3}/photos"
    said = cli("init", f"{s3}/photos", tmp_path / "recipe.yaml")
    assert said.out.startswith(f"Wrote {tmp_path / 'recipe.yaml'} for 24 images of 2 classes."), said.err
    assert load_recipe(tmp_path / "recipe.yaml").dataset.path == f"{s3}/photos"
    unlabeled = open_unlabeled(
        path_of(f"{s3}/photos/dark"), folder, Store(tmp_path / "c"), (), workers=0, who="x"
    )
    assert len(unlabeled.sample_ids) == 12
    for path, message in {
        f"{s3}/none": f"committee: {s3}/none: the file or folder does not exist. Correct the address.",
        f"{s3}/photos/dark": f"committee: {s3}/photos/dark: expected a folder of images for each class, got",
        "s3://absent/x": "committee: s3://absent/x: expected a bucket that exists, got none of this name.",
    }.items():
        words = ("--set", f"dataset.path={path}", "--set", "backbones.include=[timm:test_vit]")
        said = cli("train", "--store", tmp_path / "e", *words)
        assert said.code != 0 and said.err.splitlines()[-1].startswith(message), said.err


def test_an_exported_file_on_object_storage_predicts(s3, sorted_images, tmp_path, cli, monkeypatch):
    member = Member.build("timm:test_resnet", classes=("dark", "light"), size=16, seed=0, name="one").eval()
    card = Card("one", ("dark", "light"), {"kind": "member", "inference": "refit"})
    images = np.zeros((2, 3, 20, 16), np.uint8)
    package(member, card, tmp_path / "one", ["checkpoint"], [images], fingerprint="abc")
    upload(tmp_path / "one", s3)
    answers = [
        cli("predict", place, sorted_images / "dark", "--store", tmp_path / "store")
        for place in (tmp_path / "one/checkpoint", f"{s3}/checkpoint")
    ]
    assert answers[0].code == 0, answers[0].err
    assert answers[1].code == 0, answers[1].err
    assert answers[0].out == answers[1].out
    assert np.array_equal(
        open_exported(f"{s3}/checkpoint")(images), open_exported(tmp_path / "one/checkpoint")(images)
    )
    (file,) = (tmp_path / "one/checkpoint").glob("*.safetensors")
    monkeypatch.setenv("COMMITTEE_STORE_CACHE", str(tmp_path / "empty"))
    path = path_of_model(f"{s3}/checkpoint/{file.name}", Store(tmp_path / "store"))  # one file brings all
    assert path is not None
    assert read_manifest(path.parent).files == read_manifest(tmp_path / "one/checkpoint").files
    said = cli("predict", f"{s3}/none.onnx", sorted_images / "dark", "--store", tmp_path / "store")
    assert (said.code, said.err) == (
        2,
        f"committee: {s3}/none.onnx: the file or folder does not exist. Correct the address.\n",
    )

"""Whole commands on a store of a real S3 API: the same bytes as in a folder, after a kill, too."""

import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from committee.pipeline.shared.models import load_model
from committee.pipeline.stages.train import Train
from committee.recipe.load import load_recipe
from committee.store.copies import copy_of
from committee.store.layout import Store
from committee.store.manifest import read_manifest

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


def test_images_on_object_storage_are_refused_with_what_to_do(cli):
    said = cli(
        "train", "--set", "dataset.path=s3://bucket/images", "--set", "backbones.include=[timm:test_vit]"
    )
    assert said.code == 2
    assert said.err.splitlines()[-1].startswith(
        "committee: dataset.path: expected a folder or file of this machine, got the address "
        "'s3://bucket/images'. Copy the images to this machine first, for example with: aws s3 sync "
        "ADDRESS FOLDER"
    )

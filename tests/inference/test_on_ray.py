"""Prediction by Ray Data: the answers of this process, whatever ends on the way."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from committee.errors import CommitteeError, DataError, DeviceError, StorageError, TimeLimitError, UsageError
from committee.images.remote import RemoteFile
from committee.inference import on_ray
from committee.inference.into_parts import InProcess
from committee.inference.on_ray import OnRay, _check_unread, _own
from committee.inference.packed_images import UNREAD, Reading, addresses, entries
from committee.inference.part_tables import PartTables
from committee.inference.photos import find_photos
from committee.inference.predict import _decoded
from committee.inference.ray_nodes import Needs, unseen, versions
from committee.inference.rules import rule_of
from committee.store.remote.refusals import refusal

pytest.importorskip("pyarrow")


def shipped(marker: str = "", canvases: tuple = ((8, "crop", 1),)):
    """Return a model to send, pickled with its classes; with a marker, it kills its process once."""

    class Brightness:
        name, class_names, channels, provenance = "brightness", ("dark", "light"), 1, {}

        def __init__(self) -> None:
            self.canvases = canvases

        def __call__(self, images):
            if marker and not Path(marker).exists():
                Path(marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            light = images.mean((1, 2, 3)) / 255
            return np.stack([1 - light, light], 1).astype(np.float32)

    class Shipped:
        def open(self, device):
            return Brightness()

    return Shipped()


@pytest.fixture
def folder(tmp_path) -> Path:
    """150 photos of two sizes with hostile names, and a broken one."""
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for index in range(150):
        pixels = rng.integers(0, 200 + index // 3, (20 + index % 2, 30), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{index:03d} ü%#[{index}].png")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no photo")
    return tmp_path / "photos"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning", "ignore::ResourceWarning")  # of Ray
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_the_answers_of_this_process_though_a_worker_is_killed(
    folder, tmp_path, ray_cluster, object_storage, monkeypatch
):
    for name in ("007", "100"):
        (path,) = folder.glob(f"{name}*")
        object_storage.put_object(Bucket="photos", Key=f"ray/{path.name}", Body=path.read_bytes())
    monkeypatch.chdir(tmp_path)  # workers have another working folder
    photos = find_photos(["photos", "s3://photos/ray"])
    photos.append(RemoteFile("s3://photos/ray/absent.png"))
    model = shipped().open("cpu")
    tables = PartTables(model, rule_of(model, coverage=None))
    local = [row for table in InProcess()(tables, photos) for row in table.to_pylist()]
    marker = tmp_path / "killed"
    found = OnRay(shipped(str(marker)), {"batch_size": 16}, ray_cluster)(tables, photos)
    assert [row for table in found for row in table.to_pylist()] == local
    assert marker.exists()
    assert [row["error"] is None for row in local].count(False) == 2
    with pytest.raises(DeviceError, match="a cluster with GPUs"):
        list(OnRay(shipped(), {}, ray_cluster, device="cuda")(tables, photos))
    with pytest.raises(UsageError, match="--cpus: expected at most 2"):
        list(OnRay(shipped(), {}, ray_cluster, cpus=64)(tables, photos))


@pytest.mark.parametrize("canvases", [(), ((8, "crop", 1), (12, "pad", 1))])
def test_packed_images_are_those_of_this_process(folder, canvases):
    photos = find_photos([folder])
    here = list(_decoded(photos, 1, canvases))
    there = list(entries(Reading(1, canvases)(addresses(photos)), 1))
    assert len(here) == len(there) == 151
    for (name, parts), (other, packed) in zip(here, there, strict=True):
        assert name == other
        if isinstance(parts, str):
            assert parts == packed
        else:
            assert all(np.array_equal(*pair) for pair in zip(parts, packed, strict=True))


def test_an_image_that_a_machine_does_not_read(folder, tmp_path, monkeypatch):
    gone = Reading(1, ())(addresses([tmp_path / "gone.png", folder / "broken.jpg"]))
    assert gone["reason"].to_pylist() == [
        f"{(tmp_path / 'gone.png').as_posix()}: the file does not exist. Replace it or leave it out.",
        None,
    ]
    assert gone[UNREAD].to_pylist() == [True, False]
    needs = Needs.here([folder / "broken.jpg", tmp_path / "gone.png"])
    assert needs.photos == (folder / "broken.jpg",)  # whatever it contains
    needs.check()
    monkeypatch.setattr(on_ray, "check_nodes", lambda ray, needs: needs.check())
    _check_unread(None, [tmp_path / "gone.png"], [True])  # a row with the reason, as without Ray
    with pytest.raises(DataError, match=r"broken.jpg: expected an image that all .* same command again"):
        _check_unread(None, [folder / "broken.jpg"], [True])
    (folder / "broken.jpg").unlink()
    with pytest.raises(
        DataError, match=r"^machine .* of the cluster: expected access to .*broken.jpg, as on"
    ):
        needs.check()


def test_actors_that_fit_on_the_machines():
    class Ray:
        @staticmethod
        def nodes():
            sizes = [(True, 3, 0), (True, 3, 2), (False, 8, 8), (True, 1, 0)]
            return [{"Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus}} for alive, cpus, gpus in sizes]

    found = [
        OnRay(None, {}, cpus=cpus)._copies(Ray, gpus) for cpus, gpus in ((1, False), (2, False), (2, True))
    ]
    assert found == [7, 2, 2]


def test_a_machine_without_credentials_is_named():
    error = StorageError("s3://a/b", expected="credentials", got="none in the environment")
    assert re.search(
        r"cluster: expected access to s3://a/b, as .*, got none \(credentials: none in the environment\)",
        str(unseen(RemoteFile("s3://a/b"), error)),
    )


def test_a_storage_that_a_machine_does_not_reach_is_named():
    error = refusal("s3://a/b", "s3", OSError("Generic S3 error: no route"))
    assert re.search(
        r"cluster: expected access to s3://a/b, as .*, got none \(s3://a/b: cannot be reached \(no route\)\)"
        r"\. Check the network and the address of the server, then",
        str(unseen(RemoteFile("s3://a/b"), error)),
    )


def test_machines_with_other_packages_are_named():
    here = dict(versions())
    assert "committee" in here
    Needs((("committee", here["committee"]), ("absent", "1")), ()).check()
    with pytest.raises(
        DataError, match=r"machine .* of the cluster: expected numpy 0.1, as on the machine that"
    ):
        Needs((("numpy", "0.1"),), ()).check()
    found = str(_own(RuntimeError("ModuleNotFoundError: No module named 'committee'\n at x")))
    assert found.startswith("a machine of the cluster: expected the package 'committee', got none installed.")


def test_errors_of_ray_are_those_of_its_tasks_or_the_first_that_it_names():
    text = (
        "ray::MapWorker()\n  File x\ncommittee.errors.TimeLimitError: vote: expected an answer. Raise it.\n"
    )
    found = _own(RuntimeError(f"{text}\nThe above exception\nray.exceptions.UserCodeException: failed\n"))
    assert isinstance(found, TimeLimitError) and str(found) == "vote: expected an answer. Raise it."
    causes = (
        "committee.images.decode.ImageError: a.png: absent.\n\nThe above exception was the direct cause\n\n"
    )
    found = _own(RuntimeError(f"{causes}{text}"))
    assert str(found) == "vote: expected an answer. Raise it."
    found = _own(RuntimeError("ray::MapWorker()\nRuntimeError: kernel died\nray.exceptions.RayError: x"))
    assert str(found) == "prediction on Ray: got RuntimeError: kernel died."
    assert str(_own(RuntimeError("no\nanswer"))) == "prediction on Ray: got no."
    assert isinstance(_own(RuntimeError()), CommitteeError)
    of_a_task = DataError("a traceback")
    of_a_task.cause = DataError("a sentence")  # as in RayTaskError, which is also an error of this class
    assert _own(of_a_task) is of_a_task.cause

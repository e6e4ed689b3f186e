"""Predictions in numbered Parquet files: whole or absent, continued after a kill, never mixed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from committee.errors import CommitteeError, DataError, UsageError
from committee.inference.answers import Answers
from committee.inference.into_parts import InProcess, predict_parts
from committee.inference.map_rules import ClassMaps, NumberMaps
from committee.inference.part_tables import PartTables
from committee.inference.photos import find_photos
from committee.inference.predict import Prediction
from committee.inference.rules import rule_of
from committee.inference.values import Values
from committee.predictions.target_types import CLASS_MAPS, NUMBERS
from committee.store.lock import HeldError

pytest.importorskip("pyarrow")
from pyarrow import dataset, parquet


class Brightness:
    """A predictor that returns the mean of each image, and counts the images."""

    name, class_names, channels, provenance = "brightness", ("dark", "light"), 1, {}
    canvases = ((8, "squash", 1),)

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, images):
        self.seen += len(images)
        light = images.mean((1, 2, 3)) / 255
        return np.stack([1 - light, light], 1).astype(np.float32)


@pytest.fixture
def photos(tmp_path) -> Path:
    """Ten photos, the k-th as bright as 20 k, and a broken one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(10):
        Image.new("L", (10, 20), 20 * index).save(folder / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"no photo")
    return folder


def answered(photos, out, model=None, digest="v1", rows=4, **settings):
    """Predict a folder to parts."""
    model = model or Brightness()
    found = find_photos([photos])
    return predict_parts(
        model, found, out, rule_of(model, coverage=None), digest, InProcess(settings), rows=rows
    )


def rows_of(folder) -> list[dict]:
    return dataset.dataset(str(folder), format="parquet").to_table().to_pylist()


def test_parts_have_the_rows_of_all_images_in_order(photos, tmp_path):
    report = answered(photos, tmp_path / "out", batch_size=3)
    assert (report.images, report.new, report.failed, report.parts) == (11, 11, 1, 3)
    rows = rows_of(tmp_path / "out")
    assert list(rows[0]) == ["id", "prediction", "dark", "light", "error", "model"]
    assert [row["id"] for row in rows] == sorted(path.as_posix() for path in photos.iterdir())
    assert [row["light"] for row in rows[:10]] == pytest.approx([20 * index / 255 for index in range(10)])
    broken = rows[10]
    assert broken["light"] is None and broken["model"] == "brightness"
    assert broken["error"].endswith(
        "expected a JPEG, PNG or WebP image, got something else. Replace it or leave it out."
    )


def test_only_what_is_missing_or_damaged_is_predicted_again(photos, tmp_path, caplog):
    out, model = tmp_path / "out", Brightness()
    answered(photos, out)
    assert answered(photos, out, model).new == model.seen == 0
    (out / "part-00001.parquet").unlink()
    part = out / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:100])
    report = answered(photos, out, model, rows=9)  # the folder keeps its own number of rows
    assert (report.new, report.failed, report.parts, model.seen) == (8, 1, 3, 8)
    assert "written again, since it is damaged" in caplog.text
    assert len(rows_of(out)) == 11


def _rewrite(photos, out):
    Image.new("L", (10, 20), 7).save(photos / "3.png")


def _foreign_part(photos, out):
    parquet.write_table(parquet.read_table(out / "part-00000.parquet").slice(1), out / "part-00001.parquet")


CHANGES = {
    "another version of the model": (
        lambda photos, out: None,
        "v2",
        "this version of the model, got those of",
    ),
    "another image": (lambda photos, out: (photos / "3.png").rename(photos / "33.png"), "v1", "others"),
    "a changed image": (
        _rewrite,
        "v1",
        "expected predictions of these images, got those of images that have",
    ),
    "fewer images": (lambda photos, out: (photos / "3.png").unlink(), "v1", "expected 10 images, got 11"),
    "another part": (_foreign_part, "v1", "part 1 of the predictions that _manifest.json describes"),
    "a table": (lambda photos, out: (out / "x.parquet").touch(), "v1", "no Parquet files beside its parts"),
    "a broken manifest": (lambda photos, out: (out / "_manifest.json").write_text("{"), "v1", "a manifest"),
    "no manifest": (lambda photos, out: (out / "_manifest.json").unlink(), "v1", "an empty folder, or one"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_of_something_else_is_refused(change, photos, tmp_path):
    out = tmp_path / "out"
    answered(photos, out)
    before = {path.name: path.read_bytes() for path in out.glob("part-00000*")}
    act, digest, message = CHANGES[change]
    act(photos, out)
    with pytest.raises(DataError, match=message) as caught:
        answered(photos, out, digest=digest)
    assert str(caught.value).endswith("Give another folder, or remove this one.")
    assert before == {path.name: path.read_bytes() for path in out.glob("part-00000*")}


def test_a_folder_that_cannot_be_written_and_one_in_use(photos, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="a folder that can be written"):
        answered(photos, tmp_path / "file")
    with pytest.raises(UsageError, match="--rows-per-part: expected a number of at least 1, got 0"):
        answered(photos, tmp_path / "out", rows=0)
    code = (
        f"import time; from committee.store.lock import hold\nwith hold({str(tmp_path / 'used')!r} and "
        f"__import__('pathlib').Path({str(tmp_path / 'used')!r})): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n" or os.name == "nt"
        with pytest.raises(HeldError, match="no other process that predicts to it"):
            answered(photos, tmp_path / "used")
        process.kill()


def test_a_killed_run_continues_without_losing_or_repeating_a_row(photos, tmp_path):
    program = textwrap.dedent("""
        import sys, time
        import numpy as np
        from committee.inference.photos import find_photos
        from committee.inference.into_parts import InProcess, predict_parts
        from committee.inference.rules import rule_of
        class Slow:
            name, class_names, channels, provenance = "brightness", ("dark", "light"), 1, {}
            canvases = ((8, "squash", 1),)
            def __call__(self, images):
                time.sleep(0.05)
                light = images.mean((1, 2, 3)) / 255
                return np.stack([1 - light, light], 1).astype(np.float32)
        photos = find_photos([sys.argv[1]])
        from committee.inference import into_parts as module
        module.AT_ONCE = 1
        model = Slow()
        rule = rule_of(model, coverage=None)
        predict_parts(model, photos, sys.argv[2], rule, "v1", InProcess({"batch_size": 1}), rows=2)
    """)
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", program, photos, out]) as process:
        while not (out / "part-00001.parquet").exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGKILL)
    done = len(list(out.glob("part-*.parquet")))
    assert 2 <= done < 6
    report = answered(photos, out)
    assert report.new == 11 - 2 * done
    answered(photos, tmp_path / "whole")
    assert rows_of(out) == rows_of(tmp_path / "whole")
    assert not list(out.glob(".part*"))


def test_images_and_parts_behind_urls(photos, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    memory, root = fsspec.filesystem("memory"), f"/{tmp_path.name}"
    hostile = ["a b.png", "x#y?.png", "100%.png", "ü/é.PNG", "new\nline.png", "[1].png", "=1+1.png"]
    for name in hostile:
        memory.pipe_file(f"{root}/photos/{name}", (photos / "5.png").read_bytes())
    for name in ("notes.txt", ".hidden/a.png", "folder/"):
        memory.pipe_file(f"{root}/photos/{name}", b"")
    base = f"memory:/{root}"
    report = answered(f"{base}/photos", f"{base}/out")
    assert (report.images, report.failed) == (7, 0)
    assert answered(f"{base}/photos", f"{base}/out").new == 0
    rows = [
        row
        for name in sorted(memory.ls(f"{root}/out", detail=False))
        if name.endswith(".parquet")
        for row in parquet.read_table(memory.open(name)).to_pylist()
    ]
    assert [row["id"] for row in rows] == sorted(f"{base}/photos/{name}" for name in hostile)
    assert {row["light"] for row in rows} == {np.float32(100 / 255)}
    memory.pipe_file(f"{root}/photos/a b.png", (photos / "6.png").read_bytes())
    with pytest.raises(DataError, match="images that have changed"):
        answered(f"{base}/photos", f"{base}/out")


@pytest.mark.parametrize(
    ("rule", "row", "expected"),
    [
        (
            Answers(["cat", "dog"], limit=0.75, coverage=0.9),
            [0.5, 0.5],
            {"prediction": "cat", "prediction_set": ["cat", "dog"], "cat": 0.5, "dog": 0.5},
        ),
        (
            Answers(["error", "map"], abstain_below=0.9),
            [0.5, 0.5],
            {"prediction": None, "class:error": 0.5, "class:map": 0.5},
        ),
        (Values(["ink"], reach=[0.25], coverage=0.9), [2.0], {"ink": 2.0, "ink low": 1.75, "ink high": 2.25}),
        (Values(["ink"], stds=["std"], show_std=True), [[2.0, 0.5]], {"ink": 2.0, "ink_std": 0.5}),
    ],
)
def test_typed_columns_of_each_rule(rule, row, expected):
    model = Brightness()
    if isinstance(rule, Values):
        model.target_type = NUMBERS
    table = PartTables(model, rule, "m").of(
        [Prediction("a", np.array(row, np.float32)), Prediction("b", None, "broken")]
    )
    first, second = table.to_pylist()
    assert first == {"id": "a", **expected, "error": None, "model": "m"}
    assert second == dict.fromkeys(first) | {"id": "b", "error": "broken", "model": "m"}


def test_maps_are_files_in_their_rows():
    model = Brightness()
    model.target_type = CLASS_MAPS
    maps = np.array([[[0.75, 0.25]], [[0.25, 0.75]]], np.float32)
    (row,) = PartTables(model, ClassMaps(model.class_names)).of([Prediction("a", maps)]).to_pylist()
    assert row["map"].startswith(b"\x89PNG") and row["share of dark"] == 0.5 and row["width"] == 2
    rule = NumberMaps(["depth"])
    assert len(rule.types()) == len(rule.header()) == len(rule.typed(maps[:1]))


def test_storages_that_refuse(tmp_path, object_storage):
    client = object_storage
    for name in ("a.png", "b.txt"):
        client.put_object(Bucket="photos", Key=f"scans/{name}", Body=b"x")
    client.put_object(Bucket="photos", Key="twice//a.png", Body=b"x")
    (found,) = find_photos(["s3://photos/scans"])
    assert found.url == "s3://photos/scans/a.png" and found.version
    messages = {
        "s3://photos/none": "s3://photos/none: the file or folder does not exist.",
        "s3://photos/scans/b.txt/": "does not exist",
        "s3://absent/scans": "s3://absent/scans: expected a bucket that exists, got none of this name. "
        "Create it, or correct the address.",
        "s3://photos/twice": "expected names without empty parts",
        "nowhere://photos": "nowhere://: expected one of s3, s3a,",
    }
    for url, message in messages.items():
        with pytest.raises(CommitteeError) as caught:
            find_photos([url])
        assert message in str(caught.value)
    with pytest.raises(CommitteeError, match="expected a bucket that exists"):
        answered("s3://photos/scans", "s3://absent/answers")
    report = answered("s3://photos/scans", "s3://photos/answers")
    assert (report.images, report.failed) == (1, 1)


def test_without_credentials_the_storage_is_named(object_storage, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # The service that gives the machines of a cloud their credentials.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        CommitteeError, match=r"^s3://hidden: expected credentials, got none in the environment"
    ):
        find_photos(["s3://hidden/a"])


def test_options_that_need_others(cli, tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    for words, message in {
        ("--executor", "ray"): "--executor ray: expected --parquet FOLDER as well",
        ("--rows-per-part", 3): "--rows-per-part: expected --parquet as well",
        ("--address", "a:1"): "--address: expected --executor ray as well",
        ("--cpus", 2, "--parquet", "x"): "--cpus: expected --executor ray as well",
        ("--parquet", "x", "--executor", "ray", "--stream"): "--stream: expected a model that each machine",
        ("--parquet", "x", "--executor", "ray", "--cpus", 0): "--cpus: expected a number of at least 1",
        ("--parquet", "x", "--executor", "ray", "--engine", "onnxruntime", "--set", "device=cuda"): (
            "--engine onnxruntime: expected --set device=cpu with --executor ray"
        ),
    }.items():
        said = cli("predict", "model.onnx", tmp_path, *words)
        assert said.code == 2 and message in said.err

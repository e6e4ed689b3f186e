"""Data workers: an image that crashes one is tried again, then left out; interrupts end all workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from committee.errors import DataError
from committee.images import workers as module
from committee.images.canvas_of import squares_of
from committee.images.dataset import open_dataset
from committee.images.decode import decode
from committee.images.workers import Workers, WorkersFailed

pytestmark = pytest.mark.slow

FATAL = """
import os, signal, sys, time
from pathlib import Path
import committee.images.decoder as decoder

decode = decoder.decode

def fatal(source, channels):
    name = Path(source).name if isinstance(source, Path) else ""
    first = source.with_suffix(".seen") if "once" in name else None
    if first and first.exists():
        return decode(source, channels)
    if first:
        first.touch()
    if "kill" in name:
        os.kill(os.getpid(), signal.SIGKILL) if hasattr(signal, "SIGKILL") else os._exit(9)
    if "hang" in name:
        Path(source).with_suffix(".pid").write_text(str(os.getpid()))
        time.sleep(600)
    return decode(source, channels)

decoder.decode = fatal
decoder.main()
"""
DEATH = "exit code 9" if sys.platform == "win32" else "signal 9"


@pytest.fixture
def fatal(monkeypatch):
    """Workers that crash on files named `kill...` and hang on `hang...`; with `...once`, only once."""
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", FATAL))


@pytest.fixture
def root(make_folder) -> Path:
    return make_folder("root", {"cat": 150, "dog": 150})


def said(error, workers: Workers, image: Path, name: str) -> str:
    with pytest.raises(error) as caught:
        workers.decode(image, 1, name)
    return str(caught.value)


def test_they_decode_as_this_process_does(photos, make_folder, tmp_path):
    root = make_folder("root", {"images": 3})
    with Workers(2) as workers:
        for path in sorted(root.rglob("*.png")):
            for channels in (1, 3):
                pixels = workers.decode(path, channels, "x")
                assert np.array_equal(pixels, decode(path, channels)) and pixels.flags.writeable
                assert np.array_equal(workers.decode(path.read_bytes(), channels, "x"), pixels)
                kinds = [(5, "crop"), (9, "pad"), (3, "squash")]
                (name, found), (own, expected) = (
                    workers.squares(path, channels, "x", kinds),
                    squares_of(pixels, kinds),
                )
                assert name == own and all(map(np.array_equal, found, expected))
        (tmp_path / "no.png").write_bytes(b"GIF89a")
        assert said(DataError, workers, tmp_path / "no.png", "a\nb.png") == (
            "a\\nb.png: expected a JPEG, PNG or WebP image, got a GIF image. Replace it or leave it out."
        )


def test_they_need_no_torch(tmp_path):
    code = "import sys, committee.images.decoder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.usefixtures("fatal")
def test_what_ends_a_worker_is_tried_once_more_and_then_named(make_folder, tmp_path, monkeypatch):
    root = make_folder("root", {"images": 1})
    good = (root / "images" / "0.png").read_bytes()
    for name in ("kill.png", "kill_once.png", "hang.png"):
        (tmp_path / name).write_bytes(good)
    with Workers(1, patience=1, most_crashes=2) as workers:
        assert said(DataError, workers, tmp_path / "kill.png", "a/kill.png") == (
            "a/kill.png: expected a JPEG, PNG or WebP image, "
            f"got an image that crashed its process ({DEATH}) twice. Replace it or leave it out."
        )
        assert workers.decode(tmp_path / "kill_once.png", 1, "once").shape == (1, 8, 8)
        assert said(DataError, workers, tmp_path / "hang.png", "a/hang.png") == (
            "a/hang.png: expected a JPEG, PNG or WebP image, "
            "got an image that took more than 1 seconds twice. "
            "Replace it or leave it out."
        )
        assert said(WorkersFailed, workers, tmp_path / "kill.png", "again") == (
            f"data workers: expected at most 2 images that crash a worker, got one more: "
            f"again crashed its process ({DEATH}). "
            "Check memory and disk, or use fewer workers: --set dataset.num_workers=1"
        )


def test_workers_that_do_not_start(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", "raise SystemExit(3)"))
    with Workers(2) as workers:
        assert said(WorkersFailed, workers, tmp_path / "a.png", "a.png") == (
            "data workers: expected processes that start, "
            "got one that crashed its process (exit code 3). "
            "Decode in this process: --set dataset.num_workers=0"
        )


@pytest.mark.usefixtures("fatal")
def test_a_data_set_goes_on_without_what_kills_workers(root, settings, store):
    (root / "cat" / "7.png").rename(root / "cat" / "kill.png")
    (root / "dog" / "7.png").rename(root / "dog" / "kill_once.png")
    with_workers = open_dataset(settings(root, num_workers=2), store, img_sizes=[6], folds=2, seed=0)
    assert with_workers.quarantined == {"cat/kill.png": f"an image that crashed its process ({DEATH}) twice"}
    assert len(with_workers.labels) == 299 and "dog/kill_once.png" in with_workers.sample_ids


INTERRUPTED = """
import sys
from committee.images import workers
from committee.images.canvas_of import squares_of
from committee.images.dataset import open_dataset
from committee.recipe.dataset import Dataset
from committee.store.layout import Store

if __name__ == "__main__":
    workers.COMMAND = (sys.executable, "-c", open("fatal.py").read())
    try:
        settings = Dataset(path="root", num_workers=2)
        open_dataset(settings, Store("store"), img_sizes=[6], folds=2, seed=0)
    except KeyboardInterrupt:
        sys.exit(130)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a group of processes")
def test_ctrl_c_ends_all_at_once(root, tmp_path):
    (root / "cat" / "7.png").rename(root / "cat" / "hang.png")
    (tmp_path / "fatal.py").write_text(FATAL, encoding="utf-8")
    run = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], cwd=tmp_path, start_new_session=True, stderr=subprocess.PIPE
    )
    pid = root / "cat" / "hang.pid"
    deadline = time.monotonic() + 240
    while not (pid.exists() and pid.read_text()):
        assert time.monotonic() < deadline and run.poll() is None
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGINT)
    # The image would take ten minutes.
    assert run.wait(120) == 130, run.stderr
    assert run.stderr is not None and run.stderr.read() == b""
    run.stderr.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert not list((tmp_path / "store" / "cache").iterdir())

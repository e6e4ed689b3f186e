import errno
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from committee.errors import StoreError
from committee.store.commit import commit, remove, replacing, sweep, write_file, write_json
from committee.store.lock import hold
from committee.store.manifest import NEW, OLD, is_done, read_manifest


def put(folder: Path, text: str) -> None:
    with commit(folder, kind="thing", fingerprint=text) as new:
        (new / "sub").mkdir()
        (new / "sub" / "a.txt").write_text(text, encoding="utf-8")


def held(folder: Path) -> str | None:
    if not folder.exists():
        return None
    read_manifest(folder)
    return (folder / "sub" / "a.txt").read_text(encoding="utf-8")


def text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def leavings(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.endswith((NEW, OLD))]


def test_a_committed_folder_is_complete_and_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "deep" / "thing"
    put(folder, "one")
    put(folder, "two")
    assert held(folder) == "two"
    assert read_manifest(folder).fingerprint == "two"
    assert leavings(tmp_path) == []


def test_a_failed_block_leaves_what_was_there(tmp_path):
    put(tmp_path / "thing", "one")
    with (
        pytest.raises(ValueError, match="embedded null"),
        commit(tmp_path / "thing", kind="x", fingerprint=""),
    ):
        open("\0")  # noqa: PTH123, SIM115
    assert held(tmp_path / "thing") == "one"
    assert leavings(tmp_path) == []


def test_other_errors_of_the_block_pass_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), commit(tmp_path / "thing", kind="x", fingerprint="") as new:
        (new / "none").read_text(encoding="utf-8")


def make_folder(root: Path, text: str) -> None:
    put(root / "deep" / "er" / "thing", text)


def make_file(root: Path, text: str) -> None:
    write_file(root / "deep" / "er" / "a.txt", text.encode())


def in_folder(root: Path) -> str | None:
    return held(root / "deep" / "er" / "thing")


def in_file(root: Path) -> str | None:
    return text_of(root / "deep" / "er" / "a.txt")


WRITERS = {"folder": (make_folder, in_folder), "file": (make_file, in_file)}
Stop = Callable[..., None]


def every_stop(tmp_path, watched, work: Callable[[Path], None], prepare: Callable[[Path], None]):
    """Yield a folder for each call to the file system in `work`, with `work` stopped at this call."""
    for at in range(1000):
        root = tmp_path / str(at)
        root.mkdir()
        with watched():
            prepare(root)
        done = False
        with watched(stop=at) as disk:
            work(root)
            done = True
        yield root, done, disk
        if done:
            return
    raise AssertionError("it never ends")


@pytest.mark.parametrize("lost", ["nothing", "all that was not flushed", "all names but one"])
@pytest.mark.parametrize("before", [None, "one"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_stop_at_any_call_leaves_the_old_or_the_new(tmp_path, watched, writer, before, lost):
    make, look = WRITERS[writer]
    count = 0
    for root, done, disk in every_stop(
        tmp_path, watched, lambda root: make(root, "two"), lambda root: before and make(root, before)
    ):
        if lost != "nothing":
            disk.cut_power(root, kept=int(lost == "all names but one"))
        sweep(root)
        assert look(root) in ({"two"} if done else {before, "two"}), disk.calls[-1]
        assert leavings(root) == []
        count += 1
    assert count > (12 if writer == "folder" else 5)


@pytest.mark.parametrize("before", [None, "one"])
def test_a_sweep_that_is_stopped_at_any_call_is_finished_by_the_next(tmp_path, watched, before):
    count = 0
    for at in range(100):
        stopped_all = True
        for again in range(100):
            root = tmp_path / f"{at}-{again}"
            root.mkdir()
            with watched():
                if before:
                    make_folder(root, before)
            with watched(stop=at):
                make_folder(root, "two")
                stopped_all = False
            swept = False
            with watched(stop=again):
                sweep(root)
                swept = True
            sweep(root)
            assert in_folder(root) in {before, "two"}
            assert leavings(root) == []
            count += 1
            if swept:
                break
        if not stopped_all:
            break
    assert count > (60 if before else 30)


def test_a_removal_that_is_stopped_takes_all_or_nothing(tmp_path, watched):
    for root, done, _ in every_stop(
        tmp_path, watched, lambda root: remove(root / "thing"), lambda root: put(root / "thing", "one")
    ):
        sweep(root)
        assert held(root / "thing") in ({None} if done else {None, "one"})
        assert leavings(root) == []
    remove(tmp_path / "never" / "there")


def test_a_lock_whose_taker_is_stopped_at_any_call_is_free(tmp_path, watched):
    def work(root: Path) -> None:
        with hold(root / "store"):
            pass

    for root, _, _ in every_stop(tmp_path, watched, work, lambda root: None):
        with hold(root / "store"):
            assert (root / "store" / ".lock").stat().st_size > 50


FULL = (
    r": expected more disk space, got no space left on device \([\d.]+ MB free, \d+ bytes written\)\. "
    r"Results stored before are intact: free some space, then run the same command again\."
)
LOCKED = (
    r": not writable \(read-only file system\)\. "
    r"Results stored before are intact: make it writable, or name another folder with --store\."
)
FAILING = (
    r": not writable \(input/output error\)\. Results stored before are intact: "
    r"check the disk, then run the same command again\."
)


@pytest.mark.skipif(sys.platform != "linux", reason="the system's words are its own")
@pytest.mark.parametrize(("code", "said"), [("ENOSPC", FULL), ("EROFS", LOCKED), ("EIO", FAILING)])
@pytest.mark.parametrize("before", [None, "one"])
@pytest.mark.parametrize("writer", WRITERS)
def test_an_error_of_the_disk_at_any_call_harms_nothing(tmp_path, watched, writer, before, code, said):
    make, look = WRITERS[writer]
    number = getattr(errno, code)
    raised = 0
    for at in range(1000):
        root = tmp_path / str(at)
        root.mkdir()
        with watched():
            if before:
                make(root, before)
        error = OSError(number, os.strerror(number))
        try:
            with watched(fail=at, error=error) as disk:
                make(root, "two")
        except StoreError as caught:
            assert re.fullmatch(str(root) + r"/[\w/.]+" + said, str(caught)), str(caught)  # noqa: PT017
            # A single file whose last flush failed is new and complete; only a power failure may undo it.
            assert look(root) == before or (writer == "file" and look(root) == "two")
            raised += 1
        else:
            assert look(root) == "two"
            sweep(root)
        assert leavings(root) == []
        if len(disk.calls) <= at:
            break
    assert raised > 5


def numpy_array(new: Path) -> None:
    np.save(new / "a.npy", np.zeros(300_000, np.float64))


def safe_tensors(new: Path) -> None:
    save_file({"a": torch.zeros(300_000, dtype=torch.float64)}, new / "a.safetensors")


def text_file(new: Path) -> None:
    (new / "a.txt").write_text("x" * 2_400_000, encoding="utf-8")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, if this user may mount one."""
    place = tmp_path / "small"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("no right to mount a small file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("fill", [numpy_array, safe_tensors, text_file])
def test_a_disk_that_is_really_full(small_disk, fill):
    put(small_disk / "thing", "one")
    with pytest.raises(StoreError) as caught, commit(small_disk / "thing", kind="x", fingerprint="") as new:
        fill(new)
    assert re.fullmatch(
        rf"{small_disk}/thing: expected (2\.4 MB of disk space, got 1\.\d MB|more disk space, got "
        r"no space left on device \([\d.]+ \w+ free, [\d.]+ \w+ written\))\. "
        r"Results stored before are intact: free some space, then run the same command again\.",
        str(caught.value),
    ), str(caught.value)
    assert held(small_disk / "thing") == "one"
    assert leavings(small_disk) == []


def test_a_file_that_does_not_fit_says_how_large_it_is(small_disk):
    write_file(small_disk / "a", b"old")
    with pytest.raises(StoreError) as caught:
        write_file(small_disk / "a", bytes(3_000_000))
    assert str(caught.value).startswith(
        f"{small_disk / 'a'}: expected 3.0 MB of disk space, got 1.0 MB. Results"
    )
    assert (small_disk / "a").read_bytes() == b"old"


def test_errors_of_files_that_are_elsewhere_pass(tmp_path):
    with pytest.raises(PermissionError), commit(tmp_path / "s" / "thing", kind="x", fingerprint=""):
        raise PermissionError(errno.EACCES, "no", str(tmp_path / "photo.jpg"))


def test_sweep_puts_the_old_back_when_the_new_is_damaged(tmp_path):
    put(tmp_path / "thing", "one")
    (tmp_path / "thing").rename(tmp_path / f".thing.abcd{OLD}")
    half = tmp_path / f".thing.abcd{NEW}"
    half.mkdir()
    (half / "manifest.json").write_text("{", encoding="utf-8")
    sweep(tmp_path)
    assert held(tmp_path / "thing") == "one"


def test_sweep_finishes_a_replacement_whose_last_rename_is_missing(tmp_path):
    put(tmp_path / "thing", "one")
    put(tmp_path / "other", "two")
    (tmp_path / "thing").rename(tmp_path / f".thing.abcd{OLD}")
    (tmp_path / "other").rename(tmp_path / f".thing.abcd{NEW}")
    sweep(tmp_path)
    assert held(tmp_path / "thing") == "two"


def test_sweep_leaves_a_store_inside_to_its_own_holder(tmp_path):
    inner = tmp_path / "debug_tmp" / "run_1"
    with hold(inner):
        for folder in (tmp_path, inner):
            (folder / f".x.abcd{NEW}").mkdir()
        sweep(tmp_path)
        assert leavings(tmp_path) == [inner / f".x.abcd{NEW}"]


def test_sweep_follows_no_link(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "store").mkdir()
    try:
        (tmp_path / "store" / f".x.abcd{NEW}").symlink_to(tmp_path / "outside", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    sweep(tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []
    assert (tmp_path / "outside" / "mine.txt").exists()


KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from committee.store.commit import commit, sweep, write_file
from committee.store.lock import hold
from committee.store.manifest import read_manifest

root, rounds = Path(sys.argv[1]), int(sys.argv[2])
draw, last, promised = random.Random(0), 0, 0
for _ in range(rounds):
    inlet, outlet = os.pipe()
    writer = os.fork()
    if writer == 0:
        number = last
        while True:
            number += 1
            with hold(root):
                with commit(root / "things" / "thing", kind="x", fingerprint=str(number)) as new:
                    (new / "a.bin").write_bytes(bytes([number % 256]) * 200_000)
                write_file(root / "number", str(number).encode())
            os.write(outlet, b"x")
    # At most three commits after the last one that was reported.
    known, start = 0, time.monotonic()
    for _ in range(draw.randrange(1, 3)):
        known += len(os.read(inlet, 1))
    took = (time.monotonic() - start) / known
    time.sleep(draw.uniform(0, 3 * took))
    os.kill(writer, signal.SIGKILL)
    os.waitpid(writer, 0)
    os.close(outlet)
    known += len(os.read(inlet, 1 << 16))
    before, promised = last, last + known if known else promised
    os.close(inlet)
    with hold(root):
        sweep(root)
    assert not [path for path in root.rglob(".*") if path.name.endswith("~")]
    if (root / "things" / "thing").exists():
        last = int(read_manifest(root / "things" / "thing").fingerprint)
    whole = int((root / "number").read_text()) if (root / "number").exists() else 0
    assert last - before - known in (0, 1), (before, known, last)
    assert promised <= whole <= last, (promised, whole, last)
print(last)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, no SIGKILL")
def test_a_writer_killed_at_random_moments_leaves_a_readable_store(tmp_path):
    command = [sys.executable, "-c", KILLER, str(tmp_path), "40"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert said.returncode == 0, said.stderr
    assert int(said.stdout) >= 40


def test_a_file_is_written_whole(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"é": [1, 2.5]})
    assert (tmp_path / "a" / "b.json").read_text(encoding="utf-8") == '{\n "é": [\n  1,\n  2.5\n ]\n}\n'
    write_file(tmp_path / "a" / "b.json", b"new")
    assert (tmp_path / "a" / "b.json").read_bytes() == b"new"
    assert leavings(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with replacing(pipe) as place:
        assert place == pipe
    assert pipe.is_fifo()


def test_a_commit_whose_last_flush_fails_is_not_there(tmp_path, watched):
    put(tmp_path / "thing", "one")
    with watched() as disk:
        put(tmp_path / "thing", "two")
    flushes = [index for index, call in enumerate(disk.calls) if call.startswith("fsync")]
    with pytest.raises(StoreError), watched(fail=flushes[-1], error=OSError(errno.EIO, "failing")):
        put(tmp_path / "thing", "three")
    assert held(tmp_path / "thing") == "two"
    assert not is_done(tmp_path / "thing", "three")

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from committee.errors import StoreError
from committee.store import commit as module
from committee.store.commit import NEW, OLD, commit, sweep, write_file, write_json
from committee.store.manifest import read_manifest


def put(folder: Path, text: str) -> None:
    with commit(folder, kind="thing", made_from=text) as new:
        (new / "sub").mkdir()
        (new / "sub" / "a.txt").write_text(text, encoding="utf-8")


def held(folder: Path) -> str:
    read_manifest(folder)
    return (folder / "sub" / "a.txt").read_text(encoding="utf-8")


def leavings(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.endswith((NEW, OLD))]


def test_a_committed_folder_is_complete_and_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "deep" / "thing"
    put(folder, "one")
    put(folder, "two")
    assert held(folder) == "two"
    assert read_manifest(folder).made_from == "two"
    assert leavings(tmp_path) == []


def test_a_failed_block_leaves_what_was_there(tmp_path):
    put(tmp_path / "thing", "one")
    with pytest.raises(ValueError, match="embedded null"), commit(tmp_path / "thing", kind="x", made_from=""):
        open("\0")  # noqa: PTH123, SIM115
    assert held(tmp_path / "thing") == "one"
    assert leavings(tmp_path) == []


def test_a_full_disk_is_said_and_harms_nothing(tmp_path, monkeypatch):
    put(tmp_path / "thing", "one")

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(module, "_flush", full)
    with pytest.raises(StoreError) as caught:
        put(tmp_path / "thing", "two")
    assert str(caught.value) == (
        f"{tmp_path / 'thing'}: expected a disk that takes the file, got {os.strerror(errno.ENOSPC)}. "
        "What was stored before is intact: free or unlock the disk, then run it again."
    )
    monkeypatch.undo()
    assert held(tmp_path / "thing") == "one"
    assert leavings(tmp_path) == []


def test_other_errors_of_the_block_pass_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), commit(tmp_path / "thing", kind="x", made_from="") as new:
        (new / "none").read_text(encoding="utf-8")


@pytest.mark.parametrize("call", range(12))
@pytest.mark.parametrize("before", [None, "one"])
def test_a_stop_at_any_step_leaves_the_old_or_the_new(tmp_path, monkeypatch, call, before):
    """The writer vanishes at its n-th call to the system: what a SIGKILL does, without its unwinding."""
    if before:
        put(tmp_path / "thing", before)

    class Killed(BaseException):
        pass

    calls = iter(range(1000))

    def counted(real):
        def step(*args, **kwargs):
            if next(calls) >= call:  # a dead process does nothing further, not even tidy up
                raise Killed
            return real(*args, **kwargs)

        return step

    monkeypatch.setattr(module, "_flush", counted(module._flush))
    monkeypatch.setattr(module, "list_files", counted(module.list_files))
    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(Path, "mkdir", counted(Path.mkdir))
    monkeypatch.setattr(module.shutil, "rmtree", lambda *args, **kwargs: None)
    done = False
    try:
        put(tmp_path / "thing", "two")
        done = True
    except Killed:
        pass
    monkeypatch.undo()
    sweep(tmp_path)
    if (tmp_path / "thing").exists():
        assert held(tmp_path / "thing") in ({"two"} if done else {before, "two"})
    else:
        assert before is None and not done
    assert leavings(tmp_path) == []


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


WRITER = """
import sys
from pathlib import Path
from committee.store.commit import commit
n = 0
while True:
    n += 1
    with commit(Path(sys.argv[1]) / "thing", kind="x", made_from=str(n)) as new:
        (new / "a.bin").write_bytes(bytes([n % 256]) * 200_000)
    print(n, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize("delay", [0.0, 0.003, 0.011, 0.024])
def test_a_killed_writer_leaves_a_readable_store(tmp_path, delay):
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        for _ in range(3):
            last = int(writer.stdout.readline())
        time.sleep(delay)
        writer.kill()
        last = max([last, *(int(line) for line in writer.stdout)])
    sweep(tmp_path)
    manifest = read_manifest(tmp_path / "thing")
    assert int(manifest.made_from) >= last
    assert leavings(tmp_path) == []


def test_a_file_is_written_whole(tmp_path):
    write_json(tmp_path / "a" / "b.json", {"é": [1, 2.5]})
    assert (tmp_path / "a" / "b.json").read_text(encoding="utf-8") == '{\n "é": [\n  1,\n  2.5\n ]\n}\n'
    write_file(tmp_path / "a" / "b.json", b"new")
    assert (tmp_path / "a" / "b.json").read_bytes() == b"new"
    assert leavings(tmp_path) == []

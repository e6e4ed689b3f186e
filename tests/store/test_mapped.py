"""Files that are mapped for writing have their disk space before the first write to memory."""

import ast
import errno
import os
from pathlib import Path

import numpy as np
import pytest

import committee
from committee.errors import StoreError
from committee.store.commit import commit
from committee.store.mapped import create_array


def no_allocation(handle: int, start: int, size: int) -> None:
    raise OSError(errno.EOPNOTSUPP, "not supported")


@pytest.mark.parametrize("shape", [(3, 5), (0, 5), (1000, 300)])
@pytest.mark.parametrize("allocates", [True, False])
def test_all_blocks_are_allocated(tmp_path, monkeypatch, shape, allocates) -> None:
    if not allocates:
        monkeypatch.setattr(os, "posix_fallocate", no_allocation, raising=False)
    array = create_array(tmp_path / "a.npy", shape, np.float32)
    stored = (tmp_path / "a.npy").stat()
    if hasattr(stored, "st_blocks"):
        assert stored.st_blocks * 512 >= array.nbytes
    assert not array.any()
    array[...] = np.arange(array.size).reshape(shape)
    array.flush()
    assert np.array_equal(np.load(tmp_path / "a.npy"), array)


def test_a_full_disk_is_an_error_with_numbers(tmp_path, monkeypatch) -> None:
    def full(handle: int, start: int, size: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with (
        pytest.raises(StoreError, match="disk space, got") as caught,
        commit(tmp_path / "place", kind="example", fingerprint="1") as folder,
    ):
        create_array(folder / "a.npy", (3, 5), np.float32)
    assert "Results stored before are intact: free some space" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_no_other_file_is_mapped_for_writing() -> None:
    """`open_memmap` creates files with holes, and so does `np.memmap` in every mode but reading."""
    writers = []
    for path in Path(committee.__file__).parent.rglob("*.py"):
        for call in (
            node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
        ):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            modes = [
                each.value
                for each in (*call.args, *(key.value for key in call.keywords))
                if isinstance(each, ast.Constant)
            ]
            maps = name in ("memmap", "mmap", "load") and {"w+", "r+"} & {str(mode) for mode in modes}
            if name == "open_memmap" or maps:
                writers.append(path.name)
    assert writers == ["mapped.py"]

import contextlib
import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from committee.untrusted import growth
from committee.untrusted.npy import load_npy, load_npz


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def lying(shape: str, kind: str = "<f8", data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = len(header).to_bytes(2 if version == b"\1\0" else 4, "little")
    return b"\x93NUMPY" + version + length + header + data


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


def refused(path: Path) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        (load_npz if path.suffix == ".npz" else load_npy)(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.array("x"),
        np.zeros((0, 3)),
        np.array(["é", ""]),
        np.asfortranarray(np.eye(3)),
        np.array([True]),
        np.array([b"x"]),
    ],
)
def test_what_numpy_writes_is_read(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.savez_compressed(tmp_path / "a.npz", a=array, b=array)
    for found in (load_npy(tmp_path / "a.npy"), load_npz(tmp_path / "a.npz")["b"]):
        assert found.dtype == array.dtype and np.array_equal(found, array)
    if array.size:
        assert np.array_equal(load_npy(tmp_path / "a.npy", mmap=True), array)


def test_an_absent_file_is_absent(tmp_path):
    for load in (load_npy, load_npz):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / "a.npy")


def test_objects_are_not_unpickled(tmp_path):
    canary = np.array([Canary(tmp_path / "ran")], dtype=object)
    (tmp_path / "a.npy").write_bytes(npy(canary))
    archive(tmp_path / "a.npz", a=npy(np.eye(2)), b=npy(canary))
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Canary(tmp_path / "ran")))
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Canary(tmp_path / "ran")))
    for name in ("a.npy", "a.npz", "b.npy", "b.npz"):
        refused(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    np.load(tmp_path / "a.npy", allow_pickle=True)
    assert (tmp_path / "ran").exists()  # the pickle does execute if it is loaded


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lying("(1000000000000,)"), "an array [1000000000000] of 8000000000000 bytes in a file of "),
        (lying("(1000000000000,)", "|S0"), "an array [1000000000000] of 1000000000000 bytes in a file of "),
        (lying("(-1, 4)", data=bytes(64)), "an array [-1, 4] of -32 bytes in a file of "),
        (lying(f"({2**62}, {2**62})"), f"an array [{2**62}, {2**62}] of {8 * 2**124} bytes in a file of "),
        (lying("(2,)", data=bytes(15)), "an array [2] of 16 bytes in a file of "),
        (lying("(2,)", "|O", data=bytes(16)), "Object arrays cannot be loaded when allow_pickle=False"),
        (lying("(1,)", version=b"\2\0") + b" " * 8, None),
        (lying("(2,)", version=b"\3\0"), "version 3.0 of the format"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff", "a header of 4294967295 bytes"),
        (b"\x93NUMPY\1\0\xff\xff", "a header of 65535 bytes"),
        (b"", None),
        (b"\x93NUMPY", None),
        (b"\x93NUMPY\1\0", None),
    ],
)
def test_headers_that_lie_take_no_memory(tmp_path, content, said):
    (tmp_path / "a.npy").write_bytes(content)
    archive(tmp_path / "a.npz", a=content)
    tracemalloc.start()
    if said is None:
        for name in ("a.npy", "a.npz"):
            with contextlib.suppress(ValueError):
                (load_npz if name == "a.npz" else load_npy)(tmp_path / name)
    else:
        said += str(len(content)) if said.endswith(" of ") else ""
        assert refused(tmp_path / "a.npy") == refused(tmp_path / "a.npz") == said
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_zip_bomb_is_refused_unopened(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "HARMLESS", 1_000_000)
    bomb = lying("(250000,)", data=bytes(2_000_000))
    archive(tmp_path / "a.npz", a=bomb)
    size = (tmp_path / "a.npz").stat().st_size
    assert refused(tmp_path / "a.npz") == f"{size} bytes that unpack to {len(bomb)}"


def test_other_archives(tmp_path):
    (tmp_path / "a.npz").write_bytes(npy(np.eye(2)))
    assert refused(tmp_path / "a.npz") == "a single array"
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as file:
        file.writestr("readme.txt", "hello")
    assert "magic string" in refused(tmp_path / "b.npz")


@given(st.sampled_from(["npy", "npz"]), st.binary(max_size=20), st.integers(0, 400))
def test_nothing_but_a_value_error_comes_out_of_bytes(tmp_path_factory, kind, noise, place):
    path = tmp_path_factory.getbasetemp() / f"noise.{kind}"
    if kind == "npy":
        path.write_bytes(npy(np.arange(12.0)))
    else:
        archive(path, a=npy(np.arange(12.0)), b=npy(np.array(["x"])))
    content = path.read_bytes()
    path.write_bytes(content[:place] + noise + content[place + len(noise) // 2 :])
    with contextlib.suppress(ValueError):
        (load_npz if kind == "npz" else load_npy)(path)

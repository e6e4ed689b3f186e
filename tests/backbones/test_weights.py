"""Weights files must match the network, and nothing is unpickled."""

from __future__ import annotations

import contextlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from committee.backbones.base import Architecture, Backbone
from committee.backbones.weights import load_weights, read_weights, strip_prefixes
from committee.errors import DataError


class TinyNet(nn.Module):
    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.head = nn.Linear(4, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(images).mean((2, 3)))


def tiny() -> Backbone:
    return Backbone(TinyNet(), ("head",), Architecture("tiny", "python", "tests:tiny"))


def test_missing_and_unknown_tensors_are_named():
    with pytest.raises(DataError) as caught:
        load_weights(tiny(), {"stem.weight": torch.zeros(4, 3, 1, 1), "neck": torch.zeros(1)}, "w.pth")
    assert str(caught.value) == (
        "w.pth: the tensors do not match tiny (missing 'stem.bias'; unexpected 'neck')."
        " Use weights of this architecture."
    )


def test_shapes_that_differ_are_listed():
    state = {"stem.weight": torch.zeros(8, 3, 1, 1), "stem.bias": torch.zeros(8)}
    with pytest.raises(DataError) as caught:
        load_weights(tiny(), state, "w.pth")
    assert str(caught.value) == (
        "w.pth: expected the shapes of tiny, got 'stem.weight [8, 3, 1, 1] instead of [4, 3, 1, 1]',"
        " 'stem.bias [8] instead of [4]'. Use weights of this architecture."
    )


def test_head_of_other_classes_stays_as_it_was():
    backbone, donor = tiny(), TinyNet(classes=9)
    before = backbone.net.head.weight.clone()
    load_weights(backbone, donor.state_dict(), "w.pth")
    assert torch.equal(backbone.net.head.weight, before)
    assert torch.equal(backbone.net.stem.weight, donor.stem.weight)


def test_weights_without_a_head_will_do():
    backbone, donor = tiny(), TinyNet()
    load_weights(backbone, {k: v for k, v in donor.state_dict().items() if "head" not in k}, "w.pth")
    assert torch.equal(backbone.net.stem.weight, donor.stem.weight)


def test_prefix_comes_off_unless_the_network_has_it():
    assert set(strip_prefixes({"module.net.a": torch.zeros(1)}, ["a"])) == {"a"}
    assert set(strip_prefixes({"net.a": torch.zeros(1)}, ["net.a"])) == {"net.a"}


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.unlink, ("never",))


def test_pickled_object_is_refused(tmp_path: Path):
    path = tmp_path / "trap.pth"
    path.write_bytes(pickle.dumps(Trap(), protocol=2))
    with pytest.raises(DataError) as caught:
        read_weights(path)
    assert str(caught.value) == (
        f"{path}: expected a state dict of tensors (.safetensors, .pt or .pth), got a pickle that is damaged "
        "or contains other objects, and was not executed. "
        "If you trust the file, save its state dict as safetensors."
    )


@pytest.mark.parametrize("content", [b"", b"\x00\x01 no weights"])
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_damaged_file_is_named(content: bytes, suffix: str, tmp_path: Path):
    path = tmp_path / f"w.{suffix}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"expected a state dict of tensors"):
        read_weights(path)


def test_file_of_something_else_is_named(tmp_path: Path):
    torch.save([1, 2], tmp_path / "w.pt")
    with pytest.raises(DataError) as caught:
        read_weights(tmp_path / "w.pt")
    assert str(caught.value) == (
        f"{tmp_path / 'w.pt'}: expected a state dict of tensors (.safetensors, .pt or .pth), got list."
    )


class Canary:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.path,))


def zipped(path: Path, payload: object) -> None:
    torch.save({"stem.weight": torch.zeros(4, 3, 1, 1), "extra": payload}, path)


def legacy(path: Path, payload: object) -> None:
    state = {"stem.weight": torch.zeros(4, 3, 1, 1), "extra": payload}
    torch.save(state, path, _use_new_zipfile_serialization=False)


def tarred(path: Path, payload: object) -> None:
    """The oldest format of torch: pickles in a tar archive."""
    with tarfile.open(path, "w") as archive:
        for name, value in (("storages", 0), ("tensors", 0), ("pickle", payload)):
            content = pickle.dumps(value, protocol=2)
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def bare(path: Path, payload: object) -> None:
    path.write_bytes(pickle.dumps({"stem.weight": payload}, protocol=2))


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.safetensors", "w.npz"])
@pytest.mark.parametrize("write", [zipped, legacy, tarred, bare])
def test_no_payload_runs(write: Callable[[Path, object], None], name: str, tmp_path: Path):
    write(tmp_path / name, Canary(tmp_path / "ran"))
    with pytest.raises(DataError, match=r"expected a state dict of tensors"):
        read_weights(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_the_canary_sings(tmp_path: Path):
    zipped(tmp_path / "w.pt", Canary(tmp_path / "ran"))
    torch.load(tmp_path / "w.pt", weights_only=False)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("write", [zipped, legacy])
def test_old_and_new_files_are_read(write: Callable[[Path, object], None], tmp_path: Path):
    write(tmp_path / "w.pt", torch.ones(2))
    assert {name: list(tensor.shape) for name, tensor in read_weights(tmp_path / "w.pt").items()} == {
        "stem.weight": [4, 3, 1, 1],
        "extra": [2],
    }


def test_the_numbers_of_a_new_file_stay_on_disk_until_they_are_copied(tmp_path: Path):
    torch.save({"stem.weight": torch.zeros(4, 3, 1, 1), "large": torch.zeros(50_000_000)}, tmp_path / "w.pt")
    before = memory_in_files()
    with pytest.raises(DataError) as caught:
        load_weights(tiny(), read_weights(tmp_path / "w.pt"), "w.pt")
    assert memory_in_files() - before < 100
    assert str(caught.value) == (
        "w.pt: the tensors do not match tiny (missing 'stem.bias'; unexpected 'large')."
        " Use weights of this architecture."
    )


def memory_in_files() -> float:
    """Return the memory of this process in megabytes; 0 if the system does not report it."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 / 1e6 if status.exists() else 0.0


def test_a_tensor_that_only_looks_huge_is_refused_by_its_shape(tmp_path: Path):
    """A stride of zero makes petabytes of one number, and grayscale would sum over its channels."""
    huge = torch.zeros(1).expand(10**12, 3, 1, 1)
    torch.save({"stem.weight": huge, "stem.bias": torch.zeros(4)}, tmp_path / "w.pt")
    backbone = tiny()
    backbone.net.stem = nn.Conv2d(1, 4, 1)
    with pytest.raises(
        DataError, match=r"'stem.weight \[1000000000000, 3, 1, 1\] instead of \[4, 1, 1, 1\]'"
    ):
        load_weights(backbone, read_weights(tmp_path / "w.pt"), "w.pt")


@pytest.mark.parametrize("write", [zipped, legacy, tarred, bare])
@given(
    changes=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 5), st.binary(max_size=6)), min_size=1, max_size=4
    )
)
@settings(max_examples=60)
def test_nothing_but_our_error_comes_out_of_a_changed_file(tmp_path_factory, write, changes):
    path = tmp_path_factory.getbasetemp() / "changed.pt"
    write(path, torch.ones(2) if write in (zipped, legacy) else 1)
    content = path.read_bytes()
    for place, gone, new in changes:
        start = int(place * len(content))
        content = content[:start] + new + content[start + gone :]
    path.write_bytes(content)
    with contextlib.suppress(DataError):
        load_weights(tiny(), read_weights(path), "changed.pt")


def test_a_header_of_endless_tensors_is_refused_before_the_library_sees_it(tmp_path: Path, monkeypatch):
    entries = ",".join(f'"{n}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for n in range(21_000))
    header = ("{" + entries + "}").encode()
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    monkeypatch.setattr("safetensors.torch.load_file", None)
    with pytest.raises(DataError) as caught:
        read_weights(tmp_path / "w.safetensors")
    assert str(caught.value) == (
        f"{tmp_path / 'w.safetensors'}: expected a state dict of tensors (.safetensors, .pt or .pth), "
        "got more than 20000 tensors. Save it as safetensors."
    )

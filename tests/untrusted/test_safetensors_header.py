import json
import struct
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from committee.untrusted.safetensors_header import LONGEST_HEADER, MOST_TENSORS, read_header


def write(path: Path, header: bytes | str, data: bytes = b"", length: int | None = None) -> Path:
    content = header.encode() if isinstance(header, str) else header
    path.write_bytes(struct.pack("<Q", len(content) if length is None else length) + content + data)
    return path


def refused(path: Path) -> str:
    with pytest.raises(SafetensorError) as caught:
        read_header(path)
    return str(caught.value)


def is_quick(seconds: float, path: Path) -> bool:
    """Return whether a refusal took less than a second, or on a slow machine a few times the JSON alone."""
    if seconds < 1:
        return True
    start = time.process_time()
    json.loads(path.read_bytes()[8:])
    return seconds < 4 * (time.process_time() - start)


def described(**changes: object) -> dict[str, object]:
    return {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}


def test_what_the_library_writes_is_read(tmp_path):
    kinds = (torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.uint8, torch.float16)
    tensors = {str(kind): torch.zeros(3, 2, dtype=kind) for kind in kinds}
    tensors |= {"none": torch.zeros(0, 4), "one": torch.tensor(1.0)}
    save_file(tensors, tmp_path / "a.safetensors", {"about": "é"})
    header = read_header(tmp_path / "a.safetensors")
    assert header.shapes == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert header.metadata == {"about": "é"}


def test_hundreds_of_thousands_of_tensors_are_refused_within_a_second(tmp_path):
    empty = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    path = write(tmp_path / "a", "{" + ",".join(f'"layer.{index}":{empty}' for index in range(400_000)) + "}")
    start = time.process_time()
    assert refused(path) == f"more than {MOST_TENSORS} tensors"
    assert is_quick(time.process_time() - start, path)


def test_many_names_of_which_the_last_is_there_twice_are_refused_within_a_second(tmp_path):
    names = "".join(f'"{index}":"",' for index in range(500_000))
    path = write(tmp_path / "a", '{"__metadata__":{' + names + '"499999":""}}')
    start = time.process_time()
    assert refused(path) == "the name '499999' twice"
    assert is_quick(time.process_time() - start, path)


@pytest.mark.parametrize(
    ("header", "data", "said"),
    [
        ('{"a":%s,"a":%s}', 8, "the name 'a' twice"),
        ('{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}', 8, "the name 'dtype' twice"),
        ('{"__metadata__":{"a":1}}', 0, "metadata that is not text"),
        ('{"__metadata__":[]}', 0, "metadata that is not text"),
        ("[]", 0, "a header that does not describe tensors"),
        ("{", 0, "a header that is not valid JSON"),
        (b"\xff\xfe", 0, "a header that is not valid JSON"),
        ("[" * 100_000, 0, "a header that is not valid JSON"),
        ('{"a":NaN}', 0, "an invalid description of the tensor 'a'"),
        ({"a": described(dtype="F31")}, 8, "an invalid description of the tensor 'a'"),
        ({"a": described(dtype=["F32"])}, 8, "an invalid description of the tensor 'a'"),
        ({"a": described(shape=[-2])}, 8, "an invalid description of the tensor 'a'"),
        ({"a": described(shape=[2.0])}, 8, "an invalid description of the tensor 'a'"),
        ({"a": described(shape=[True, 2])}, 8, "an invalid description of the tensor 'a'"),
        ({"a": described(shape="2")}, 8, "an invalid description of the tensor 'a'"),
        ({"a": described(shape=[2**64])}, 8, "an invalid description of the tensor 'a'"),
        ({"a": described(shape=[1] * 100)}, 8, "an invalid description of the tensor 'a'"),
        ({"a": described(data_offsets=[0])}, 8, "an invalid description of the tensor 'a'"),
        ({"a": described(data_offsets=[0, 16])}, 16, "a size that does not match the shape of 'a'"),
        ({"a": described(shape=[2**40, 2**40])}, 8, "a size that does not match the shape of 'a'"),
        ({"a": described(data_offsets=[8, 0])}, 8, "a size that does not match the shape of 'a'"),
        ({"a": described(), "b": described()}, 8, "overlapping tensors, or gaps between tensors"),
        (
            {"a": described(), "b": described(data_offsets=[4, 12])},
            12,
            "overlapping tensors, or gaps between tensors",
        ),
        ({"a": described(data_offsets=[8, 16])}, 16, "overlapping tensors, or gaps between tensors"),
        ({"a": described()}, 4, "tensors of 8 bytes, where the file has 4"),
        ({"a": described()}, 99, "tensors of 8 bytes, where the file has 99"),
    ],
)
def test_headers_that_lie(tmp_path, header, data, said):
    text = json.dumps(header) if isinstance(header, dict) else header
    if isinstance(text, str):
        text = text.replace("%s", json.dumps(described()))
    assert refused(write(tmp_path / "a", text, bytes(data))) == said


@pytest.mark.parametrize("length", [3, LONGEST_HEADER + 1, 2**63, 2**64 - 1])
def test_lengths_that_lie(tmp_path, length):
    said = f"a header of {length} bytes in a file of 10"
    assert refused(write(tmp_path / "a", "{}", length=length)) == said


@given(st.binary(max_size=40), st.integers(0, 200))
def test_nothing_but_its_error_comes_out_of_bytes(tmp_path_factory, noise, place):
    path = tmp_path_factory.getbasetemp() / "noise.safetensors"
    save_file({"a": torch.zeros(4), "b": torch.ones(2, 2)}, path, {"x": "y"})
    content = path.read_bytes()
    path.write_bytes(content[:place] + noise + content[place + len(noise) // 2 :])
    try:
        header = read_header(path)
    except SafetensorError:
        return
    assert {name: tuple(tensor.shape) for name, tensor in load_file(path).items()} == dict(header.shapes)

"""ONNX files of strangers: one sentence says what is wrong, when a file is opened or when it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from committee.errors import CommitteeError, DataError, StoreError, TimeLimitError, UsageError  # noqa: E402
from committee.exporters.base import open_exported  # noqa: E402
from committee.inference.time_limit import TimeLimit  # noqa: E402

FREE = ["batch", 3, "height", "width"]
META = {"name": "m", "class_names": '["ant", "bee"]', "provenance": "{}"}


def write(
    path: Path,
    answer: list[float] | None = None,
    *,
    meta: dict[str, str] | None = None,
    shape: list[Any] = FREE,
    kind: int = TensorProto.UINT8,
    names: tuple[str, str] = ("images", "probabilities"),
    classes: int = 2,
    endless: bool = False,
) -> Path:
    """Write a graph that answers one row, whatever the image is, or never ends."""
    row = np.array([answer or [0.25, 0.75]], np.float32)
    nodes = [helper.make_node("Identity", ["row"], ["result" if endless else names[1]])]
    if endless:
        body = helper.make_graph(
            [helper.make_node("Identity", [a], [b]) for a, b in (("on", "next"), ("old", "new"))],
            "body",
            [
                helper.make_tensor_value_info("i", TensorProto.INT64, []),
                helper.make_tensor_value_info("on", TensorProto.BOOL, []),
                helper.make_tensor_value_info("old", TensorProto.FLOAT, [1, classes]),
            ],
            [
                helper.make_tensor_value_info("next", TensorProto.BOOL, []),
                helper.make_tensor_value_info("new", TensorProto.FLOAT, [1, classes]),
            ],
        )
        nodes.append(helper.make_node("Loop", ["", "true", "result"], [names[1]], body=body))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(names[0], kind, shape)],
        [helper.make_tensor_value_info(names[1], TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(row, "row"), numpy_helper.from_array(np.array(True), "true")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, META if meta is None else {**META, **meta})
    onnx.save(model, path)
    return path


OPENED: dict[str, tuple[dict[str, Any], str]] = {
    "11 names for 10 outputs": (
        {"meta": {"class_names": json.dumps([*"abc"])}},
        "expected an output 'probabilities', float [batch, 3], for 3 class names, got 'probabilities' float "
        "[1, 2]",
    ),
    "equal names": (
        {"meta": {"class_names": '["a", "a"]'}},
        "expected different class names in its metadata, got 'a'",
    ),
    "no JSON": (
        {"meta": {"class_names": "[ant"}},
        "expected a JSON list as 'class_names' in its metadata, got '[ant'",
    ),
    "deep JSON": ({"meta": {"class_names": "[" * 10**5}}, "expected a JSON list as 'class_names'"),
    "no list": ({"meta": {"class_names": '{"0": "a"}'}}, "expected a JSON list as 'class_names'"),
    "numbers": (
        {"meta": {"class_names": "[0, 1]"}},
        "expected a list of class names in its metadata, got [0, 1]",
    ),
    "no names": ({"meta": {"class_names": "[]"}}, "expected a list of class names in its metadata, got []"),
    "provenance": ({"meta": {"provenance": "[]"}}, "expected a JSON object as 'provenance'"),
    "another input": (
        {"names": ("input", "probabilities")},
        "expected one input 'images', uint8 [batch, 1 or 3,",
    ),
    "float input": ({"kind": TensorProto.FLOAT}, "of free height and width, got 'images' float ['batch', 3,"),
    "two channels": ({"shape": ["batch", 2, "h", "w"]}, "got 'images' uint8 ['batch', 2, 'h', 'w']"),
    "three axes": ({"shape": ["batch", 3, "h"]}, "got 'images' uint8 ['batch', 3, 'h']"),
    "a fixed size": ({"shape": ["batch", 3, 224, 224]}, "got 'images' uint8 ['batch', 3, 224, 224]"),
    "another output": (
        {"names": ("images", "logits")},
        "expected an output 'probabilities', float [batch, 2]",
    ),
}


@pytest.mark.parametrize("name", OPENED)
def test_a_file_is_checked_when_it_is_opened(name: str, tmp_path: Path) -> None:
    changes, said = OPENED[name]
    path = write(tmp_path / "m.onnx", **changes)
    with pytest.raises(StoreError) as caught:
        open_exported(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: expected ") and said in text and "\n" not in text
    assert text.endswith("Write it again with: committee export --model-name NAME")


ANSWERS = {
    "NaN": ([float("nan"), 0.5], "NaN or infinity"),
    "negative": ([-0.5, 1.5], "the value -0.5"),
    "logits": ([3.0, 1.0], "the value 3"),
    "another sum": ([0.5, 0.25], "values that sum to 0.75"),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("options", [(), ("--abstain-below", 0.9), ("--json",), ("--csv", "out.csv")])
def test_an_answer_is_checked(
    name: str, options: tuple[Any, ...], tmp_path: Path, cli: Callable[..., Any], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    answer, got = ANSWERS[name]
    Image.new("RGB", (9, 7)).save("a.png")
    found = cli("predict", write(Path("m.onnx"), answer), "a.png", *options)
    assert found.code == 1
    said = f"a.png: expected 2 probabilities from m, got {got}. Check the model, and the file that it was"
    assert said in found.err + found.out
    assert options == ("--json",) or "ant" not in found.out


def test_a_failing_graph_and_a_wrong_number_of_answers_are_named(
    tmp_path: Path, cli: Callable[..., Any]
) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (9, 7)).save(tmp_path / f"{name}.png")
    path = write(tmp_path / "m.onnx")
    found = cli("predict", path, tmp_path / "a.png", tmp_path / "b.png")
    assert found.code == 1 and found.err.count("expected 2 probabilities from m, got an array [1, 2]") == 2
    with pytest.raises(DataError, match=r"m\.onnx: expected a graph that runs on images \[1, 3, 7\], got "):
        open_exported(path)(np.zeros((1, 3, 7), np.uint8))


def test_a_graph_that_never_ends_is_stopped(tmp_path: Path, cli: Callable[..., Any]) -> None:
    Image.new("RGB", (9, 7)).save(tmp_path / "a.png")
    path = write(tmp_path / "m.onnx", endless=True)
    found = cli("predict", path, tmp_path / "a.png", "--time-limit", 0.3)
    assert found.code == 1
    assert found.err.strip().endswith(
        "m: expected an answer within 0.3 s for an image, got none for 1 of 9 x 7 pixels. Raise the limit "
        "with --time-limit SECONDS, or do not use this model."
    )


def test_the_time_limit_passes_answers_and_errors_on() -> None:
    class Model:
        name, class_names, channels, provenance = "model", ("a",), 3, {}

        def __call__(self, images: Any) -> Any:
            if len(images) > 1:
                raise TimeLimitError("inside")
            return images.mean((1, 2, 3))

    limited = TimeLimit(Model(), float("inf"))  # type: ignore[arg-type]
    assert limited(np.full((1, 3, 2, 2), 7, np.uint8)).tolist() == [7.0]
    with pytest.raises(CommitteeError, match="inside"):
        limited(np.zeros((2, 3, 2, 2), np.uint8))
    with pytest.raises(UsageError, match="--time-limit: expected a number of seconds above 0, got 0"):
        TimeLimit(Model(), 0)  # type: ignore[arg-type]

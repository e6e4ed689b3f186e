"""Every compression method: its file is smaller, opens like any other, and changes the networks alone."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from committee.base.onnx_networks import NETWORK
from committee.compression.base import COMPRESSORS
from committee.errors import DependencyError, ExportError, UsageError
from committee.exporters import _onnx_graph
from committee.exporters.base import EXPORTERS, Card, open_exported
from committee.exporters.onnx import Onnx

NAMES = COMPRESSORS.names()


@pytest.fixture(scope="module")
def made(exported, images, tmp_path_factory):
    """Return a function that compresses the file once by each method."""
    files: dict[str, Path] = {}

    def compress(name: str) -> Path:
        method = COMPRESSORS.make(name)
        for package in method.needs:
            pytest.importorskip(package)
        if name not in files:
            files[name] = method.compress(exported, images[:32], tmp_path_factory.mktemp(name))
        return files[name]

    return compress


@pytest.mark.parametrize("name", NAMES)
def test_compressed_file_is_smaller_and_predicts_nearly_the_same(name, made, exported, images) -> None:
    method, file = COMPRESSORS.make(name), made(name)
    ours = Onnx().open(exported)
    theirs = EXPORTERS.make(method.format).open(file)
    assert theirs.class_names == ours.class_names
    assert theirs.name == "pair"
    assert theirs.provenance == {"kind": "ensemble"}
    held_out = images[32:]
    before, after = ours(held_out), theirs(held_out)
    assert len(set(before.argmax(1))) > 1  # the outputs differ, so that agreement means something
    assert (before.argmax(1) == after.argmax(1)).mean() >= 0.9
    assert 0 < np.abs(before - after).max() < method.tolerance
    assert theirs(held_out[:1, :, :17, :23]).shape == (1, 3)
    # The text of an OpenVINO graph is longer than the weights of such a small network.
    size = sum(path.stat().st_size for path in file.parent.iterdir() if path.suffix != ".xml")
    assert size < 0.97 * exported.stat().st_size


@pytest.mark.parametrize("name", [each for each in NAMES if COMPRESSORS.load(each).format == "onnx"])
def test_preprocessing_combiner_and_softmax_stay_as_they_are(name, made, exported) -> None:
    before, after = (_outside(onnx.load(path)) for path in (exported, made(name)))
    assert len(before) > 20
    assert after.items() >= before.items()


def _outside(model) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return the operators and outputs of the nodes that belong to no network, by name."""
    nodes = [node for node in model.graph.node if not node.name.startswith(NETWORK)]
    return {node.name: (node.op_type, tuple(node.output)) for node in nodes}


@pytest.mark.parametrize("name", NAMES)
def test_missing_package_is_named_with_its_install_line(
    name, exported, images, tmp_path, monkeypatch
) -> None:
    method = COMPRESSORS.make(name)
    monkeypatch.setitem(sys.modules, method.needs[-1], None)
    with pytest.raises(DependencyError, match=rf"pip install 'committee\[{method.extra}\]'"):
        method.compress(exported, images[:2], tmp_path)


def test_file_without_networks_is_refused(exported, images, tmp_path) -> None:
    model = onnx.load(exported)
    for node in model.graph.node:
        node.name = node.name.removeprefix(NETWORK)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ExportError) as caught:
        COMPRESSORS.make("onnx_static").compress(tmp_path / "other.onnx", images[:2], tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'other.onnx'}: expected an ONNX file that this version of committee exported, with a "
        "network, got no node of a network. "
        "Export the model again: committee export --model-name NAME --formats onnx"
    )


def test_options_change_the_file(exported, images, tmp_path) -> None:
    method = COMPRESSORS.make("onnx_static", exclude=["Conv", "conv"], reduce_range=True, per_channel=False)
    model = onnx.load(method.compress(exported, images[:8], tmp_path))
    quantized = {node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    conv = [node for node in model.graph.node if node.op_type == "Conv"]
    gemm = [
        node for node in model.graph.node if node.op_type in ("Gemm", "MatMul") and "network" in node.name
    ]
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    assert not [node for node in conv if node.input[1] not in weights]
    assert [node for node in gemm if node.input[1] not in weights]
    ints = [weights[name] for name in quantized & set(weights) if weights[name].dtype == np.int8]
    assert ints
    assert max(np.abs(each.astype(int)).max() for each in ints) <= 64


def test_unknown_calibration_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        COMPRESSORS.make("onnx_static", calibration="median")
    assert str(caught.value) == "calibration: expected one of minmax, entropy, percentile, got 'median'."


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_precision_of_the_exporter_uses_the_calibration_images(
    precision, pair, images, tmp_path, exported, monkeypatch
) -> None:
    # The graph is recorded once for all tests.
    monkeypatch.setattr(_onnx_graph, "write", lambda module, example, path, card: shutil.copy(exported, path))
    exporter, asked = Onnx(precision=precision), []

    def calibration():
        asked.append(True)
        return images[:16]

    exporter.calibration = calibration
    card = Card("pair", pair.class_names, {})
    file = exporter.export(pair, torch.from_numpy(images[:2]), tmp_path, card)
    assert asked == ([True] if precision == "int8" else [])
    difference = np.abs(open_exported(file)(images) - Onnx().open(exported)(images)).max()
    assert 1e-5 < difference < exporter.tolerance


def test_unknown_precision_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        Onnx(precision="int4")
    assert str(caught.value) == "precision: expected one of float32, float16, int8, got 'int4'."


@pytest.mark.parametrize("name", ["float16", "onnx_static", "onnx_dynamic"])
def test_branches_read_what_a_network_in_front_of_them_computes(name, tmp_path) -> None:
    model = _with_branches()
    onnx.save(model, tmp_path / "branches.onnx")
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    made = COMPRESSORS.make(name).compress(tmp_path / "branches.onnx", images, tmp_path)
    found = [
        InferenceSession(path).run(None, {"images": images})[0] for path in (made, tmp_path / "branches.onnx")
    ]
    assert np.allclose(found[0], found[1], rtol=0.05, atol=1)


def _with_branches() -> onnx.ModelProto:
    """Return a graph with a convolution whose result is negated by a branch that depends on the images."""

    def branch(operator: str) -> onnx.GraphProto:
        value = helper.make_tensor_value_info(f"{operator}_z", TensorProto.FLOAT, None)
        return helper.make_graph(
            [helper.make_node(operator, ["y"], [f"{operator}_z"])], operator, [], [value]
        )

    weight = numpy_helper.from_array(np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 2, 2), "w")
    limit = numpy_helper.from_array(np.float32(1e6), "limit")
    nodes = [
        helper.make_node("Cast", ["images"], ["x"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["x", "w"], ["y"], f"{NETWORK}conv"),
        helper.make_node("ReduceSum", ["x"], ["sum"], "sum", keepdims=0),
        helper.make_node("Less", ["sum", "limit"], ["few"], "less"),
        helper.make_node(
            "If", ["few"], ["z"], "if", then_branch=branch("Neg"), else_branch=branch("Identity")
        ),
    ]
    given = helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 3, 4, 4])
    result = helper.make_tensor_value_info("z", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "branches", [given], [result], [weight, limit])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

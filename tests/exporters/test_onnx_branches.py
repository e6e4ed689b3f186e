"""The ONNX file of a model that skips networks: what no image of a batch needs is in a branch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
import torch
from torch import nn

from committee.base.onnx_branches import add_branches
from committee.combiners.cascade import Cascade
from committee.combiners.compose import Compose
from committee.combiners.soft_voting import SoftVoting
from committee.exporters.base import Card
from committee.exporters.onnx import Onnx
from committee.images.view import View
from committee.models.composites.moe import Moe
from committee.models.ensemble import Ensemble
from committee.models.member import Member

pytestmark = pytest.mark.slow

CLASSES = ("ant", "bee", "cat", "dog")
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def members() -> list[Member]:
    torch.manual_seed(0)
    nets = [
        nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(3 * (size // 4) ** 2, 4))
        for size in (8, 12, 12)
    ]
    return [
        Member.from_module(net, classes=CLASSES, size=size, fit="squash", name=name)
        for net, size, name in zip(nets, (8, 12, 12), NAMES, strict=True)
    ]


def rule(photos: np.ndarray, members: list[Member]) -> Cascade:
    """Return a cascade that the least of the photos leaves after one stage, and another one after two."""
    made = Cascade().bind(NAMES)
    made.set_buffers(order=torch.tensor([1, 0, 2]), inverse_temperature=torch.full((3,), 3.0))
    made.set_buffers(threshold=torch.zeros(3))
    with torch.no_grad():
        logits = Ensemble(members).eval().member_logits(torch.from_numpy(photos))
        sure = [output.amax(1).exp().sort().values for output in made._outputs(logits)]
    made.set_buffers(threshold=torch.tensor([sure[0][-2:].mean(), sure[1][-3:-1].mean(), 0.0]))
    return made


def cascade(members: list[Member], photos: np.ndarray) -> nn.Module:
    return Ensemble(members, rule(photos, members))


def nested(members: list[Member], photos: np.ndarray) -> nn.Module:
    """A cascade as a member beside the soft vote of one of its own members: that one always runs."""
    inner = Ensemble(members, rule(photos, members), name="inner")
    return Ensemble([inner, Ensemble(members[1:2], name="other")])


def composed(members: list[Member], photos: np.ndarray) -> nn.Module:
    made = Compose({"cascade": rule(photos, members)}, SoftVoting())
    return Ensemble(members, made.bind(NAMES))


def experts(members: list[Member], photos: np.ndarray) -> nn.Module:
    torch.manual_seed(3)
    made = Moe(members, CLASSES, "moe", View(8, 0.5, 0.1), 16, top_k=1)
    for parameter in made.gate.parameters():
        parameter.data.mul_(6)
    return made


@pytest.fixture(
    scope="module", params=[(cascade, [1, 1]), (nested, [1, 1]), (composed, [1, 1]), (experts, [3])]
)
def exported(request, members, photos, tmp_path_factory) -> tuple[nn.Module, Path, list[int]]:
    make, inside = request.param
    module = make(members, photos).eval()
    file = Onnx().export(
        module, torch.from_numpy(photos), tmp_path_factory.mktemp("onnx"), Card("it", CLASSES)
    )
    return module, file, inside


def branches(graph: onnx.GraphProto) -> list[onnx.GraphProto]:
    return [each.g for node in graph.node if node.op_type == "If" for each in node.attribute]


def networks(graph: onnx.GraphProto) -> int:
    return sum(node.op_type == "Gemm" for node in graph.node)


def test_what_not_every_image_needs_is_in_a_branch(exported) -> None:
    _, file, inside = exported
    model = onnx.load(file)
    onnx.checker.check_model(model, full_check=True)
    graphs, found = [model.graph], []
    while graphs := [branch for graph in graphs for branch in branches(graph)]:
        found.append(sum(map(networks, graphs)))
    assert [count for count in found if count] == inside


@torch.no_grad()
def test_the_answers_are_those_of_infer_for_easy_and_hard_images(exported, photos) -> None:
    module, file, _ = exported
    predict = Onnx().open(file)
    for images in (*photos[:, None], photos, photos[:0], photos[:, :, :29, :13]):
        expected = module.infer(torch.from_numpy(images)).exp().numpy()
        np.testing.assert_allclose(predict(images), expected, atol=1e-6)


def test_a_choice_of_a_value_that_others_read_stays() -> None:
    text = """<ir_version: 8, opset_import: ["": 18]>
        all (bool needed, float[2] value, float[2] other) => (float[2] chosen, float[2] doubled) {
            doubled = Add(value, value)
            chosen = Where(needed, doubled, other)
        }"""
    model = ir.serde.deserialize_model(onnx.parser.parse_model(text))
    add_branches(model.graph)
    assert [node.op_type for node in model.graph] == ["Add", "Where"]

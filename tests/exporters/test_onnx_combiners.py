"""The ONNX file of every combiner with its members."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from committee.combiners.base import COMBINERS, build
from committee.combiners.shared.serving import default_task, serving
from committee.exporters.base import Card
from committee.exporters.onnx import Onnx
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.pipeline.shared.parity import check_parity, several_sizes
from committee.predictions.table import Predictions

pytestmark = pytest.mark.slow

CLASSES = ("ant", "bee", "cat", "dog")
NAMES = ("a", "b", "c")
FURTHER: dict[str, dict[str, Any]] = {
    "compose": {"inputs": {"vote": "hard_voting", "mean": "weighted"}, "final": "stacking_lr"},
    "temperature": {"inner": "greedy_selection"},
    "member_temperature": {"inner": "logit_averaging"},
}


@pytest.fixture(scope="module")
def members() -> list[Member]:
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), nn.Linear(48, 4)) for _ in NAMES]
    return [
        Member.from_module(net, classes=CLASSES, size=16, fit="squash", name=name)
        for name, net in zip(NAMES, nets, strict=True)
    ]


@pytest.fixture(scope="module")
def rows() -> Predictions:
    """Predictions of three members of different skill and confidence on 120 samples."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 120)
    skill = np.array([1.0, 2.0, 4.0])[:, None, None]
    logits = random.normal(size=(3, 120, 4)) * 2 + skill * np.eye(4)[labels]
    return Predictions.from_logits(logits, members=NAMES, class_names=CLASSES, labels=labels)


@pytest.fixture(scope="module")
def of_vectors() -> list[Member]:
    """Members without the preprocessing of images, which takes most of the time of an export."""
    torch.manual_seed(0)
    nets = [nn.Linear(8, 4) for _ in NAMES]
    return [
        Member.from_module(net, classes=CLASSES, shape=[8], name=name)
        for net, name in zip(nets, NAMES, strict=True)
    ]


@pytest.fixture(scope="module")
def vectors() -> list[NDArray[np.float32]]:
    random = np.random.default_rng(1)
    return [3 * random.normal(size=(rows, 8)).astype(np.float32) for rows in (5, 1, 40)]


def check(module: nn.Module, batches, folder) -> None:
    file = Onnx().export(module.eval(), torch.tensor(batches[0]), folder, Card("it", CLASSES))
    parity = check_parity(ModulePredictor(module, "it", CLASSES), Onnx().load(file, module), batches, "it")
    assert parity["max_abs_diff"] < 1e-6


@pytest.mark.parametrize("key", serving(default_task()))
def test_every_combiner(key, of_vectors, rows, vectors, tmp_path):
    options = {**COMBINERS.load(key).examples(("c", "a"))[0], **FURTHER.get(key, {})}
    combiner = build({"combiner": key, **options}).fit(rows)
    check(Ensemble(of_vectors, combiner, class_names=CLASSES), vectors, tmp_path)


def test_a_stack_does_not_extrapolate(of_vectors, rows, vectors, tmp_path):
    """The file moves features outside the range of the fit to its limits, too."""
    far = [10 * batch for batch in vectors]
    stack = build("stacking_lr").fit(rows)
    check(Ensemble(of_vectors, stack, class_names=CLASSES), far, tmp_path)
    logits = torch.stack([member(torch.tensor(far[2])) for member in of_vectors])
    limited = stack(logits)
    stack.set_buffers(feature_limits=torch.tensor([[-torch.inf], [torch.inf]]))
    assert (stack(logits).exp() - limited.exp()).abs().max() > 0.1


def test_a_member_of_weight_zero(members, photos, tmp_path, recwarn):
    """The logarithm of its weight is -inf, which must not cause a warning."""
    check(Ensemble(members, weights=[0.5, 0.0, 0.5]), several_sizes(list(photos)), tmp_path)
    assert [str(each.message) for each in recwarn] == []


def test_an_ensemble_of_ensembles_that_share_members(members, photos, tmp_path):
    inner = Ensemble(members[:2], "hard_voting", name="inner")
    other = Ensemble(members[1:], "logit_averaging", name="other")
    outer = Ensemble([inner, other, members[2]], weights=[0.5, 0.3, 0.2])
    check(outer, several_sizes(list(photos)), tmp_path)
    weights = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert sum(list(tensor.dims) in ([4, 48], [48, 4]) for tensor in weights) == 3, (
        "a shared member is there twice"
    )

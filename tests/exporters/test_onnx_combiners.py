"""The ONNX file of every combiner with its members.

An export takes seconds whatever the combiner, so one file has the outputs of all combiners that run every
member. The others, whose files may skip members, have a file each.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from committee.combiners.base import COMBINERS, build, is_conditional
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


def check(module: nn.Module, photos, folder) -> None:
    batches = several_sizes(list(photos))
    file = Onnx().export(module.eval(), torch.tensor(batches[0]), folder, Card("it", CLASSES))
    parity = check_parity(ModulePredictor(module, "it", CLASSES), Onnx().load(file, module), batches, "it")
    assert parity["max_abs_diff"] < 1e-6


class Together(nn.Module):
    """The outputs of several ensembles of the same members, `[B, C, ensembles]`; each member runs once."""

    def __init__(self, ensembles: list[Ensemble]) -> None:
        super().__init__()
        self.ensembles = nn.ModuleList(ensembles)

    def forward(self, images: Tensor) -> Tensor:
        logits = self.ensembles[0].member_logits(images)
        return torch.stack([each.combiner(logits) for each in self.ensembles], dim=2)


@pytest.fixture(scope="module")
def ensembles(members, rows) -> dict[str, Ensemble]:
    """An ensemble of the members with each combiner, fitted."""
    found = {}
    for key in COMBINERS.names():
        options = {**COMBINERS.load(key).examples(("c", "a"))[0], **FURTHER.get(key, {})}
        combiner = build({"combiner": key, **options}).fit(rows)
        found[key] = Ensemble(members, combiner, class_names=CLASSES).eval()
    return found


@pytest.fixture(scope="module")
def exported(request, once, ensembles, photos) -> dict[str, list[np.ndarray]]:
    """The probabilities of each ensemble whose test is selected, for several batches, from one file."""
    specs = [getattr(item, "callspec", None) for item in request.session.items]
    selected = {spec.params.get("key") for spec in specs if spec}
    dense = {
        key: each for key, each in ensembles.items() if key in selected and not is_conditional(each.combiner)
    }
    batches = several_sizes(list(photos))

    def export(folder: Path) -> None:
        Onnx().export(Together(list(dense.values())), torch.tensor(batches[0]), folder, Card("all", CLASSES))

    file = once("onnx-" + hashlib.sha256(" ".join(dense).encode()).hexdigest()[:16], export) / "model.onnx"
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = [session.run(None, {"images": images})[0] for images in batches]
    return {key: [each[..., index] for each in found] for index, key in enumerate(dense)}


@pytest.mark.parametrize("key", COMBINERS.names())
def test_every_combiner(key, ensembles, photos, tmp_path, request):
    ensemble = ensembles[key]
    if is_conditional(ensemble.combiner):
        check(ensemble, photos, tmp_path)
        return
    exported = request.getfixturevalue("exported")[key]
    for images, found in zip(several_sizes(list(photos)), exported, strict=True):
        with torch.inference_mode():
            expected = ensemble(torch.tensor(images)).softmax(1).numpy()
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() < 1e-6


def test_a_member_of_weight_zero(members, photos, tmp_path, recwarn):
    """The logarithm of its weight is -inf, which must not cause a warning."""
    check(Ensemble(members, weights=[0.5, 0.0, 0.5]), photos, tmp_path)
    assert [str(each.message) for each in recwarn] == []


def test_an_ensemble_of_ensembles_that_share_members(members, photos, tmp_path):
    inner = Ensemble(members[:2], "hard_voting", name="inner")
    other = Ensemble(members[1:], "logit_averaging", name="other")
    outer = Ensemble([inner, other, members[2]], weights=[0.5, 0.3, 0.2])
    check(outer, photos, tmp_path)
    weights = onnx.load(tmp_path / "model.onnx").graph.initializer
    assert sum(list(tensor.dims) in ([4, 48], [48, 4]) for tensor in weights) == 3, (
        "a shared member is there twice"
    )

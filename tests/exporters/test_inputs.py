"""Models of vectors and other tensors are exported with a free number of rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from committee.exporters.base import EXPORTERS, Card, open_exported
from committee.models.ensemble import Ensemble
from committee.models.member import Member


@pytest.fixture(scope="module", params=[(20,), (5, 3, 4)])
def ensemble(request):
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(request.param)), 3)) for _ in range(2)]
    members = [Member.from_module(net, classes=["x", "y", "z"], shape=request.param) for net in nets]
    return Ensemble(members).eval()


@pytest.mark.parametrize("name", ["onnx", "torchscript", "torch_export"])
def test_files_take_inputs_of_the_shape(name, ensemble, tmp_path) -> None:
    if name == "onnx":
        pytest.importorskip("onnxruntime")
    shape = ensemble.members[0].view.shape
    inputs = torch.randn(7, *shape)
    card = Card.of(ensemble, "of_inputs")
    assert card.shape == shape and card.input["type"] == f"float32 [batch, {', '.join(map(str, shape))}]"
    file = EXPORTERS.make(name).export(ensemble, inputs[:1], tmp_path, card)
    opened = open_exported(file, trusted=True)
    assert opened.input_shape == shape
    for rows in (inputs, inputs[:1]):
        np.testing.assert_allclose(opened(rows.numpy()), ensemble.predict(rows), atol=1e-6)

"""CondConv can be exported with any batch size and equals timm's layer."""

from __future__ import annotations

import pytest
import torch
from timm.layers import CondConv2d

from committee.backbones.condconv import make_exportable


@pytest.mark.parametrize(("padding", "stride", "groups"), [("same", 2, 1), ("", 1, 4), (1, 2, 2)])
@pytest.mark.parametrize("bias", [False, True])
def test_exported_layer_answers_as_timms(padding: str | int, stride: int, groups: int, bias: bool):
    torch.manual_seed(0)
    layer = CondConv2d(4, 8, 3, stride, padding, groups=groups, bias=bias, num_experts=3)
    holder = torch.nn.ModuleList([layer])
    images, routing = torch.rand(2, 4, 9, 9), torch.rand(2, 3)
    expected = layer(images, routing)
    make_exportable(holder)
    torch.testing.assert_close(holder[0](images, routing), expected)
    batch = torch.export.Dim("batch", min=1, max=16)
    program = torch.export.export(
        holder[0], (images, routing), dynamic_shapes={"x": {0: batch}, "routing_weights": {0: batch}}
    )
    torch.testing.assert_close(program.module()(images, routing), expected)
    torch.testing.assert_close(program.module()(images[:1], routing[:1]), expected[:1])

"""Operations of committee in ONNX: a resized image has the bytes that torch computes."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from committee.base.tracing import tracing
from committee.exporters._onnx_operations import OPERATIONS, TRANSLATIONS
from committee.images.view import View

pytestmark = pytest.mark.slow

SIZES = ((8, 8), (9, 31), (40, 3), (57, 64), (300, 217), (1, 1))


class Cut(nn.Module):
    """The resized images of several views."""

    def __init__(self) -> None:
        super().__init__()
        self.views = [
            View(size, fit=fit, channels=1) for size, fit in ((13, "crop"), (16, "pad"), (21, "squash"))
        ]

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([view.cut(images).flatten(1) for view in self.views], 1)


@pytest.fixture(scope="module")
def session() -> onnxruntime.InferenceSession:
    dims = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
    images = torch.zeros(2, 1, 20, 30, dtype=torch.uint8)
    with tracing(Cut(), OPERATIONS):
        program = torch.onnx.export(
            Cut().eval(),
            (images,),
            dynamo=True,
            verbose=False,
            dynamic_shapes=(dims,),
            custom_translation_table=TRANSLATIONS,
        )
    return onnxruntime.InferenceSession(program.model_proto.SerializeToString())


@pytest.mark.parametrize("sides", SIZES)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_the_bytes_are_those_of_torch_at_every_size(session, sides, batch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (batch, 1, *sides), dtype=np.uint8)
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    np.testing.assert_array_equal(found, Cut()(torch.from_numpy(images)).numpy())

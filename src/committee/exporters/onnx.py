"""The ONNX format: one file for a whole ensemble, from any image to calibrated probabilities."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from committee.exporters.base import Card, Exporter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Predictor


class Onnx(Exporter):
    """An ONNX file, `images` uint8 `[batch, c, height, width]` to `probabilities` float32 `[batch, classes]`.

    Batch size, height and width are free. The graph contains the preprocessing, all members, the
    combiner and its temperature; the metadata contain `name`, and as JSON `class_names`, `provenance`
    and `input`, what the model expects of its images. Weights beyond 2 GiB are written to a second file,
    `model.onnx.data`. onnxruntime runs the file; torch is not needed. `predict.py` beside it predicts
    photos with onnxruntime, Pillow and numpy alone.

    See Also
    --------
    Checkpoint : A folder in committee's own format, which torch runs.
    StateDict : The weights alone.

    References
    ----------
    .. [1] ONNX, Open Neural Network Exchange, https://onnx.ai

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from torch import nn
    >>> from committee.exporters.base import Card
    >>> from committee.exporters.onnx import Onnx
    >>> from committee.models.member import Member
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    >>> member = Member.from_module(net, classes=["cat", "dog"], size=8).eval()
    >>> images = torch.zeros(2, 3, 20, 30, dtype=torch.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Onnx().export(member, images, Path(folder), Card("pets", member.class_names))
    ...     predictor = Onnx().open(file)
    >>> predictor.class_names, predictor(images[:, :, :9].numpy()).shape
    (('cat', 'dog'), (2, 2))
    """

    suffix = ".onnx"
    graph = True

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.onnx` and `predict.py`; see the base class."""
        from committee.exporters._onnx_graph import write

        shutil.copyfile(Path(__file__).with_name("_predict_script.py"), folder / "predict.py")
        return write(module, example, folder / "model.onnx", card)

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open `model.onnx` with onnxruntime; see the base class."""
        from committee.exporters._onnx_file import OnnxPredictor

        return OnnxPredictor(file, device)

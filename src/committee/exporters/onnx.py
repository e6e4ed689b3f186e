"""The ONNX format: one file for a whole ensemble, from any image to calibrated probabilities."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from committee.compression.base import COMPRESSORS, Images
from committee.errors import UsageError
from committee.exporters.base import Card, Exporter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Predictor

FILE = "model.onnx"
PRECISIONS = {"float32": "", "float16": "float16", "int8": "onnx_static"}
"""Precision -> the method that makes it of a float32 file."""


class Onnx(Exporter):
    """An ONNX file, `images` uint8 `[batch, c, height, width]` to `probabilities` float32 `[batch, classes]`.

    A model of numbers has an output `values` float32 `[batch, targets]` instead, and `units` in the metadata;
    if its networks predict variances, it also has an output `std`, the standard deviations of the values.
    The output of a model of maps is `[batch, classes, height, width]`, and the metadata contain `maps`: the
    task, the stride, and the sides of training crops and of tiles.

    Batch size, height and width are free. The graph contains the preprocessing, all members, the
    combiner and its temperature; the metadata contain `name`, and as JSON `class_names`, `provenance`
    and `input`, what the model expects of its images. Weights beyond 2 GiB are written to a second file,
    `model.onnx.data`. onnxruntime runs the file; torch is not needed. The networks of a cascade or of a
    mixture of experts are in branches, which run if an image of the batch needs them. `predict.py` beside it
    predicts photos with onnxruntime, Pillow and numpy alone.

    Parameters
    ----------
    precision : {"float32", "float16", "int8"}
        Precision of the networks; preprocessing, combiner and softmax are float32. `float16` halves the file.
        `int8` quantizes weights and activations with calibration images, see
        `committee.compression.onnx_static.OnnxStatic`: a quarter of the size, and several times faster for
        many networks on CPUs. What that costs depends on the network, and `committee compress` measures it.

    Raises
    ------
    UsageError
        The precision does not exist.

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
    branches = True
    with_std = True

    def __init__(self, precision: str = "float32") -> None:
        if precision not in PRECISIONS:
            expected = f"one of {', '.join(PRECISIONS)}"
            raise UsageError("precision", expected=expected, got=f"'{precision}'")
        self.precision = precision
        method = PRECISIONS[precision]
        self._compressor = COMPRESSORS.make(method) if method else None
        if self._compressor is not None:
            self.tolerance = self._compressor.tolerance

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.onnx` and `predict.py`; see the base class."""
        from committee.exporters._onnx_graph import write

        shutil.copyfile(Path(__file__).with_name("_predict_script.py"), folder / "predict.py")
        if self._compressor is None:
            return write(module, example, folder / FILE, card)
        with tempfile.TemporaryDirectory() as temporary:
            file = write(module, example, Path(temporary) / FILE, card)
            return self._compressor.compress(file, self._images(example), folder)

    def _images(self, example: Tensor) -> Images:
        """Return the images on which the ranges of activations are measured."""
        if self.calibration is None or self._compressor is None or not self._compressor.calibrated:
            return example.numpy()
        return self.calibration()

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open `model.onnx` with onnxruntime; see the base class."""
        from committee.exporters._onnx_file import OnnxPredictor

        return OnnxPredictor(file, device)

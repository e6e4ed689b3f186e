"""The TFLite format, for phones, browsers and microcontrollers."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from committee.errors import UsageError
from committee.exporters.base import Card, Exporter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Predictor


class Tflite(Exporter):
    """A TFLite file `model.tflite`, and `card.json` with class names, origin and inputs.

    Shapes are fixed. The file has one input for each preprocessing of the members that differs in size or
    fit: the resized images, uint8 `[batch, c, size, size]`. It contains normalization, all members, the
    combiner and its temperature; its output are probabilities, or numbers, `[batch, classes]`. `open`
    resizes images of any size as in training, divides larger batches and fills smaller ones.

    The packages that write the file do not go together with those of committee. `committee export-env tflite`
    installs them in an environment of their own, in which the conversion runs as a child process; the file
    runs there too, or in this process if `ai-edge-litert` is installed (`pip install 'committee[tflite]'`).

    Parameters
    ----------
    batch : int
        Number of images in a batch of the file.
    seconds : float
        Time limit of the conversion.

    Raises
    ------
    UsageError
        An option is out of range.

    See Also
    --------
    Onnx : A file with free sizes, which resizes the images itself.

    References
    ----------
    .. [1] LiteRT, formerly TensorFlow Lite, https://ai.google.dev/edge/litert

    Examples
    --------
    >>> from committee.exporters.tflite import Tflite
    >>> Tflite(batch=8).suffix
    '.tflite'
    """

    suffix = ".tflite"
    graph = True
    device = "cpu"

    def __init__(self, batch: int = 1, seconds: float = 900.0) -> None:
        if not isinstance(batch, int) or batch < 1:
            raise UsageError("batch", expected="a whole number of at least 1", got=str(batch))
        if not seconds > 0:
            raise UsageError("seconds", expected="a number above 0", got=str(seconds))
        self.batch, self.seconds = batch, seconds

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.tflite` and `card.json`; see the base class."""
        from committee.exporters.shared.tflite_environment import command, convert

        command()  # before the module is recorded

        from committee.exporters._card import CARD, card_text
        from committee.exporters._constants import fold_constants
        from committee.exporters._program import record_program, save_program
        from committee.exporters._resized import FromResized

        who = f"tflite of {card.name}"
        model = FromResized(module, who)
        inputs = model.examples(self.batch)
        path = folder / f"model{self.suffix}"
        with tempfile.TemporaryDirectory() as temporary:
            program = Path(temporary) / "model.pt2"
            recorded = fold_constants(record_program(model, inputs, None, who), inputs, who)
            save_program(recorded, program)
            shapes = json.dumps([list(each.shape) for each in inputs])
            Path(f"{program}.json").write_text(shapes, encoding="utf-8")
            convert(program, path, self.seconds, who)
        text = card_text(card, example.shape[1], batch=self.batch, fixed=True, inputs=model.facts())
        (folder / CARD).write_text(text, encoding="utf-8")
        return path

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open `model.tflite` on the CPU; see the base class."""
        from committee.exporters._card import CARD, damaged, read_card, require_cpu
        from committee.exporters._resized import resized_predictor
        from committee.exporters._tflite_runner import runner

        require_cpu(device, "TFLite files")
        path = file.with_name(CARD)
        card = read_card(path.read_bytes() if path.is_file() else "", file)
        if file.read_bytes()[4:8] != b"TFL3":
            raise damaged(file, "TFLite file")
        try:
            return resized_predictor(file, card, runner(file))
        except ValueError as error:  # of the interpreter, if it runs in this process
            raise damaged(file, "TFLite file") from error

"""The TensorRT format: an engine for one model of NVIDIA GPU."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.errors import DependencyError, DeviceError, ExportError, UsageError
from committee.exporters.base import TOLERANCE, Card, Exporter
from committee.predictions.target_types import CLASSES, TARGET_TYPES

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Predictor

PRECISIONS = {"float32": TOLERANCE, "float16": 5e-3}
"""Precision of the engine, and the largest difference of a probability that it may cause."""


class Tensorrt(Exporter):
    """A TensorRT engine `model.engine`, and `card.json` with class names, origin and inputs.

    The engine has one input for each preprocessing of the members that differs in size or fit: the resized
    images, uint8 `[n, c, size, size]`, of which n is free from 1 to `batch`. It contains normalization, all
    members, the combiner and its temperature. `open` resizes images of any size as in training and divides
    larger batches. An engine runs on the model of GPU, and with the version of TensorRT, that it was built
    with.

    An engine contains machine code, so a file from elsewhere is opened only if its format is trusted.

    Parameters
    ----------
    precision : {"float32", "float16"}
        Precision of the engine. With float16 a probability may differ by 0.005.
    batch : int
        Largest number of images in a batch of the engine.

    See Also
    --------
    Onnx : The graph that runs everywhere.

    Examples
    --------
    >>> from committee.exporters.tensorrt import Tensorrt
    >>> Tensorrt(precision="float16").tolerance
    0.005
    """

    suffix = ".engine"
    graph = True
    device = "cuda"
    runs_code = True

    def __init__(self, precision: str = "float32", batch: int = 32) -> None:
        if precision not in PRECISIONS:
            raise UsageError("precision", expected=f"one of {', '.join(PRECISIONS)}", got=f"'{precision}'")
        if not isinstance(batch, int) or batch < 1:
            raise UsageError("batch", expected="a whole number of at least 1", got=str(batch))
        self.precision, self.batch, self.tolerance = precision, batch, PRECISIONS[precision]

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.engine` and `card.json`; see the base class."""
        tensorrt = _require()
        from committee.exporters._card import CARD, card_text
        from committee.exporters._resized import FromResized

        who = f"tensorrt of {card.name}"
        model = FromResized(module, who)
        path = folder / f"model{self.suffix}"
        with tempfile.TemporaryDirectory() as temporary:
            graph = _write_graph(model, Path(temporary, "model.onnx"), who)
            path.write_bytes(self._build(tensorrt, graph, model, who))
        text = card_text(card, example.shape[1], batch=self.batch, fixed=False, inputs=model.facts())
        (folder / CARD).write_text(text, encoding="utf-8")
        return path

    def _build(self, tensorrt: Any, graph: Path, model: Any, who: str) -> bytes:
        builder = tensorrt.Builder(tensorrt.Logger(tensorrt.Logger.ERROR))
        network, config = builder.create_network(), builder.create_builder_config()
        parser = tensorrt.OnnxParser(network, tensorrt.Logger(tensorrt.Logger.ERROR))
        if not parser.parse_from_file(str(graph)):
            raise ExportError(who, expected="a graph that TensorRT reads", got=str(parser.get_error(0)))
        profile = builder.create_optimization_profile()
        for number, each in enumerate(model.examples(1)):
            one, many = tuple(each.shape), (self.batch, *each.shape[1:])
            profile.set_shape(_input(number), one, one, many)
        config.add_optimization_profile(profile)
        config.clear_flag(tensorrt.BuilderFlag.TF32)
        if self.precision == "float16":
            config.set_flag(tensorrt.BuilderFlag.FP16)
        engine = builder.build_serialized_network(network, config)
        if engine is None:
            raise ExportError(who, expected="a graph that TensorRT compiles", got="one that it does not")
        return bytes(engine)

    def open(self, file: Path, device: str = "cuda") -> Predictor:
        """Open `model.engine` with TensorRT, on the GPU; see the base class."""
        import torch

        from committee.exporters._card import CARD, damaged, read_card
        from committee.exporters._resized import resized_predictor

        if device not in ("cuda", "auto"):
            raise DeviceError("device", expected="cuda, on which engines run", got=f"'{device}'")
        tensorrt = _require()
        path = file.with_name(CARD)
        card = read_card(path.read_bytes() if path.is_file() else "", file)
        engine = tensorrt.Runtime(tensorrt.Logger(tensorrt.Logger.ERROR)).deserialize_cuda_engine(
            file.read_bytes()
        )
        if engine is None:
            raise damaged(file, "engine of this version of TensorRT")
        context, classes = engine.create_execution_context(), len(card["class_names"])
        kind = TARGET_TYPES[card.get("target_type", CLASSES.name)]

        def call(parts: list[Tensor]) -> Tensor:
            inputs = [part.cuda() for part in parts]
            sides = inputs[0].shape[2:] if kind.dense else ()
            found = torch.empty(len(inputs[0]), classes, *sides, device="cuda")
            for number, each in enumerate(inputs):
                context.set_input_shape(_input(number), tuple(each.shape))
                context.set_tensor_address(_input(number), each.data_ptr())
            context.set_tensor_address(kind.answers, found.data_ptr())
            stream = torch.cuda.current_stream()
            context.execute_async_v3(stream.cuda_stream)
            stream.synchronize()
            return found

        return resized_predictor(file, card, call)


def _write_graph(model: Any, path: Path, who: str) -> Path:
    """Write a model from resized images as ONNX with a free number of images."""
    import torch

    from committee.exporters._program import recorded

    examples, batch = model.examples(2), torch.export.Dim("batch")

    def export() -> Any:
        return torch.onnx.export(
            model,
            examples,
            dynamo=True,
            verbose=False,
            input_names=[_input(number) for number in range(len(examples))],
            output_names=[model.target_type.answers],
            dynamic_shapes=(tuple({0: batch} for _ in examples),),
        )

    recorded(model, export, who, "torch.onnx.export").save(str(path))
    return path


def _input(number: int) -> str:
    return f"images_{number}"


def _require() -> Any:
    """Return the package tensorrt; raise what names the part that is missing."""
    import torch

    try:
        tensorrt = importlib.import_module("tensorrt")
    except ImportError:
        raise DependencyError(
            "the format tensorrt",
            expected="the package 'tensorrt'",
            got="none installed",
            todo="Install it on a machine with an NVIDIA GPU, with: pip install tensorrt",
        ) from None
    if not torch.cuda.is_available():
        raise DeviceError("the format tensorrt", expected="an NVIDIA GPU", got="none")
    return tensorrt

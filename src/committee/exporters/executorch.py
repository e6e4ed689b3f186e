"""The ExecuTorch format: a program for phones and embedded devices."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.errors import UsageError, require
from committee.exporters.base import Card, Exporter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Predictor

BACKENDS = ("xnnpack", "portable")


class Executorch(Exporter):
    """An ExecuTorch program `model.pte`, and `card.json` with class names, origin and inputs.

    Shapes are fixed. The program has one input for each preprocessing of the members that differs in size or
    fit: the resized images, uint8 `[batch, c, size, size]`. It contains normalization, all members, the
    combiner and its temperature; its output are probabilities, or numbers, `[batch, classes]`. `open`
    resizes images of any size as in training, divides larger batches and fills smaller ones.

    Parameters
    ----------
    backend : {"xnnpack", "portable"}
        XNNPACK runs what it supports fast on CPUs; portable operators run everywhere, slowly.
    batch : int
        Number of images in a batch of the program.

    See Also
    --------
    TorchExport : The program with free sizes, for torch.

    Examples
    --------
    >>> from committee.exporters.executorch import Executorch
    >>> Executorch(batch=8).backend
    'xnnpack'
    """

    suffix = ".pte"
    graph = True
    device = "cpu"

    def __init__(self, backend: str = "xnnpack", batch: int = 1) -> None:
        if backend not in BACKENDS:
            raise UsageError("backend", expected=f"one of {', '.join(BACKENDS)}", got=f"'{backend}'")
        if not isinstance(batch, int) or batch < 1:
            raise UsageError("batch", expected="a whole number of at least 1", got=str(batch))
        self.backend, self.batch = backend, batch

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.pte` and `card.json`; see the base class."""
        _require()
        from committee.exporters._card import CARD, card_text
        from committee.exporters._constants import fold_constants
        from committee.exporters._program import record_program
        from committee.exporters._resized import FromResized

        who = f"executorch of {card.name}"
        model = FromResized(module, who)
        inputs = model.examples(self.batch)
        program = fold_constants(record_program(model, inputs, None, who), inputs, who)
        path = folder / f"model{self.suffix}"
        path.write_bytes(_lowered(program, self.backend))
        text = card_text(card, example.shape[1], batch=self.batch, fixed=True, inputs=model.facts())
        (folder / CARD).write_text(text, encoding="utf-8")
        return path

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open `model.pte` with the runtime of ExecuTorch, on the CPU; see the base class."""
        _require()
        from executorch.runtime import Runtime, Verification

        from committee.exporters._card import CARD, damaged, read_card, require_cpu
        from committee.exporters._quiet import quiet
        from committee.exporters._resized import resized_predictor

        require_cpu(device, "ExecuTorch programs")
        path = file.with_name(CARD)
        card = read_card(path.read_bytes() if path.is_file() else "", file)
        try:
            with quiet():
                program = Runtime.get().load_program(file, verification=Verification.InternalConsistency)
                method = program.load_method("forward")
        except (RuntimeError, OSError) as error:
            raise damaged(file, "ExecuTorch program") from error

        def call(parts: list[Tensor]) -> Tensor:
            found: Tensor = method.execute(parts)[0]
            return found

        return resized_predictor(file, card, call)


def _lowered(program: Any, backend: str) -> bytes:
    """Return the program of ExecuTorch as bytes."""
    from committee.exporters._quiet import quiet

    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        partitioners = [XnnpackPartitioner()] if backend == "xnnpack" else []
        edge = to_edge_transform_and_lower(program, partitioner=partitioners)
        return bytes(edge.to_executorch().buffer)


def _require() -> None:
    from committee.exporters._quiet import quiet

    try:
        with quiet():
            importlib.import_module("executorch.runtime")
    except ImportError:
        raise require("executorch", "executorch", "the format executorch") from None

"""The AOTInductor format: a program that torch has compiled for the processor of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.errors import DependencyError, DeviceError, UsageError
from committee.exporters.base import Card, Exporter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Predictor


class Aotinductor(Exporter):
    """A compiled program of AOTInductor, from resized images to probabilities `[batch, classes]`.

    The program has one input for each preprocessing of the members that differs in size or fit: the resized
    images, uint8 `[batch, c, size, size]`, of any batch size. `open` resizes images of any size as in
    training. The package contains machine code for the processor, or the GPU, of the machine that writes it,
    and runs from Python or C++ with libtorch. Writing needs a C++ compiler, and takes from 20 seconds to some
    minutes.

    The file contains machine code, so a file from elsewhere is opened only if its format is trusted.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        Device that the program is compiled for.

    See Also
    --------
    TorchExport : The program with free sizes, which is not compiled.

    Examples
    --------
    >>> from committee.exporters.aotinductor import Aotinductor
    >>> Aotinductor(device="cpu").suffix
    '.aoti.pt2'
    """

    suffix = ".aoti.pt2"
    graph = True
    runs_code = True

    def __init__(self, device: str = "cpu") -> None:
        if device not in ("cpu", "cuda"):
            raise UsageError("device", expected="cpu or cuda", got=f"'{device}'")
        self.device = device

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.aoti.pt2`; see the base class."""
        import torch
        from torch.export.passes import move_to_device_pass

        from committee.exporters._card import CARD, card_text
        from committee.exporters._program import record_program
        from committee.exporters._quiet import quiet
        from committee.exporters._resized import FromResized

        where = torch.device(self.device)
        if where.type == "cuda" and not torch.cuda.is_available():
            raise DeviceError("the format aotinductor with device=cuda", expected="CUDA", got="none")
        _require_compiler(card.name)
        who = f"aotinductor of {card.name}"
        model, batch = FromResized(module, who), torch.export.Dim("batch")
        examples = model.examples(2)
        program = record_program(model, examples, (tuple({0: batch} for _ in examples),), who)
        program = program if where.type == "cpu" else move_to_device_pass(program, where)
        program._example_inputs = (tuple(each.to(where) for each in examples), {})  # the compiler needs them
        facts = {"batch": 0, "fixed": False, "inputs": model.facts(), "device": self.device}
        text = card_text(card, example.shape[1], **facts)
        path = folder / f"model{self.suffix}"
        with quiet():
            torch._inductor.aoti_compile_and_package(
                program, package_path=str(path), inductor_configs={"aot_inductor.metadata": {CARD: text}}
            )
        return path

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Load `model.aoti.pt2` with torch, on the device that it was compiled for; see the base class."""
        import torch

        from committee.base.devices import resolve
        from committee.exporters._card import CARD, damaged, read_card
        from committee.exporters._quiet import quiet
        from committee.exporters._resized import resized_predictor

        wanted = resolve(device)
        try:
            with quiet():
                program: Any = torch._inductor.aoti_load_package(str(file))
                facts = program.get_metadata()
        except Exception as error:  # zip and torch raise classes of their own
            raise damaged(file, "package of AOTInductor") from error
        card = read_card(facts.get(CARD, ""), file)
        where = torch.device(card.get("device", "cpu"))
        if device != "auto" and wanted.type != where.type:
            raise DeviceError(
                str(file),
                expected=f"the device {where.type}, which it was compiled for",
                got=f"'{device}'",
                todo=f"Use it with --set device={where.type}.",
            )

        return resized_predictor(file, card, lambda parts: program(*(part.to(where) for part in parts)))


def _require_compiler(name: str) -> None:
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except Exception as error:
        raise DependencyError(
            f"aotinductor of {name}",
            expected="a C++ compiler (g++ or clang++)",
            got="none",
            todo="Install one, such as: apt install g++, or name it in the environment variable CXX.",
        ) from error

"""The TorchScript format: a traced program that torch runs from Python, C++ and mobile code."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from committee.exporters.base import STD, Card, Exporter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Images, Predictor, Probabilities


class Torchscript(Exporter):
    """A TorchScript file, `images` uint8 `[batch, c, height, width]` to probabilities `[batch, classes]`.

    Batch size, height and width are free. The program is traced and frozen for the CPU; it contains the
    preprocessing, all members, the combiner and its temperature. `card.json` inside the file has the class
    names and the origin of the model. A model whose networks predict variances returns a pair: values and
    their standard deviations. PyTorch has deprecated TorchScript, but libtorch still runs it.

    A TorchScript file is a program, so a file from elsewhere is opened only if its format is trusted.

    See Also
    --------
    TorchExport : The format that replaces TorchScript.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from torch import nn
    >>> from committee.exporters.base import Card
    >>> from committee.exporters.torchscript import Torchscript
    >>> from committee.models.member import Member
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    >>> member = Member.from_module(net, classes=["cat", "dog"], size=8).eval()
    >>> images = torch.zeros(2, 3, 20, 30, dtype=torch.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Torchscript().export(member, images, Path(folder), Card("pets", member.class_names))
    ...     predictor = Torchscript().open(file)
    >>> predictor.class_names, predictor(images[:, :, :9].numpy()).shape
    (('cat', 'dog'), (2, 2))
    """

    suffix = ".torchscript"
    graph = True
    device = "cpu"
    runs_code = True
    with_std = True

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.torchscript`; see the base class."""
        import torch

        from committee.exporters._card import CARD, card_text
        from committee.exporters._program import linked, recorded
        from committee.exporters._quiet import quiet
        from committee.models.moments import has_variance

        model = linked(module)
        images = model.example(example)
        more = {STD: True} if has_variance(module) else {}
        who = f"torchscript of {card.name}"
        program = recorded(
            model, lambda: torch.jit.trace(model, (images,), check_trace=False), who, "torch.jit.trace"
        )
        path = folder / f"model{self.suffix}"
        # Python writes the file, since the writer of torch ends the process if the disk is full.
        with quiet(), path.open("wb") as file:
            frozen = torch.jit.freeze(program.eval())
            torch.jit.save(frozen, file, {CARD: card_text(card, images.shape[1], **more)})
        return path

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open `model.torchscript` with torch, on the CPU; see the base class."""
        import torch

        from committee.exporters._card import CARD, CalledPredictor, damaged, read_card, require_cpu
        from committee.exporters._quiet import quiet

        require_cpu(device, "TorchScript files")
        extra = {CARD: ""}
        try:
            with quiet():
                program = torch.jit.load(str(file), map_location="cpu", _extra_files=extra)
        except RuntimeError as error:
            raise damaged(file, "TorchScript file") from error

        def call(images: Images) -> Probabilities | tuple[Probabilities, ...]:
            with torch.inference_mode(), quiet():
                found = program(torch.from_numpy(images))
            return tuple(each.numpy() for each in found) if isinstance(found, tuple) else found.numpy()

        return CalledPredictor(file, read_card(extra[CARD], file), call)

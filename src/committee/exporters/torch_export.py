"""The format of torch.export: a program that torch runs, compiles and converts to other formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from committee.exporters.base import Card, Exporter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Images, Predictor, Probabilities


class TorchExport(Exporter):
    """A `.pt2` file of `torch.export`, uint8 `[batch, c, height, width]` to probabilities `[batch, classes]`.

    Batch size, height and width are free. The program contains the preprocessing, all members, the combiner
    and its temperature; `card.json` inside the file has the class names and the origin of the model. It runs
    with torch alone: `torch.export.load(file).module()(images)`.

    Torch reads such files with pickle, so a file from elsewhere is opened only if its format is trusted.

    See Also
    --------
    Aotinductor : The same program, compiled.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from torch import nn
    >>> from committee.exporters.base import Card
    >>> from committee.exporters.torch_export import TorchExport
    >>> from committee.models.member import Member
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    >>> member = Member.from_module(net, classes=["cat", "dog"], size=8).eval()
    >>> images = torch.zeros(2, 3, 20, 30, dtype=torch.uint8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = TorchExport().export(member, images, Path(folder), Card("pets", member.class_names))
    ...     predictor = TorchExport().open(file)
    >>> predictor.class_names, predictor(images[:, :, :9].numpy()).shape
    (('cat', 'dog'), (2, 2))
    """

    suffix = ".pt2"
    graph = True
    runs_code = True

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.pt2`; see the base class."""
        from committee.exporters._card import CARD, card_text
        from committee.exporters._program import Linked, record_program, save_program
        from committee.exporters._quiet import quiet

        model = Linked(module)
        images = model.example(example)
        program = record_program(model, [images], [model.free], f"torch_export of {card.name}")
        path = folder / f"model{self.suffix}"
        with quiet():
            save_program(program, path, {CARD: card_text(card, images.shape[1])})
        return path

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open `model.pt2` with torch; see the base class."""
        import torch
        from torch.export.passes import move_to_device_pass

        from committee.base.devices import resolve
        from committee.exporters._card import CARD, CalledPredictor, damaged, read_card
        from committee.exporters._quiet import quiet
        from committee.exporters._sizes import sizes_read_once

        where, extra = resolve(device), {CARD: ""}
        try:
            with quiet(), sizes_read_once():
                program = torch.export.load(file, extra_files=extra)
                program = program if where.type == "cpu" else move_to_device_pass(program, where)
                module = program.module(check_guards=False)
        except Exception as error:  # zip, JSON, pickle and torch raise classes of their own
            raise damaged(file, "file of torch.export") from error

        def call(images: Images) -> Probabilities:
            with torch.inference_mode():
                found: Probabilities = module(torch.from_numpy(images).to(where)).cpu().numpy()
            return found

        return CalledPredictor(file, read_card(extra[CARD], file), call)

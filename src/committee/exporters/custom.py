"""A format of the user's own: a function that the recipe names writes the files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.errors import ExportError, UsageError
from committee.exporters.base import Card, Exporter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Predictor


class Custom(Exporter):
    """A folder that a function of yours writes, and that another function opens.

    `function(module, example, folder, card)` gets the module (images uint8 `[B, c, H, W]` to logits `[B, C]`,
    on the CPU, in evaluation mode), real images uint8 `[B, c, H, W]`, an empty folder, and the `Card` with
    name, class names and origin. It writes files into the folder; what it returns is not used.

    `opener(folder, device)` returns a function of images, a uint8 array `[B, c, H, W]` of any height and
    width, to probabilities or numbers, float32 `[B, C]`. The files are compared with the module through it.

    Both run only if the recipe or the command line names them, never because a file does: `card.json` of the
    folder has their names, which must be among those that are trusted.

    Parameters
    ----------
    function : str
        `package.module:function`.
    opener : str
        `package.module:function`; by default `open_model` of the same module.

    See Also
    --------
    Exporter : The base class of formats that a package adds.

    Examples
    --------
    >>> from committee.exporters.custom import Custom
    >>> Custom(function="our_formats.core:write").opener
    'our_formats.core:open_model'
    """

    def __init__(self, function: str = "", opener: str = "") -> None:
        for key, value in (("function", function), ("opener", opener)):
            if value and not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", str(value)):
                raise UsageError(key, expected="package.module:function", got=f"'{value}'")
        self.function = function
        self.opener = opener or (f"{function.partition(':')[0]}:open_model" if function else "")
        self.imports = (f"python:{self.opener}",)

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Call the function, and write `card.json`; see the base class."""
        from committee.exporters._card import CARD, card_text

        if not self.function:
            raise UsageError(
                f"custom of {card.name}",
                expected="the option function, such as package.module:function",
                got="none",
                todo="Name it: {format: custom, function: package.module:function}.",
            )
        _function(self.opener)
        _function(self.function)(module, example, folder, card)
        if (folder / CARD).exists():
            raise ExportError(
                f"custom of {card.name}",
                expected=f"no file {CARD}, which committee writes",
                got="one",
                todo=f"Give it another name in {self.function}.",
            )
        text = card_text(card, example.shape[1], function=self.function, opener=self.opener)
        (folder / CARD).write_text(text, encoding="utf-8")
        return folder

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Call the opener that `card.json` names, if it is trusted; see the base class."""
        from committee.base.devices import resolve
        from committee.exporters._card import CARD, CalledPredictor, damaged, read_card

        path = file / CARD
        card = read_card(path.read_bytes() if path.is_file() else "", path)
        opener = str(card.get("opener"))
        name = f"python:{opener}"
        if self.trusted is not True and (not self.trusted or name not in self.trusted):
            raise UsageError(
                str(file),
                expected="an opener that the recipe names",
                got=f"'{opener}' from the file",
                todo=f"If you know this function, allow it with --trust {name}.",
            )
        where = str(resolve(device))
        try:
            call = _function(opener)(file, where)
        except (OSError, ValueError) as error:
            raise damaged(file, f"folder that {opener} opens") from error
        return CalledPredictor(file, card, call)

    def load(self, file: Path, module: nn.Module) -> Predictor:
        """Open the folder with the opener of this run; see the base class."""
        self.trusted = True
        return self.open(file)


def _function(name: str) -> Any:
    """Import a function.

    Raises
    ------
    UsageError
        There is no such module or function.
    """
    import importlib

    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            name,
            expected="a function that can be imported",
            got=str(error),
            todo="Install its package, or add its folder to PYTHONPATH.",
        ) from error
    if not callable(found):
        raise UsageError(name, expected="a function", got=type(found).__name__)
    return found

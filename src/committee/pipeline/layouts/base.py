"""Layouts of folders that trainers leave: what a folder must look like, and what is found in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from committee.base.registry import Family
from committee.pipeline.importing.files import Files
from committee.pipeline.importing.settings import Settings

REFIT = "refit"
"""The key of a network that is not one of several folds."""


@dataclass(frozen=True)
class Found:
    """One model that a trainer left: its networks, its predictions, and what is known about both.

    Parameters
    ----------
    name : str
        The name of the model; names of several models may be equal.
    layout : str
        The key of the layout.
    networks : mapping of str to Path
        The checkpoint of each network: `refit`, or `fold_0`, `fold_1`, ...
    predictions : mapping of str to list of Path
        The files of predictions of `oof`, `val` and `test` rows; several files are one for each fold, in the
        order of the folds.
    settings : Settings
        What configuration files say about the architecture, the preprocessing and the classes.
    order : {"text", "number", ""}
        How the trainer sorts the names of classes, if it does so by itself.
    ema : bool
        Whether the trainer chose its checkpoint by the moving average of the weights.
    score : float, optional
        The accuracy that the trainer noted, from 0 to 1.
    passed_over : mapping of Path to str
        Files of the model that are not used, with the reason.

    See Also
    --------
    Layout.find : Return these.
    """

    name: str
    layout: str
    networks: Mapping[str, Path] = field(default_factory=dict)
    predictions: Mapping[str, list[Path]] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    order: str = ""
    ema: bool = False
    score: float | None = None
    passed_over: Mapping[Path, str] = field(default_factory=dict)

    def files(self) -> set[Path]:
        """Return the files that this model explains."""
        return {
            *self.networks.values(),
            *(path for paths in self.predictions.values() for path in paths),
            *self.passed_over,
        }


class Layout(ABC):
    """Base class of the layouts of folders that `committee import` recognizes.

    A layout is one file in `committee/pipeline/layouts`. Layouts are asked one after the other, and each sees
    the files that the earlier ones left.

    Attributes
    ----------
    title : str
        What was recognized, in the table of `committee import --dry-run`.
    rank : int
        Layouts with a smaller number are asked first.

    See Also
    --------
    recognize : Ask all layouts.

    Examples
    --------
    >>> from committee.pipeline.layouts.base import LAYOUTS
    >>> LAYOUTS.load("lightning").title
    'run of Lightning'
    """

    title: ClassVar[str]
    rank: ClassVar[int]

    @abstractmethod
    def find(self, files: Files) -> Iterator[Found]:
        """Yield the models that the files contain in this layout; no weights are read."""


LAYOUTS: Family[Layout] = Family("committee.pipeline.layouts", "layout")


def recognize(files: Files) -> list[Found]:
    """Return the models that the layouts find in files, in the order of the layouts.

    Parameters
    ----------
    files : Files
        Files that a layout explains are removed from `files.free`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.pipeline.importing.files import Files
    >>> from committee.pipeline.layouts.base import recognize
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("resnet18_fold0.pt", "resnet18_fold1.pt"):
    ...         Path(root, name).touch()
    ...     found = recognize(Files(Path(root)))
    >>> found[0].name, list(found[0].networks)
    ('resnet18', ['fold_0', 'fold_1'])
    """
    found: list[Found] = []
    layouts = {name: LAYOUTS.load(name)() for name in LAYOUTS.names()}
    for name in sorted(layouts, key=lambda each: (layouts[each].rank, each)):
        for model in layouts[name].find(files):
            files.claim(model.files())
            found.append(model)
    return found

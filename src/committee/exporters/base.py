"""What every export format does: write a module to a folder, and read it back for comparison."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from committee.base.registry import Family
from committee.exporters._predictor import Predictor


@dataclass(frozen=True)
class Card:
    """What an exported file says about itself.

    Parameters
    ----------
    name : str
        Of the member or ensemble.
    class_names : tuple of str, length C
        In the order of the probabilities.
    facts : dict
        Where it comes from: plain JSON values.
    """

    name: str
    class_names: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Exporter(ABC):
    """One format.

    Attributes
    ----------
    graph : bool
        Whether its file is a fixed graph, in which every network runs on every photo.
    """

    graph: ClassVar[bool] = False

    @abstractmethod
    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `module` into `folder` and return the main file.

        Parameters
        ----------
        module : torch.nn.Module
            Images uint8 `[B, c, H, W]` -> logits `[B, C]`; on the CPU, in evaluation mode.
        example : uint8 Tensor `[B, c, H, W]`
            Real images to trace with; B, H and W at least 2.
        folder : Path
            An existing, empty folder.
        card : Card
            What the file shall say about itself.

        Raises
        ------
        ExportError
            The module does not fit the format.
        """

    @abstractmethod
    def load(self, file: Path, module: nn.Module) -> Predictor:
        """Read what `export` wrote.

        Parameters
        ----------
        file : Path
            What `export` returned.
        module : torch.nn.Module
            The module that was exported: a format that holds weights alone takes the architecture from it.
        """


EXPORTERS: Family[Exporter] = Family("committee.exporters", "export format")

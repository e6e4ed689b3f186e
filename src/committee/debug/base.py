"""The base class of debug sections, which run one step on few samples and write only to `debug_tmp/`."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from committee.base.registry import Family
from committee.debug.shared.bench import Bench

log = logging.getLogger(__name__)


class Section(ABC):
    """One step of the pipeline that `committee debug` runs alone.

    Attributes
    ----------
    order : int
        The position among the sections and stages, which run in ascending order.

    See Also
    --------
    committee.debug.shared.of_stage.OfStage : A section that runs a stage of the pipeline.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.debug.shared.bench import Bench
    >>> from committee.debug.base import SECTIONS
    >>> from committee.recipe.load import load_recipe
    >>> from committee.store.layout import Store
    >>> recipe = load_recipe(None, ["backbones.include=[timm:resnet18]"])
    >>> bench = Bench(Store(Path("store")), Store(Path("scratch")), recipe, fast=False)
    >>> SECTIONS.make("smoke").plan(bench)
    'one batch forward and backward through resnet18'
    """

    order: ClassVar[int] = 1000

    @abstractmethod
    def plan(self, bench: Bench) -> str:
        """Return one line on what `run` would do, without running it."""

    @abstractmethod
    def run(self, bench: Bench) -> str:
        """Run the step, and return one line on the result.

        Raises
        ------
        CommitteeError
            The step fails.
        """


SECTIONS: Family[Section] = Family("committee.debug", "debug section")


def log_facts(subject: str, **facts: Any) -> None:
    """Log shapes, statistics and paths at the level that `--verbose` shows."""
    log.debug("  %s: %s", subject, ", ".join(f"{key} {value}" for key, value in facts.items()))


def statistics(values: Any) -> str:
    """Return the shape, dtype, range and mean of an array as text."""
    array = np.asarray(values)
    if not array.size:
        return f"{list(array.shape)} {array.dtype}, empty"
    return f"{list(array.shape)} {array.dtype} {array.min():.4g}..{array.max():.4g}, mean {array.mean():.4g}"

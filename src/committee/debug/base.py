"""The base class of debug sections, which run one step on little data and write to `debug_tmp/` only."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from committee.base.registry import Family
from committee.debug._bench import Bench

log = logging.getLogger(__name__)


class Section(ABC):
    """One step of the pipeline, run alone.

    Attributes
    ----------
    order : int
        The place among the sections: they run in ascending order, as the stages of a run do.
    """

    order: ClassVar[int] = 1000

    @abstractmethod
    def plan(self, bench: Bench) -> str:
        """Return what `run` would do, in one line; nothing is run."""

    @abstractmethod
    def run(self, bench: Bench) -> str:
        """Run the stage; return what came out, in one line.

        Raises
        ------
        CommitteeError
            The stage does not work.
        """


SECTIONS: Family[Section] = Family("committee.debug", "debug section")


def tell(what: str, **facts: Any) -> None:
    """Tell one step with its shapes, statistics and paths, where `--verbose` asks for it."""
    log.debug("  %s: %s", what, ", ".join(f"{key} {value}" for key, value in facts.items()))


def statistics(values: Any) -> str:
    """Return shape, type, range and mean of an array, for `tell`."""
    array = np.asarray(values)
    return f"{list(array.shape)} {array.dtype} {array.min():.4g}..{array.max():.4g}, mean {array.mean():.4g}"

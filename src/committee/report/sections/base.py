"""The base class of sections of the report, and their family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar

from committee.base.registry import Family
from committee.report.blocks import Block
from committee.report.facts import Facts


class ReportSection(ABC):
    """One section of the report.

    Attributes
    ----------
    key : str
        Name of the section, which is the name of its file, and its anchor in the page.
    title : str
        Its heading.
    order : int
        Its place in the page; sections are in ascending order.

    See Also
    --------
    committee.report.facts.Facts : What sections are made from.

    Examples
    --------
    >>> from committee.report.sections.base import SECTIONS
    >>> SECTIONS.load("leaderboard").title
    'Leaderboard'
    """

    key: ClassVar[str]
    title: ClassVar[str]
    order: ClassVar[int]

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.key = cls.__module__.rpartition(".")[2]

    def applies(self, facts: Facts) -> bool:
        """Return whether the store has anything for this section."""
        return bool(facts.reports)

    @abstractmethod
    def blocks(self, facts: Facts) -> Iterable[Block]:
        """Return what the section shows; without any block, it is left out."""


SECTIONS: Family[ReportSection] = Family("committee.report.sections", "section of the report")

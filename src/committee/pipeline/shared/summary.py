"""Results for people and for programs: tables and sentences beside plain JSON values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Table:
    """A table of a summary.

    Attributes
    ----------
    title : str
        The heading; empty for none.
    columns : sequence of str
    rows : sequence of sequence
        Cells, one a column: text, numbers, or None where there is no value.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Summary:
    """What a stage would do, or has done.

    Attributes
    ----------
    facts : mapping
        Plain JSON values, for programs.
    blocks : sequence of Table or str
        The same for people: tables and sentences, in the order in which they are printed.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    blocks: Sequence[Table | str] = ()


def merged(summaries: Iterable[Summary]) -> Summary:
    """Return several summaries as one; what they have in common is said once."""
    facts: dict[str, Any] = {}
    blocks: list[Table | str] = []
    for summary in summaries:
        for key, value in summary.facts.items():
            both = isinstance(value, Mapping) and isinstance(facts.get(key), Mapping)
            facts[key] = {**facts[key], **value} if both else value
        blocks += [block for block in summary.blocks if block not in blocks]
    return Summary(facts, blocks)

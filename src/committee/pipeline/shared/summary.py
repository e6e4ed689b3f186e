"""Summaries of stages: tables and sentences for the terminal, and JSON values for programs."""

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
        The heading; it may be empty.
    columns : sequence of str
        The names of the columns.
    rows : sequence of sequence
        The cells of each row: text, numbers, or None for a missing value.

    See Also
    --------
    Summary : Contains tables.

    Examples
    --------
    >>> from committee.pipeline.shared.summary import Table
    >>> table = Table("Members", ["name", "MB"], [["resnet18", 44.7], ["vit", None]])
    >>> [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    [{'name': 'resnet18', 'MB': 44.7}, {'name': 'vit', 'MB': None}]
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Summary:
    """The plan or the result of a stage.

    Attributes
    ----------
    facts : mapping of str to Any
        JSON values, which `--json` prints.
    blocks : sequence of Table or str
        The same as tables and sentences, in the order in which they are printed.

    See Also
    --------
    merged : Merges summaries.
    committee.pipeline.stages.base.Stage.plan : Returns a summary.

    Examples
    --------
    >>> from committee.pipeline.shared.summary import Summary, merged
    >>> fits = Summary({"ensembles": {"weighted": 4}}, ["4 fits."])
    >>> both = merged([fits, Summary({"ensembles": {"soft_voting": 0}}, ["4 fits.", "No fit."])])
    >>> both.facts, both.blocks
    ({'ensembles': {'weighted': 4, 'soft_voting': 0}}, ['4 fits.', 'No fit.'])
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    blocks: Sequence[Table | str] = ()


def merged(summaries: Iterable[Summary]) -> Summary:
    """Return several summaries as one; blocks in several of them are included once."""
    facts: dict[str, Any] = {}
    blocks: list[Table | str] = []
    for summary in summaries:
        for key, value in summary.facts.items():
            both = isinstance(value, Mapping) and isinstance(facts.get(key), Mapping)
            facts[key] = {**facts[key], **value} if both else value
        blocks += [block for block in summary.blocks if block not in blocks]
    return Summary(facts, blocks)


def interval(found: Mapping[str, float] | None) -> str:
    """Return a value and its 95% interval, such as `0.9123 [0.8951, 0.9302]`; an empty text for None."""
    return "" if found is None else f"{found['value']:z.4f} [{found['low']:z.4f}, {found['high']:z.4f}]"

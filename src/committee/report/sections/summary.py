"""What was trained, what won, what to use within which budget, and what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from typing import Any

from committee.base.text import count
from committee.pipeline.shared.best import proven_gains
from committee.pipeline.shared.reports import Report, value_of
from committee.report.blocks import Block, Cell, Details, Table, Text
from committee.report.cells import latency, name_of, size
from committee.report.facts import Facts
from committee.report.sections._front import front
from committee.report.sections.base import ReportSection
from committee.report.text import score

LISTED = 5


class Summary(ReportSection):
    """The results in words, for readers who stop here.

    See Also
    --------
    committee.report.recommendation.recommend : The model to use.
    """

    title = "Summary"
    order = 10

    def applies(self, facts: Facts) -> bool:
        """Return True: a store in which all members failed has a summary."""
        return True

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the recommendation, the sentences, the budgets, and what is missing."""
        found = facts.recommendation
        yield Text(found.text if found is not None else "No model is evaluated.", "lead")
        for sentence in filter(None, (_trained(facts), _proven(facts), _data(facts))):
            yield Text(sentence)
        yield from _budgets(facts)
        yield from _missing(facts)


def _trained(facts: Facts) -> str:
    backbones = Counter(str(report.get("backbone", "")) for report in facts.singles)
    named = [name if number == 1 else f"{number} x {name}" for name, number in backbones.most_common(LISTED)]
    more = len(backbones) - LISTED
    listed = ", ".join(filter(None, named)) + (f" and {more} more" if more > 0 else "")
    trained = f"{count(len(facts.singles), 'member')} ({listed})" if facts.singles else "No member"
    methods = ", ".join(name_of(report) for report in facts.ensembles[:LISTED])
    rest = len(facts.ensembles) - LISTED
    combined = f"; {count(len(facts.ensembles), 'combination')} of them: {methods}" if facts.ensembles else ""
    return f"Evaluated: {trained}{combined}{f' and {rest} more' if rest > 0 else ''}."


def _proven(facts: Facts) -> str:
    if not facts.ensembles:
        return ""
    proven = proven_gains(facts.reports, facts.metric)
    if not proven:
        return (
            f"No combination has a proven gain in {facts.metric} over the best single member: differences "
            "may be "
            "chance."
        )
    first = proven[0]
    gain = first["gain"][facts.metric]
    return (
        f"{len(proven)} of {count(len(facts.ensembles), 'combination')} "
        f"{'has' if len(proven) == 1 else 'have'} a "
        f"proven gain in {facts.metric}; {name_of(first)} is better than the {gain['against']} by "
        f"{score(facts.metric, gain)}. Taken together, at most 5% of such tables claim a gain where there "
        "is none."
    )


def _data(facts: Facts) -> str:
    record = facts.record
    if record is None:
        return ""
    splits = Counter(record.splits)
    parts = [f"{number} {name}" for name, number in sorted(splits.items(), key=lambda each: -each[1])]
    kind = record.kind
    names = (
        count(len(record.class_names), kind.output)
        if len(record.class_names) == 1
        else (f"{len(record.class_names)} {kind.outputs}")
    )
    folds = max(record.folds, default=-1) + 1
    text = f"Data set {record.name}: {count(len(record.ids), 'image')} ({', '.join(parts)}), {names}"
    text += f", {count(folds, 'fold')}." if folds else ", no folds."
    if "test" not in splits:
        text += " There is no test split: scores are cross-fitted."
    return text


def _budgets(facts: Facts) -> Iterator[Block]:
    """Yield the models of which none is better and cheaper at once, fastest first."""
    found = front(facts)
    if len(found) > 1:
        proven = [report["name"] for report in proven_gains(facts.reports, facts.metric)]
        rows = [_row(facts, report, proven) for report in found]
        columns = ["Use", "from ms per image", "from MB", f"{facts.metric} cross-fitted", "proven gain"]
        note = (
            "The models that no other beats in score and latency at once, fastest first: the last one "
            "whose costs "
            "are within a budget is the best within it."
        )
        yield Table(columns, rows, "What to deploy for which budget", note, numbers=(1, 2))


def _row(facts: Facts, report: Report, proven: Container[Any]) -> list[Cell | str]:
    return [
        name_of(report),
        latency(report),
        size(report),
        Cell(
            score(facts.metric, report["cross_fitted"].get(facts.metric)),
            value_of(report, "cross_fitted", facts.metric),
        ),
        Cell("proven", style="proven") if report["name"] in proven else Cell(""),
    ]


def _stages_left_out(facts: Facts) -> Mapping[str, str]:
    """Return what the last run of the store had no time for, beside members, with the reasons."""
    found: Mapping[str, str] = (facts.last_run.get("time_limit") or {}).get("unfinished", {})
    trained = {str(report["name"]) for report in facts.reports}
    return {name: why for name, why in found.items() if name not in trained}


def _missing(facts: Facts) -> Iterator[Block]:
    late = {**_stages_left_out(facts), **facts.unfinished}
    parts = {"Failed": facts.failed, "Left out by the time limit": late, "Not shown": facts.left_out}
    for what, found in parts.items():
        if found:
            rows = [[name, Cell(reason, style="wrap")] for name, reason in found.items()]
            title = f"{what}: {count(len(found), 'part' if found is late else 'model')}"
            if len(rows) > LISTED:
                yield Details(title, [Table(["name", "reason"], rows)])
            else:
                yield Table(["name", "reason"], rows, title)
    data: Mapping[str, int] = next((each["data"] for each in facts.reports if "data" in each), {})
    if data.get("quarantined"):
        yield Text(
            f"{count(data['quarantined'], 'image')} could not be used, and are in none of the figures: see "
            "quarantine.csv in the store.",
            "warning",
        )
    if any(report.get("seen") for report in facts.reports):
        yield Text(
            "Some test scores (marked +) may be too good: an adopted member may have been trained on "
            "test images.",
            "warning",
        )

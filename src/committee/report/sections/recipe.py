"""How the results were made: data, recipe, versions, times, and the command that makes them again."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML

from committee.base.text import duration
from committee.errors import printable
from committee.report.blocks import Block, Code, Details, Table
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

HIDDEN = 100


class Recipe(ReportSection):
    """Facts of the data set, the last run, and the images that were left out.

    See Also
    --------
    committee.pipeline.run.run : Stores the recipe of a run.
    """

    title = "How it was made"
    order = 200

    def applies(self, facts: Facts) -> bool:
        """Return True: there is always a store."""
        return True

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the facts, the commands, the recipe, and the lists of images."""
        rows = [[key, printable(str(value))] for key, value in _facts(facts)]
        yield Table(["", "value"], rows)
        store = str(facts.store)
        commands = [
            "committee run recipe.yaml" if facts.last_run.get("recipe") else "committee run RECIPE",
            "committee report",
        ]
        yield Code("Make it again", "\n".join(f"{command} --store {store}" for command in commands))
        if facts.last_run.get("seconds"):
            times = [
                [str(stage), duration(seconds / 3600)] for stage, seconds in facts.last_run["seconds"].items()
            ]
            yield Table(["stage", "time"], times, "The last run")
        if facts.last_run.get("recipe"):
            yield Details("Recipe of the last run: recipe.yaml", [Code("", _yaml(facts.last_run["recipe"]))])
        yield from _lists(facts)


def _facts(facts: Facts) -> Iterator[tuple[str, object]]:
    record, run = facts.record, facts.last_run
    if record is not None:
        yield "data set", record.name
        yield "fingerprint", record.fingerprint
        if record.source.get("path"):
            yield "source", record.source["path"]
    if "finished" in run:
        yield "last run", run["finished"]
    versions = run.get("versions")
    if isinstance(versions, dict):
        yield "versions", ", ".join(f"{name} {version}" for name, version in versions.items())
    first = next(iter(facts.reports), None)
    if first is not None:
        latency = first["latency_ms"]
        known = {key: latency[key] for key in ("device", "threads", "runtime") if key in latency}
        yield "measured on", ", ".join(f"{key} {value}" for key, value in known.items())


def _yaml(recipe: Any) -> str:
    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style = False
    yaml.width = 110
    yaml.dump(recipe, text)
    return text.getvalue().strip()


def _lists(facts: Facts) -> Iterator[Block]:
    record = facts.record
    if record is None:
        return
    for title, heading, found in (
        ("Images that could not be used", "reason", record.quarantined),
        ("Images that repeat another", "copy of", record.copies),
    ):
        if found:
            rows = [[printable(name), printable(str(value))] for name, value in list(found.items())[:HIDDEN]]
            note = "" if len(found) <= HIDDEN else f"The first {HIDDEN}; the store has a CSV file of all."
            yield Details(f"{title} ({len(found)})", [Table(["image", heading], rows, note=note)])

"""Run one stage alone on little data, step by step.

With --fast, a stage works on 16 synthetic samples for one epoch; without it, on links to the files of the
store. Only the folder debug_tmp of the store is written to. --verbose shows shapes, statistics and paths of
each step.
"""

from __future__ import annotations

import logging
import shutil
from argparse import ArgumentParser, Namespace
from itertools import count
from typing import TYPE_CHECKING

from committee.base.registry import Family
from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table
from committee.errors import CommitteeError, UsageError, nearest

if TYPE_CHECKING:
    from committee.debug.base import Section
    from committee.debug.shared.bench import Bench

log = logging.getLogger("committee")


def sections() -> list[str]:
    """Return the names of the sections, in the order of a run; no section is imported."""
    own: Family[object] = Family("committee.debug", "debug section")
    stages: Family[object] = Family("committee.pipeline.stages", "stage")
    order = {name: own.constants(name).get("order", 1000) for name in own.names()}
    for facts in map(stages.constants, stages.names()):
        order[facts["debug"]] = facts["order"]
    return sorted(order, key=lambda name: (order[name], name))


GROUP = "Other"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, `--section`, `--arch`, `--fast`, `--confirm`, `--dry-run` and `--json`."""
    add_recipe(parser)
    add_store(parser)
    parser.add_argument(
        "--section", metavar="NAME", default="all", help=f"{', '.join(sections())} or all (default)"
    )
    parser.add_argument("--arch", metavar="NAME", help="work on this backbone, not those of the recipe")
    parser.add_argument("--fast", action="store_true", help="16 synthetic samples, one epoch, two folds")
    parser.add_argument("--confirm", action="store_true", help="first remove what earlier debug runs left")
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Run the sections in turn; a failure is named, and the next one goes on."""
    names = _chosen(arguments.section)
    parts = {name: _section(name) for name in names}
    bench = _bench(arguments)
    if arguments.dry_run:
        return _print([[name, "would run", part.plan(bench)] for name, part in parts.items()], arguments.json)
    bench.open()
    log.info("writing to %s", bench.scratch.root)
    rows = []
    for name, part in parts.items():
        try:
            rows.append([name, "ok", part.run(bench)])
        except CommitteeError as error:
            rows.append([name, "failed", str(error)])
    return _print(rows, arguments.json)


def _chosen(section: str) -> list[str]:
    known = sections()
    wanted = section.replace("-", "_")
    if wanted not in (*known, "all"):
        raise UsageError(
            "--section",
            expected=f"one of {', '.join(known)}, all",
            got=f"'{section}'",
            todo=nearest(wanted, known),
        )
    return known if wanted == "all" else [wanted]


def _section(name: str) -> Section:
    """Return the section of a name, or the one that runs the stage of that name."""
    from committee.debug.base import SECTIONS
    from committee.debug.shared.of_stage import OfStage
    from committee.pipeline.stages.base import STAGES

    for stage in map(STAGES.load, STAGES.names()):
        if stage.debug == name:
            return OfStage(stage())
    return SECTIONS.make(name)


def _bench(arguments: Namespace) -> Bench:
    from committee.debug.shared.bench import Bench, fast_recipe, only
    from committee.store.layout import Store

    store, recipe = store_of(arguments), recipe_of(arguments)
    tmp = store.debug_tmp()
    if arguments.confirm and not arguments.dry_run:
        shutil.rmtree(tmp, ignore_errors=True)
    scratch = Store(next(tmp / f"run_{n}" for n in count(1) if not (tmp / f"run_{n}").exists()))
    if arguments.arch:
        recipe = only(recipe, arguments.arch)
    if arguments.fast:
        recipe = fast_recipe(recipe, scratch)
    return Bench(store, scratch, recipe, arguments.fast)


def _print(rows: list[list[str]], as_json: bool) -> int:
    if as_json:
        print_json([{"section": name, "result": result, "what": what} for name, result, what in rows])
    else:
        print_table("", ["section", "result", "what"], rows)
    failed = [name for name, result, _ in rows if result == "failed"]
    return 0 if not failed else 1 if len(failed) == len(rows) else 3

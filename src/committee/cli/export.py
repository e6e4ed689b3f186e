"""Package members and ensembles: weights, a reloadable folder, and one ONNX file for the whole.

Every file is compared with the model it was made from, on real images of several sizes, before it counts.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_failed, print_json, print_table

if TYPE_CHECKING:
    from committee.pipeline.shared.outcome import Outcome
    from committee.store.layout import Store


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store, which models and formats, and where to."""
    add_recipe(parser)
    add_store(parser)
    parser.add_argument(
        "--model-name",
        action="append",
        default=[],
        metavar="NAME",
        help="member or ensemble to package, by full or short name; may be repeated (default: all)",
    )
    parser.add_argument(
        "--formats", metavar="A,B", help="formats to write (default: exports.formats of the recipe)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write to DIR/NAME, not to the store's deploy/NAME"
    )
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Export, and say what was made."""
    from committee.cli._stages import say_unbuilt
    from committee.pipeline.stages.export import export, models

    if arguments.formats:
        arguments.overrides.append(f"exports.formats=[{arguments.formats}]")
    recipe, store = recipe_of(arguments), store_of(arguments)
    names = models(store, arguments.model_name)
    say_unbuilt(recipe)
    if arguments.dry_run:
        return _print_plan(store, names, list(recipe.exports.formats), arguments)
    outcome = export(recipe, store, names, out=arguments.out)
    return _print_packages(outcome, store, arguments)


def _print_packages(outcome: Outcome, store: Store, arguments: Namespace) -> int:
    from committee.pipeline.stages.export import package_folder, read_status

    folders = {name: package_folder(store, name, arguments.out) for name in outcome.done}
    packages = [{**(read_status(folder) or {}), "folder": folder.as_posix()} for folder in folders.values()]
    if arguments.json:
        print_json({**outcome.to_json(), "packages": packages})
        return outcome.exit_code
    entries = [(package, key) for package in packages for key in package["formats"]]
    lost = [(package, key) for package, key in entries if package["formats"][key]["status"] == "failed"]
    rows = [_row(package, key) for package, key in entries if (package, key) not in lost]
    failed = {f"{package['name']} ({key})": package["formats"][key]["reason"] for package, key in lost}
    columns = ["name", "format", "file", "MB", "seconds", "largest difference"]
    print_table("Packages", columns, rows)
    print_failed(failed | outcome.failed)
    return outcome.exit_code


def _row(package: dict[str, Any], key: str) -> list[object]:
    entry = package["formats"][key]
    place, parity = f"{package['folder']}/{entry['file']}", entry["parity"]["max_abs_diff"]
    return [package["name"], key, place, entry["size_mb"], entry["seconds"], parity]


def _print_plan(store: Store, names: list[str], formats: list[str], arguments: Namespace) -> int:
    from committee.exporters.base import EXPORTERS
    from committee.pipeline.stages.export import package_folder

    built = EXPORTERS.names()
    plan = [
        {
            "name": name,
            "format": key,
            "folder": (package_folder(store, name, arguments.out) / key).as_posix(),
            "built": key in built,
        }
        for name in names
        for key in formats
    ]
    if arguments.json:
        print_json(plan)
        return 0
    rows = [[row["name"], row["format"], row["folder"] if row["built"] else "not built yet"] for row in plan]
    print_table("What would be exported (no fits; seconds each)", ["name", "format", "folder"], rows)
    return 0

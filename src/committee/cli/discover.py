"""Look through a store, verify all checksums, and write its catalog.

What is damaged, half written, or built from networks that have changed since is named and left out.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from committee.cli._options import add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table

GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store and `--json`."""
    add_recipe(parser)
    add_store(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Discover, and print the catalog; 3 when something had to be left out."""
    from committee.errors import StoreError
    from committee.pipeline.discover import discover, look_through

    recipe_of(arguments)
    store = store_of(arguments)
    last = f"Written to {store.catalog}"
    try:
        catalog = discover(store)
    except StoreError as error:
        # Looking is free where another run writes, whose end brings the catalog up to date, or nobody may.
        last = f"The catalog is not written. {error}"
        catalog = look_through(store)
    code = 3 if catalog["left_out"] or catalog["failed"] else 0
    if arguments.json:
        print_json(catalog)
        return code
    print_table(str(store.root), ["kind", "name", "what"], _rows(catalog))
    print(last)
    return code


def _rows(catalog: dict[str, Any]) -> list[list[str]]:
    rows = [
        ["member", entry["name"], f"{entry['backbone']}: {', '.join(entry['fits'])}"]
        for entry in catalog["members"]
    ]
    rows += [
        ["ensemble", entry["name"], f"{entry['method']} of {', '.join(entry['members'])}"]
        for entry in catalog["ensembles"]
    ]
    rows += [["package", entry["name"], f"{len(entry['files'])} files"] for entry in catalog["packages"]]
    rows += [["failed", entry["name"], entry["reason"]] for entry in catalog["failed"]]
    return rows + [["left out", entry["path"], entry["reason"]] for entry in catalog["left_out"]]

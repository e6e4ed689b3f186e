"""Verify all checksums of a store, and write its catalog.

Whatever is damaged, incomplete, or built from networks that have changed since is listed with the reason and
left out of the catalog; the exit code is then 3. Of a folder that other trainers left, it says what would be
recognized by committee import.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from committee.cli._options import add_json, add_recipe, add_store, check_recipe, store_of
from committee.cli._output import print_json, print_table, print_text

GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the recipe, the store and `--json`."""
    add_recipe(parser, is_used=False)
    add_store(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Write the catalog, and print it; return 3 if something is left out."""
    from committee.errors import StoreError
    from committee.pipeline.discover import discover, look_through

    check_recipe(arguments)
    store = store_of(arguments)
    result = f"Wrote {store.catalog}"
    try:
        catalog = discover(store)
    except StoreError as error:
        # While another process writes, or in a read-only store, the catalog is printed but not written.
        result = f"The catalog is not written. {error}"
        catalog = look_through(store)
    code = 3 if catalog["left_out"] or catalog["failed"] else 0
    if arguments.json:
        print_json(catalog)
        return code
    rows = _rows(catalog)
    print_table(str(store), ["kind", "name", "content"], rows)
    if not rows:
        print("The store is empty. Train members with: committee run RECIPE")
    print_text(result)
    return code


def _rows(catalog: dict[str, Any]) -> list[list[str]]:
    rows = [
        ["member", entry["name"], f"{entry['backbone']}: {', '.join(entry['fits'])}"]
        for entry in catalog["members"]
    ]
    rows += [
        ["predictions", entry["name"], ", ".join(entry["predictions"])] for entry in catalog["predictions"]
    ]
    rows += [
        ["ensemble", entry["name"], f"{entry['method']} of {', '.join(entry['members'])}"]
        for entry in catalog["ensembles"]
    ]
    rows += [["package", entry["name"], f"{len(entry['files'])} files"] for entry in catalog["packages"]]
    rows += [["failed", entry["name"], entry["reason"]] for entry in catalog["failed"]]
    return rows + [["left out", entry["path"], entry["reason"]] for entry in catalog["left_out"]]

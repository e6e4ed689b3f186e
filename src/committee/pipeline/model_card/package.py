"""The model card of a package, `README.md`, which is written again whenever the facts in it change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from committee.exporters.base import CHECKSUMS, METADATA
from committee.images.record import load_record
from committee.pipeline.model_card.described import Data, Described
from committee.pipeline.model_card.text import card_text, code, table
from committee.pipeline.shared.package import CLASSES, STATUS, package_facts, write_readme
from committee.pipeline.shared.reports import read_reports
from committee.predictions.target_types import CLASSES as OF_CLASSES
from committee.predictions.target_types import TARGET_TYPES
from committee.recipe.model import Recipe
from committee.store.layout import Store

LISTED = 60
"""Largest number of files that the card lists."""


def write_card(recipe: Recipe, store: Store, name: str, folder: Path) -> None:
    """Write the card of a package of a stored model, and its checksum, unless both are up to date.

    Parameters
    ----------
    recipe : Recipe
        Its section `model_card` has the license and the texts on the use of the model.
    store : Store
        It has the report of the model and the record of the data set.
    name : str
        Full name of the model.
    folder : Path
        The package, which is complete but for its card.

    Raises
    ------
    StoreError
        A file of the package is damaged, or the disk is full, read-only or failing.
    """
    facts = package_facts(folder)
    write_readme(folder, _text(_described(recipe, store, name, facts), facts))


def _described(recipe: Recipe, store: Store, name: str, facts: Mapping[str, Any]) -> Described:
    meta = facts[METADATA]
    parities = [its["parity"]["max_abs_diff"] for its in facts[STATUS]["formats"].values() if "parity" in its]
    return Described(
        name,
        tuple(facts[CLASSES].values()),
        meta["channels"],
        meta,
        next(iter(read_reports(store, name)), {}),
        min(parities, default=0.0),
        Data.of(load_record(store)),
        recipe.model_card,
        TARGET_TYPES[meta.get("target_type", OF_CLASSES.name)],
        tuple(meta.get("units", ())),
    )


def _text(model: Described, facts: Mapping[str, Any]) -> str:
    done = {key: its for key, its in facts[STATUS]["formats"].items() if its["status"] == "done"}
    kinds = list(dict.fromkeys(its["format"] for its in done.values()))
    main = next((its["file"] for its in done.values() if its["format"] == "onnx"), None)
    return card_text(
        model,
        form=f"as {', '.join(kinds)}" if kinds else "without a file",
        use=_use(main or next((its["file"] for its in done.values()), "")),
        files=_files(done, facts[CHECKSUMS]),
        file=main or "FILE",
        differs="the table of files states how far each differs from it on real images",
        tags=["onnx", "onnxruntime"] if main else ["committee"],
    )


def _use(file: str) -> str:
    return (
        "## Use\n\n```sh\npip install 'committee[onnx]'\n"
        f"committee predict {file} photo.jpg\n```\n\n"
        "In Python, with images uint8 `[batch, channels, height, width]`:\n\n"
        "```python\nfrom committee.exporters import open_exported\n\n"
        f'model = open_exported("{file}")\nprint(model.class_names, model(images))\n```\n\n'
        f"`{METADATA}` states the origin of the model and what it expects of its images."
    )


def _files(done: Mapping[str, Any], sums: Mapping[str, str]) -> str:
    """Return the section of the files: a row for each, with its checksum."""
    sizes = table(
        ["file", "format", "MB", "largest difference from the model"],
        [
            [code(its["file"]), code(its["format"]), f"{its['size_mb']:g}", _difference(its)]
            for its in done.values()
        ],
    )
    listed = list(_sums(sums))
    more = f"\n\n{len(listed) - LISTED} more are in `{CHECKSUMS}`." if len(listed) > LISTED else ""
    return f"## Files\n\n{sizes}\n\n{table(['file', 'SHA-256'], listed[:LISTED])}{more}"


def _difference(its: Mapping[str, Any]) -> str:
    return f"{its['parity']['max_abs_diff']:.1e}" if "parity" in its else "measured by `committee compress`"


def _sums(sums: Mapping[str, str]) -> Iterator[list[str]]:
    yield from ([code(name), code(value)] for name, value in sorted(sums.items()) if name != "README.md")

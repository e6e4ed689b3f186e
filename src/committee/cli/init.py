"""Write a commented starter recipe.

With the PATH of a folder or file of labeled images, the recipe contains this path and, as a comment, the
number of images of each class; of images with masks, their sizes and classes. The recipe has a section for
budgets of latency and size: pruning.cost_budget.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from committee.cli._options import RECIPE, add_set
from committee.errors import UsageError, missing

if TYPE_CHECKING:
    from committee.images.readers.base import Samples
    from committee.recipe.dataset import Dataset

GROUP = "Start"
_SUFFIXES = (".yaml", ".yml")


def add_arguments(parser: ArgumentParser) -> None:
    """Add PATH, `--set` and `--force`."""
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="folder or file of labeled images, or its address; and the recipe to write, which ends in .yaml "
        f"(default: {RECIPE})",
    )
    add_set(parser, "write this value into the recipe, such as training.epochs=5; may be repeated")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def run(arguments: Namespace) -> int:
    """Write the recipe, and print how to run it."""
    from committee.images.map_facts import map_facts
    from committee.pipeline.shared.for_task import for_task
    from committee.recipe.load import load_recipe
    from committee.recipe.starter import starter
    from committee.tasks.base import task_for

    images, file = _paths(arguments.paths)
    overrides = [f"dataset.path={json.dumps(images)}"] if images else []
    overrides += arguments.overrides
    samples = _samples(load_recipe(None, overrides).dataset)
    text, found, masks = starter(overrides), "", None
    if samples is not None and samples.masks is not None:
        samples, masks, of_maps = map_facts(samples)
        overrides = [*of_maps, *overrides]
    if samples is not None:
        kind, names = samples.target_type, samples.class_names
        word = kind.output if len(names) == 1 else kind.outputs
        found = f" for {len(samples.ids)} images of {len(names)} {word}"
        counts = Counter(samples.labels) if isinstance(samples.labels, list) else {}
        task = task_for(kind)
        text = starter(
            overrides,
            {name: counts[name] for name in names if counts},
            lambda recipe: for_task(recipe, task),
            masks,
        )
    try:
        with file.open("w" if arguments.force else "x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(
            f"{file}: the file exists already", todo="Overwrite it with --force, or name another file."
        ) from None
    first = "" if load_recipe(file).dataset.is_named else "set dataset.path to your images, then "
    command = "committee run" if file == RECIPE else f"committee run {file}"
    print(f"Wrote {file}{found}. To train and combine, {first}run: {command}")
    return 0


def _paths(paths: Sequence[str]) -> tuple[str | None, Path]:
    """Return the path or address of the images, if any, and the recipe file.

    Raises
    ------
    UsageError
        The images do not exist, or there are several paths of one kind.
    """
    files = [Path(path) for path in paths if path.lower().endswith(_SUFFIXES)]
    images = [path for path in paths if not path.lower().endswith(_SUFFIXES)]
    if len(files) > 1 or len(images) > 1:
        raise UsageError(
            "init", expected="one folder or file of images and one recipe file", got=" ".join(paths)
        )
    for path in images:
        if not _is_there(path):
            raise missing(
                UsageError, path, "Name a folder of images, or a recipe file that ends in .yaml.", "path"
            )
    return next(map(_plain, images), None), files[0] if files else RECIPE


def _plain(path: str) -> str:
    """Return a path without a separator at its end; addresses are not changed."""
    from committee.store.remote.address import is_address

    return path if is_address(path) else str(Path(path))


def _is_there(path: str) -> bool:
    """Return whether a path exists; that what is at an address exists is seen when it is downloaded."""
    from committee.store.remote.address import is_address

    return is_address(path) or Path(path).expanduser().exists()


def _samples(settings: Dataset) -> Samples | None:
    """Return the labeled images, or None if they do not exist yet."""
    if not settings.is_named or (settings.path and not _is_there(settings.path)):
        return None
    from committee.images.source import read

    return read(settings)

"""Add a network that was trained elsewhere to a store.

The checkpoint is a torch state dict or a safetensors file, alone or inside the files that Lightning, timm and
other trainers write, with or without a prefix. It is read without running code, and the names and shapes of
all tensors are compared with the backbone. The network then predicts all images of the store.

Combiners are fitted on images that no member was trained on. Without --seen or --fresh, all images count as
seen, and the member is left out of ensembles; a warning names it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from committee.cli._foreign import add_preprocessing, add_seen, described
from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_text

if TYPE_CHECKING:
    from committee.pipeline.foreign import Adopted
    from committee.tasks.base import Task


GROUP = "Networks and predictions from elsewhere"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the network, its preprocessing, and the images that it was trained on."""
    add_recipe(parser)
    add_store(parser)
    add = parser.add_argument
    add("--name", required=True, metavar="NAME", help="name of the new member")
    add(
        "--backbone",
        required=True,
        metavar="NAME",
        help="architecture: a preset, or a name with its source, such as timm:resnet18 or "
        "python:MODULE:FUNCTION",
    )
    add("--weights", required=True, type=Path, metavar="FILE", help="checkpoint of the network")
    add(
        "--classes",
        required=True,
        type=Path,
        metavar="FILE",
        help="names of the classes or targets in the order of the outputs: one per line, or a JSON list",
    )
    add_preprocessing(parser, "dataset.img_size")
    add_seen(parser, "unknown, the same as all")
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Adopt the network, and print what was found."""
    from committee.pipeline.adopt import adopt
    from committee.pipeline.foreign import Foreign
    from committee.pipeline.shared.for_task import task_of_store

    foreign = Foreign(
        arguments.name,
        arguments.backbone,
        arguments.weights,
        arguments.classes,
        **described(arguments),
    )
    store = store_of(arguments)
    found = adopt(recipe_of(arguments), store, foreign, dry_run=arguments.dry_run)
    if arguments.json:
        print_json(asdict(found))
    else:
        _print(found, task_of_store(store))
    return 0


def _print(found: Adopted, task: Task) -> None:
    view = found.view
    print(f"{found.name}: {found.state}")
    print_text(
        f"Preprocessing: {view['channels']} x {view['size']} x {view['size']} pixels ({view['fit']}), mean "
        f"{view['mean']}, std {view['std']}. Check that the network was trained with these values."
    )
    if found.prefix:
        print(f"The names of its tensors have the prefix '{found.prefix}'.")
    if found.reordered:
        what = task.target_type.outputs
        print(f"Its {what} are in another order than those of the data set; they are matched by name.")
    counts = [f"{found.fresh[split]} of {rows} {split}" for split, rows in found.rows.items() if rows]
    print_text(f"Images that it was not trained on, by --seen and --fresh: {', '.join(counts)}")
    in_points = task.metric(task.guarded).in_points
    for kind, value in found.agrees.items():
        text = f"Accuracy on the {kind} training images: {100 * value:.1f}%"
        print(text if in_points else f"{task.guarded.upper()} on the {kind} training images: {value:.4g}")
    if not any(found.fresh.values()):
        print_text(
            "It is left out of ensembles. Name the images that it was not trained on with --seen or --fresh."
        )

"""Measure engines on a model, and store the fastest one.

An engine is a way to run the networks of a model in this process: with folded batch normalization, as one
stacked network, in onnxruntime, compiled, and others. Each is compared with the model as it is and timed in
turns with it. The fastest one that predicts the same is stored beside the model, if it is clearly faster,
and committee predict uses it. Other processes that compute at the same time make the measurement useless.

The images are some of the data set, as committee predict gives them to the model, unless --size or --images
name others. bfloat16 and float16 are measured if --tolerance is above 1e-5.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from committee.cli._options import add_config, add_json, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table

GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the model, the images, and the limits of the measurement."""
    parser.add_argument("name", metavar="NAME", help="member or ensemble")
    parser.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="number of images in a batch (default: 32, or 1 image of a model of maps)",
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--size", metavar="HxW", help="size of the images in pixels, such as 480x640")
    source.add_argument("--images", metavar="FOLDER", type=Path, help="folder of images that are used")
    parser.add_argument(
        "--engine",
        action="append",
        dest="engines",
        metavar="NAME",
        help="measure this engine, and not all; may be repeated",
    )
    parser.add_argument(
        "--budget", type=float, default=30.0, metavar="S", help="seconds for all engines (default: 30)"
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-5,
        metavar="T",
        help="largest difference of a probability, or of a number relative to its size (default: 1e-5)",
    )
    parser.add_argument(
        "--again", action="store_true", help="measure again if the model was measured with these options"
    )
    add_store(parser)
    add_json(parser)
    add_config(parser, "device", "device=cpu")


def run(arguments: Namespace) -> int:
    """Measure, and print the table."""
    from committee.inference.photos import find_files
    from committee.models.engine_trials import COLUMNS
    from committee.pipeline.optimize import optimize_stored, size_of

    name, choice, images, stored = optimize_stored(
        store_of(arguments),
        arguments.name,
        recipe_of(arguments),
        batch=arguments.batch,
        size=None if arguments.size is None else size_of(arguments.size),
        photos=[] if arguments.images is None else find_files(arguments.images),
        again=arguments.again,
        engines=arguments.engines,
        budget_s=arguments.budget,
        tolerance=arguments.tolerance,
    )
    if arguments.json:
        selected = {"engine": choice.trial.engine, "precision": choice.trial.precision}
        table = [trial.to_json() for trial in choice.table]
        facts = {"images": images, "measured": choice.made, "stored": stored}
        print_json({"model": name, **selected, **facts, "table": table})
        return 0
    print_table(f"{name}: {images}", COLUMNS, [trial.cells() for trial in choice.table])
    print(choice.sentence(name))
    if stored:
        when = f"{choice.made} UTC" if choice.made else "an earlier version"
        print(f"This is the stored measurement of {when}. Measure again with: --again")
    return 0

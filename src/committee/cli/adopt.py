"""Adopt a network that was trained elsewhere: its weights, its classes, and which images it may have seen.

The checkpoint is a state dict of torch or a safetensors file, bare or inside of what Lightning, timm and
others write, with or without a prefix; it is read without running code, and every tensor name and shape is
compared. Its predictions of all images of the store are kept. Combiners are fitted on images that no member
has seen: without --seen or --fresh all count as seen, since nobody said which are not.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from committee.cli._options import add_dry_run, add_json, add_recipe, add_store, recipe_of, store_of
from committee.cli._output import print_json
from committee.errors import UsageError

if TYPE_CHECKING:
    from committee.pipeline.adopt import Adopted


GROUP = "Networks and predictions from elsewhere"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the network, how it sees photos, and which of them it has seen."""
    add_recipe(parser)
    add_store(parser)
    add = parser.add_argument
    add("--name", required=True, help="name of the member")
    add(
        "--backbone",
        required=True,
        help="its architecture: timm:NAME, torchvision:NAME, a preset, python:...",
    )
    add("--weights", required=True, type=Path, metavar="FILE", help="its checkpoint")
    add(
        "--classes",
        required=True,
        type=Path,
        metavar="FILE",
        help="its class names in the order of its logits: a line each, or JSON",
    )
    add("--img-size", type=int, metavar="N", help="side of its input in pixels (dataset.img_size)")
    add("--mean", metavar="A[,B,C]", help="mean of the channels in 0..1, as in its training (its backbone's)")
    add("--std", metavar="A[,B,C]", help="their standard deviation (its backbone's)")
    add(
        "--seen",
        default="unknown",
        metavar="WHAT",
        help="images it was trained on: none, train, all, or a file of ids (unknown: as all)",
    )
    add("--fresh", metavar="WHAT", help="images it has not seen: train, val, test, or a file of ids")
    add("--ema", action="store_true", help="take the moving average of its weights, where the file has both")
    add_dry_run(parser)
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Adopt, and say what was found."""
    from committee.pipeline.adopt import Foreign, adopt

    foreign = Foreign(
        arguments.name,
        arguments.backbone,
        arguments.weights,
        arguments.classes,
        arguments.img_size,
        _numbers("--mean", arguments.mean),
        _numbers("--std", arguments.std),
        arguments.seen,
        arguments.fresh,
        arguments.ema,
    )
    found = adopt(recipe_of(arguments), store_of(arguments), foreign, dry_run=arguments.dry_run)
    if arguments.json:
        print_json(asdict(found))
    else:
        _print(found)
    return 0


def _numbers(option: str, text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3):
        raise UsageError(option, expected="one number, or three joined by commas", got=f"'{text}'")
    return values


def _print(found: Adopted) -> None:
    view = found.view
    print(f"{found.name}: {found.state}")
    print(
        f"sees photos as {view['channels']} x {view['size']} x {view['size']} ({view['fit']}), mean "
        f"{view['mean']}, std {view['std']}: is that how it was trained?"
    )
    if found.prefix:
        print(f"its tensors stood under '{found.prefix}'")
    if found.reordered:
        print("its classes come in another order than the data set's, and are matched by name")
    counts = [f"{found.fresh[split]} of {rows} {split}" for split, rows in found.rows.items() if rows]
    print(f"not seen, as you say: {', '.join(counts)} images")
    for kind, share in found.agrees.items():
        print(f"says the label of {100 * share:.1f}% of the {kind} training images")
    if not any(found.fresh.values()):
        print("Nothing can be fitted on its predictions: say what it has not seen with --seen or --fresh.")

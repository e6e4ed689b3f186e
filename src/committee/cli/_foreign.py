"""Options about networks that were trained elsewhere."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Collection
from typing import Any

from committee.errors import UsageError


def add_preprocessing(parser: ArgumentParser, size: str) -> None:
    """Add the size of the input, and the mean and standard deviation of its channels."""
    add = parser.add_argument
    add("--img-size", type=int, metavar="N", help=f"side of the input in pixels (default: {size})")
    add(
        "--mean",
        metavar="A[,B,C]",
        help="mean of the channels in its training, from 0 to 1 (default: that of the backbone)",
    )
    add(
        "--std",
        metavar="A[,B,C]",
        help="standard deviation of the channels in its training (default: that of the backbone)",
    )
    add(
        "--shift",
        metavar="A,B",
        help="mean of each target, if the network returns standardized numbers (default: it returns numbers "
        "in their units)",
    )
    add(
        "--scale", metavar="A,B", help="standard deviation of each target, if it returns standardized numbers"
    )


def add_seen(parser: ArgumentParser, default: str) -> None:
    """Add the images that a network was trained on, and whether its averaged weights are used."""
    add = parser.add_argument
    add(
        "--seen",
        default="unknown",
        metavar="IMAGES",
        help=f"images that it was trained on: none, train, all, or a file of ids (default: {default})",
    )
    add(
        "--fresh",
        metavar="IMAGES",
        help="images that it was not trained on: train, val, test, or a file of ids",
    )
    add("--ema", action="store_true", help="use the moving average of the weights, if the file has both")


def described(arguments: Namespace) -> dict[str, Any]:
    """Return what these options say, by the names that `Foreign` and `Wanted` give it."""
    return {
        "size": arguments.img_size,
        "mean": _numbers("--mean", arguments.mean),
        "std": _numbers("--std", arguments.std),
        "seen": arguments.seen,
        "fresh": arguments.fresh,
        "ema": arguments.ema,
        "shift": _numbers("--shift", arguments.shift, ()) or (),
        "scale": _numbers("--scale", arguments.scale, ()) or (),
    }


def _numbers(option: str, text: str | None, counts: Collection[int] = (1, 3)) -> list[float] | None:
    """Return numbers separated by commas, as many as are possible; raise UsageError for anything else."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or (counts and len(values) not in counts):
        wanted = "one number, or three separated by commas" if counts else "numbers separated by commas"
        raise UsageError(option, expected=wanted, got=f"'{text}'")
    return values

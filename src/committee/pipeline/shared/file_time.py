"""The time of an exported file, compared with that of its module in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from committee.models.predictor import Images, Predictor
from committee.models.timing import Times, Timing, interleaved, times_of

CALLS, SECONDS, ROUNDS = 10, 0.05, 3
SLOWER = 1.2
"""A file is called slower than its module if it takes this many times as long."""


def file_time(reference: Predictor, exported: Predictor, images: Images) -> dict[str, Any]:
    """Return the median milliseconds of a batch of images with a file and with its module.

    Both run in turns; they have run before, so that neither warms up.

    Parameters
    ----------
    reference, exported : Predictor
        The module and the opened file.
    images : uint8 array `[B, c, H, W]`

    Returns
    -------
    dict
        `file_ms`, `module_ms`, and `images`, their number.
    """

    def times(predictor: Predictor) -> Callable[[], dict[str, Times]]:
        return lambda: {"": times_of(predictor, [images], CALLS, SECONDS, warmup=0)}

    found = interleaved({"file_ms": times(exported), "module_ms": times(reference)}, ROUNDS, ROUNDS)
    medians = {name: round(Timing.of(each[""]).median, 3) for name, each in found.items()}
    return {**medians, "images": len(images)}


def slower(entry: dict[str, Any]) -> str:
    """Return a sentence on an entry of `export_status.json` whose file is slower than its module, else ""."""
    times = entry.get("time")
    if not times or times["file_ms"] < SLOWER * times["module_ms"]:
        return ""
    ratio = times["file_ms"] / max(times["module_ms"], 1e-9)
    return (
        f"{entry['file']} is slower than the model in torch: {ratio:.1f} times as long for a batch of "
        f"{times['images']} images here."
    )

"""Time and memory of fits on a sample of pixels: 2 million pixels of 488 images, 7 members, 2 classes.

Each rule is fitted on all pixels, with the image as the group. Scores are the cross-fitted scores of two
rules, with intervals and gains. Memory is the peak of the process up to that point, of which the predictions
are 0.1 GB.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from harness import Row, main, seconds

from committee.combiners.base import build
from committee.models.timing import peak_memory_mb
from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASS_MAPS
from committee.scoring.scores import score_all
from committee.solvers.cross_fit import redraw_folds

MEMBERS = 7
PIXELS = 4096
MOST = 2.0
RULES: tuple[tuple[str, Any], ...] = (
    ("weighted", "weighted"),
    ("weighted, by mean_iou", {"combiner": "weighted", "metric": "mean_iou"}),
    ("greedy_selection", "greedy_selection"),
    ("greedy_selection, by mean_iou", {"combiner": "greedy_selection", "metric": "mean_iou"}),
    ("temperature", "temperature"),
    ("vector_scaling", "vector_scaling"),
    ("pruned, greedy_forward", "pruned"),
    ("pruned, all_subsets", {"combiner": "pruned", "method": "all_subsets"}),
    ("stacking_lr", "stacking_lr"),
)


def pixels(images: int) -> Predictions:
    """Return logits of pixels whose shares of classes and difficulty differ between images."""
    random = np.random.default_rng(0)
    image = np.repeat(np.arange(images), PIXELS)
    labels = (random.random(len(image)) < random.beta(2, 4, images)[image]).astype(np.int64)
    shift = 0.3 * random.normal(size=images)[image]
    skill = np.linspace(0.5, 2, MEMBERS)
    logits = np.empty((MEMBERS, len(image), 2), np.float32)
    for place, strength in enumerate(skill.tolist()):
        sides = (2 * labels - 1) * strength + 1.5 * random.normal(size=len(image)) + shift
        logits[place] = np.stack([-sides, sides], axis=1)
    found = Predictions.from_logits(
        logits,
        members=[f"m{place}" for place in range(MEMBERS)],
        class_names=["ground", "object"],
        labels=labels,
        groups=image,
    )
    found = replace(found, target_type=CLASS_MAPS)
    return replace(found, folds=redraw_folds(found))


def measure(quick: bool) -> list[Row]:
    """Return the seconds of each fit, and of scores."""
    images = 10 if quick else 488
    rows, work = pixels(images), f"{MEMBERS} x {images * PIXELS:,} x 2, 1 thread"
    result = []
    for name, spec in RULES:
        # Columns of an earlier fit are not reused.
        time = min(
            seconds(lambda spec=spec: build(spec).fit(replace(rows))) for _ in range(1 if quick else 3)
        )
        note = f"peak memory {peak_memory_mb() / 1000:.1f} GB"
        target = MOST if name == "weighted" else None
        result.append(Row(f"fit on pixels, {name}", work, "", time, target=target, note=note))
    rules = {name: build(name) for name in ("soft_voting", "weighted")}
    time = seconds(lambda: score_all(rules, replace(rows)))
    note = f"peak memory {peak_memory_mb() / 1000:.1f} GB"
    return [*result, Row("cross-fitted scores of two rules", work, "", time, note=note)]


if __name__ == "__main__":
    main(measure)

"""Selection of members that predict maps, against the rule of nnU-Net: who is better on fresh images?

nnU-Net's `find_best_configuration` compares single networks and the means of two, by their mean foreground
Dice (of each image and class, then over images, then over classes) on the rows of cross-validation, and takes
the maximum. Ours are `pruned` with all subsets, within two networks or without a budget, greedy selection,
and weights.

Each draw has 5 simulated members of random quality, calibration and correlation, and 10 to 60 images for the
choice; 300 other images judge it. All rules see the same pixels, and the figures are differences from
nnU-Net's rule on the same draw: means over draws, plus and minus one standard error.

With the environment variable `COMMITTEE_MAPS_STORE`, the folder of a store of a segmentation run, the
out-of-fold predictions of its members are used in addition: a random half of the images (or groups of
images) is for the choice, and the other half judges it, 50 times.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
from harness import Row, main
from numpy.typing import NDArray
from scipy.special import softmax
from simulations.rows import mean

from committee.combiners.base import Combiner, build
from committee.pipeline.shared.records import member_facts
from committee.pipeline.shared.splits import load_predictions
from committee.predictions.simulation import simulate_maps
from committee.predictions.table import Predictions
from committee.store.layout import Store
from committee.tasks.segmentation import Segmentation

MEMBERS = ("a", "b", "c", "d", "e")
STORE = "COMMITTEE_MAPS_STORE"
JUDGES: Mapping[str, str] = {"dice": "%", "mean_iou": "%", "log_loss": "nats"}
Halves = Iterable[tuple[Predictions, Predictions]]


def foreground_dice(outputs: NDArray[np.float32], rows: Predictions) -> float:
    """Return the mean Dice of images, then of images and classes; the first class is background."""
    labels, classes = rows.require_labels("benchmark"), outputs.shape[1]
    image, guess = np.unique(rows.groups, return_inverse=True)[1], outputs.argmax(axis=1)
    cells = [image * classes + each for each in (guess, labels)]
    size = (int(image.max()) + 1) * classes
    predicted, actual = (np.bincount(each, minlength=size) for each in cells)
    hit = np.bincount(cells[0][guess == labels], minlength=size)
    with np.errstate(invalid="ignore"):
        dice = (2 * hit / (predicted + actual)).reshape(-1, classes)
    return float(np.nanmean(dice, axis=0)[1:].mean())


def by_nnunet(rows: Predictions) -> Combiner:
    """Return the mean of the one or two members with the highest foreground Dice on these rows."""
    probabilities = softmax(rows.logits, axis=2)
    alone = [(place,) for place in range(len(rows.members))]
    subsets = [*alone, *itertools.combinations(range(len(rows.members)), 2)]
    dice = [foreground_dice(probabilities[list(subset)].mean(axis=0), rows) for subset in subsets]
    chosen = [rows.members[place] for place in subsets[int(np.argmax(dice))]]
    return build({"combiner": "subset", "members": chosen}).fit(rows)


def all_subsets(metric: str, most: float | None = None) -> Callable[[Predictions], Combiner]:
    """Return the rule that takes the best subset, of some networks at most."""

    def fitted(rows: Predictions) -> Combiner:
        costs = {name: {"latency_ms": 1.0, "size_mb": 1.0} for name in rows.members}
        options = {"method": "all_subsets", "metric": metric, "costs": costs, "max_latency_ms": most}
        return build({"combiner": "pruned", **options}).fit(rows)

    return fitted


RULES: Mapping[str, Callable[[Predictions], Combiner]] = {
    "all subsets of two networks at most, by mean_dice": all_subsets("mean_dice", 2),
    "all subsets of two networks at most, by log_loss": all_subsets("log_loss", 2),
    "all subsets, by mean_dice": all_subsets("mean_dice"),
    "all subsets, by log_loss": all_subsets("log_loss"),
    "greedy_selection, by mean_dice": lambda rows: build(
        {"combiner": "greedy_selection", "metric": "mean_dice"}
    ).fit(rows),
    "greedy_selection, by log_loss": lambda rows: build("greedy_selection").fit(rows),
    "weighted, by mean_dice": lambda rows: build({"combiner": "weighted", "metric": "mean_dice"}).fit(rows),
    "weighted, by log_loss": lambda rows: build("weighted").fit(rows),
    "logit_averaging of all members": lambda rows: build("logit_averaging").fit(rows),
    "mean of all members": lambda rows: build("soft_voting").fit(rows),
}


def draw(seed: int) -> tuple[Predictions, Predictions]:
    """Return simulated rows for the choice, and fresh images of the same members."""
    random = np.random.default_rng((1, seed))
    strength = random.uniform(1.0, 3.0, len(MEMBERS))
    images, shared = int(random.integers(10, 61)), random.uniform(0.0, 0.9)
    scale = strength * np.exp(random.normal(size=len(MEMBERS)) * 0.4)
    rows = simulate_maps(
        dict(zip(MEMBERS, strength.tolist(), strict=True)),
        images=images + 300,
        classes=3,
        shared=float(shared),
        spread=0.4,
        seed=seed,
    )
    scaled = replace(rows, logits=rows.logits * scale[:, None, None].astype(np.float32))
    choice = scaled.groups < images
    return scaled.rows(choice), scaled.rows(~choice)


def judged(rule: Combiner, fresh: Predictions) -> dict[str, float]:
    """Return the scores of a rule on fresh images; larger is better."""
    task, labels = Segmentation(), fresh.require_labels("benchmark")
    outputs = rule.combine(fresh.logits)
    found = task.evaluate(outputs, labels, ["mean_iou", "log_loss"])
    dice = 100 * foreground_dice(outputs, fresh)
    return {"dice": dice, "mean_iou": 100 * found["mean_iou"], "log_loss": -found["log_loss"]}


def differences(halves: Halves, work: str) -> Iterable[Row]:
    """Yield how much better each rule is than that of nnU-Net."""
    found: dict[tuple[str, str], list[float]] = {}
    networks: dict[str, list[float]] = {}
    for choice, fresh in halves:
        theirs = by_nnunet(choice)
        known = judged(theirs, fresh)
        networks.setdefault("nnU-Net's rule", []).append(len(theirs.restrict_to_used().member_names))
        for name, rule in RULES.items():
            fitted = rule(choice)
            networks.setdefault(name, []).append(len(fitted.restrict_to_used().member_names))
            for judge, value in judged(fitted, fresh).items():
                found.setdefault((judge, name), []).append(value - known[judge])
    for (judge, name), values in found.items():
        question = f"gain over nnU-Net's rule on fresh images in {judge}, {work}"
        yield mean(question, name, values, JUDGES[judge])
    for name, counts in networks.items():
        yield mean(f"networks that a rule uses, {work}", name, counts, "networks")


def halves_of(rows: Predictions, count: int) -> Halves:
    """Yield random halves of the images of real predictions."""
    if rows.groups is None:
        raise SystemExit(f"{STORE}: expected predictions of maps, whose pixels have an image as group.")
    groups = np.unique(rows.groups)
    for seed in range(count):
        some = np.random.default_rng(seed).permutation(groups)[: len(groups) // 2]
        choice = np.isin(rows.groups, some)
        yield replace(rows.rows(choice), folds=None), replace(rows.rows(~choice), folds=None)


def _trained(store: Store) -> Predictions:
    """Return the out-of-fold predictions of the members that are no averages, views or students."""
    names = [name for name in store.members() if not member_facts(store, name).get("of")]
    return load_predictions(store, names)


def measure(quick: bool) -> list[Row]:
    """Return the differences for simulated members and, if there is a store, for real ones."""
    count = 2 if quick else 200
    rows = list(differences((draw(seed) for seed in range(count)), f"{count} simulated draws"))
    if os.environ.get(STORE):
        real, times = _trained(Store(os.environ[STORE])), 2 if quick else 50
        rows += differences(halves_of(real, times), f"{times} halves of real images")
    return sorted(rows, key=lambda row: row.question)


if __name__ == "__main__":
    main(measure)

"""Intervals of metrics: agreement with formulas, and coverage in simulations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import beta, binom, binomtest
from scipy.stats import t as student

from committee.metrics.classification import METRICS, evaluate
from committee.metrics.confidence import intervals
from committee.metrics.sampling import Interval, Sample

Floats = NDArray[np.floating[Any]]
Draw = Callable[[np.random.Generator], tuple[Floats, NDArray[np.int64], NDArray[np.int64] | None]]


def normalized(logits: Floats) -> Floats:
    return logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)


def draw(rows: int, classes: int) -> tuple[Floats, NDArray[np.int64]]:
    random = np.random.default_rng(0)
    labels = random.permutation(np.arange(rows) % classes)
    return normalized(2 * (random.normal(size=(rows, classes)) + np.eye(classes)[labels])), labels


def width(found: Interval) -> float:
    return found.high - found.low


@pytest.mark.parametrize(("rows", "right"), [(20, 20), (20, 0), (50, 49), (200, 130)])
def test_the_accuracy_has_the_exact_interval_and_means_have_that_of_wilson(rows: int, right: int) -> None:
    correct = np.arange(rows) < right
    exact = tuple(binomtest(right, rows).proportion_ci(method="exact"))
    log_probs = np.log(np.where(correct[:, None], [0.9, 0.1], [0.2, 0.8]))
    found = intervals(log_probs, np.zeros(rows, int), names=["accuracy", "recall_weighted"])
    for each in (Sample(rows).proportion(correct), *found.values()):
        assert (each.value, each.low, each.high) == pytest.approx((right / rows, *exact))
    wilson = tuple(binomtest(right, rows).proportion_ci(0.9, method="wilson"))
    mean = Sample(rows, level=0.9).mean(correct.astype(float), 1.0)
    assert (mean.low, mean.high) == pytest.approx(wilson)
    other = Sample(rows, level=0.9).mean(1 + 3.0 * correct, 4.0, least=1.0)
    assert (other.low, other.high) == pytest.approx((1 + 3 * mean.low, 1 + 3 * mean.high))


def test_groups_have_the_interval_of_korn_and_graubard() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(12), 10)
    correct = random.random(120) < random.uniform(0.5, 1, 12)[groups]
    share, sums = correct.mean(), np.bincount(groups, correct - correct.mean())
    count = share * (1 - share) / (12 / 11 * (sums**2).sum() / 120**2)
    count *= (ndtri(0.975) / student.ppf(0.975, 11)) ** 2
    hits, misses = share * count, (1 - share) * count
    expected = beta.ppf(0.025, hits, misses + 1), beta.ppf(0.975, hits + 1, misses)
    for names in (groups, np.char.mod("patient %03d", groups)):
        found = Sample(120, names).proportion(correct)
        # The variance that is added for unseen errors changes the effective number a little.
        assert (found.low, found.high) == pytest.approx(expected, abs=0.005)
    assert width(found) > 1.3 * width(Sample(120).proportion(correct))


def test_groups_without_errors_are_as_uncertain_as_correlated_rows() -> None:
    """Ten groups of 20 rows, all right: an intraclass correlation of 0.1 has the design effect 2.9."""
    found = Sample(200, np.arange(200) // 20).proportion(np.ones(200, bool))
    count = 200 / 2.9 * (ndtri(0.975) / student.ppf(0.975, 9)) ** 2
    assert (found.low, found.high) == pytest.approx((0.025 ** (1 / count), 1.0))


def test_one_group_tells_nothing() -> None:
    log_probs, labels = draw(30, 3)
    most = {"brier": 2.0, "augrc": 0.5, "log_loss": max(-log_probs[np.arange(30), labels].min(), np.log(3))}
    for name, each in intervals(log_probs, labels, groups=np.zeros(30)).items():
        assert (each.low, each.high) == pytest.approx((0.0, most.get(name, 1.0))), name


def test_intervals_surround_their_values_and_repeat() -> None:
    log_probs, labels = draw(400, 3)
    found, values = intervals(log_probs, labels), evaluate(log_probs, labels)
    assert found.keys() == METRICS.keys()
    for name, each in found.items():
        assert each.value == pytest.approx(values[name], abs=1e-12)
        assert each.low < each.value < each.high, name
    assert found == intervals(log_probs, labels)
    other = intervals(log_probs, labels, seed=1)
    assert {name for name in found if found[name] != other[name]} == {"ece", "ece_mass"}
    assert intervals(log_probs, labels, names=["brier"]).keys() == {"brier"}


def test_a_lower_level_gives_a_narrower_interval() -> None:
    log_probs, labels = draw(400, 3)
    wide, narrow = (intervals(log_probs, labels, level=level) for level in (0.95, 0.5))
    for name in METRICS:
        assert wide[name].low <= narrow[name].low < narrow[name].high < wide[name].high, name


@pytest.mark.parametrize("groups", [None, np.arange(40) // 4])
def test_no_interval_has_a_width_of_zero(groups: NDArray[np.int64] | None) -> None:
    labels = np.arange(40) % 2
    for guess in (labels, 1 - labels):
        log_probs = np.log(np.eye(2)[guess].clip(1e-12, 1 - 1e-12))
        for name, each in intervals(log_probs, labels, groups=groups).items():
            assert width(each) > 0.02, name


def test_undefined_and_infinite_values() -> None:
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array([[1.0, 0.0], [0.5, 0.5]]))
    found = intervals(log_probs, [1, 1], names=["log_loss", "auroc"])
    assert found["log_loss"] == Interval(np.inf, 0.0, np.inf)
    assert np.isnan([found["auroc"].value, found["auroc"].low, found["auroc"].high]).all()


@pytest.mark.parametrize("rows", [900, 30_000])
def test_widths_are_those_of_theory(rows: int) -> None:
    log_probs, labels = draw(rows, 3)
    found = intervals(log_probs, labels, names=["accuracy", "log_loss", "recall_macro"])
    accuracy, losses = found["accuracy"].value, -log_probs[np.arange(rows), labels]
    expected = dict.fromkeys(("accuracy", "recall_macro"), (accuracy * (1 - accuracy) / rows) ** 0.5)
    for name, deviation in {**expected, "log_loss": losses.std() / rows**0.5}.items():
        assert width(found[name]) == pytest.approx(2 * 1.96 * deviation, rel=0.07), name


def test_copies_of_rows_in_groups_widen_intervals() -> None:
    log_probs, labels = draw(200, 3)
    log_probs, labels, groups = (np.repeat(each, 25, 0) for each in (log_probs, labels, np.arange(200)))
    names = [name for name in METRICS if not name.startswith("ece")]
    alone = intervals(log_probs, labels, names=names)
    grouped = intervals(log_probs, labels, groups=groups, names=names)
    for name in names:
        assert width(grouped[name]) == pytest.approx(5 * width(alone[name]), rel=0.12), name


@pytest.mark.parametrize("accuracy", [0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("rows", [20, 50, 200, 1000])
def test_the_accuracy_is_covered(accuracy: float, rows: int) -> None:
    """The sum over all outcomes, not a simulation."""
    chances = binom.pmf(np.arange(rows + 1), rows, accuracy)
    likely = np.flatnonzero(chances > 1e-9)
    held = [_holds(Sample(rows).proportion(np.arange(rows) < right), accuracy) for right in likely]
    coverage = chances[likely][held].sum()
    assert coverage >= 0.95
    if accuracy <= 0.9 and rows >= 50:
        assert coverage <= 0.972


def _holds(found: Interval, truth: float) -> bool:
    return found.low <= truth <= found.high


def covered(draw: Draw, truth: dict[str, float], sets: int) -> dict[str, float]:
    random, held = np.random.default_rng(0), dict.fromkeys(truth, 0)
    for _ in range(sets):
        log_probs, labels, groups = draw(random)
        for name, each in intervals(log_probs, labels, groups=groups, names=truth).items():
            held[name] += _holds(each, truth[name])
    return {name: number / sets for name, number in held.items()}


@pytest.mark.parametrize("area", [0.7, 0.9, 0.99])
@pytest.mark.parametrize(("rows", "positives"), [(50, 25), (50, 5), (100, 10), (200, 100)])
def test_the_area_under_the_roc_curve_is_covered(area: float, rows: int, positives: int) -> None:
    labels = (np.arange(rows) < positives).astype(np.int64)

    def sample(random: np.random.Generator) -> tuple[Floats, NDArray[np.int64], None]:
        score = random.normal(size=rows) + labels * ndtri(area) * 2**0.5
        return normalized(np.stack([np.zeros(rows), score], axis=1)), labels, None

    # The standard error of the share is below 0.009.
    assert 0.92 < covered(sample, {"auroc": area}, 800)["auroc"] < 0.995


NAMES = ("accuracy", "balanced_accuracy", "f1_macro", "precision_macro", "f1_weighted", "precision_weighted")
NAMES = (*NAMES, "log_loss", "brier", "ece", "auroc", "aurc", "augrc")


def classes_in_groups(
    rows: int, margin: float, groups: int | None, names: Iterable[str] = NAMES
) -> tuple[Draw, dict[str, float]]:
    """Rows of three unequal classes, in groups of different difficulty, and their metrics on many rows."""

    def sample(
        random: np.random.Generator, rows: int = rows, groups: int | None = groups
    ) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64] | None]:
        labels = random.choice(3, rows, p=[0.5, 0.3, 0.2])
        group = None if groups is None else np.arange(rows) % groups
        logits = random.normal(size=(rows, 3))
        difficulty = 0.0 if groups is None else random.normal(0, 0.7, groups)[group]
        logits[np.arange(rows), labels] += margin + difficulty
        return normalized(1.5 * logits), labels, group

    log_probs, labels, _ = sample(np.random.default_rng(1), 200_000, None if groups is None else 100_000)
    return sample, evaluate(log_probs, labels, names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "margin", "groups"),
    [(50, 1.0, None), (50, 3.0, None), (300, 2.0, None), (100, 2.0, 5), (200, 2.0, 10), (500, 2.0, 50)],
)
def test_all_metrics_are_covered(rows: int, margin: float, groups: int | None) -> None:
    sample, truth = classes_in_groups(rows, margin, groups)
    found = covered(sample, truth, 400)
    # The standard error of a share is 0.011.
    assert min(found.values()) > 0.915, found
    if margin < 3:  # where errors are rare, no interval can cover in fewer of the data sets than have none
        assert max(value for name, value in found.items() if name != "ece") < 0.99, found

"""Scores of whole images: counts against scikit-learn and brute force, sums of counts, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.special import log_softmax
from sklearn.metrics import f1_score, jaccard_score, mean_absolute_error, r2_score, root_mean_squared_error

from committee.errors import DataError
from committee.metrics import class_images, number_images
from committee.metrics.boundaries import matched_boundaries
from committee.metrics.class_images import ClassImages
from committee.metrics.classification import confusion, evaluate
from committee.metrics.image_scores import ImageScores
from committee.metrics.named import METRICS, get_metric
from committee.metrics.number_images import NumberImages
from committee.metrics.summaries import summary
from committee.scoring.gains import gain

NAMES = ("ground", "cell", "border")


def class_maps(seed: int, size: tuple[int, int] = (14, 11)) -> tuple[np.ndarray, np.ndarray]:
    """Return log-probabilities `[3, H, W]`, and smooth labels of which a tenth is ignored."""
    random = np.random.default_rng(seed)
    fields = gaussian_filter(random.normal(size=(3, *size)), (0, 2, 2)) * 12
    labels = np.where(random.random(size) < 0.1, -1, fields.argmax(axis=0))
    return log_softmax(fields + random.normal(size=fields.shape), axis=0).astype(np.float32), labels


def number_maps(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return numbers `[3, H, W]` far from zero, and labels `[H, W, 3]` of which some are NaN."""
    random = np.random.default_rng(seed)
    labels = 1e6 + random.normal(size=(9, 8, 3)) * [1, 5, 20] + seed
    outputs = (labels + random.normal(size=labels.shape)).transpose(2, 0, 1)
    return outputs, np.where(random.random((9, 8, 1)) < 0.1, np.nan, labels)


def filled(scores: ImageScores, draw: Any, seeds: Any) -> ImageScores:
    for seed in seeds:
        scores.add(f"scan{seed}", *draw(seed), group=seed // 2)
    return scores


KINDS = [(ClassImages, class_maps), (NumberImages, number_maps)]
every = pytest.mark.parametrize(("kind", "draw"), KINDS, ids=["classes", "numbers"])


def test_metrics_of_classes_are_those_of_all_their_pixels():
    images = filled(ClassImages(NAMES), class_maps, range(6))
    maps = [class_maps(seed) for seed in range(6)]
    known = [labels >= 0 for _, labels in maps]
    log_probs = np.concatenate([each[:, some].T for (each, _), some in zip(maps, known, strict=True)])
    labels = np.concatenate([each[some] for (_, each), some in zip(maps, known, strict=True)])
    found, guess = images.evaluate(), log_probs.argmax(axis=1)
    assert found["mean_iou"] == pytest.approx(jaccard_score(labels, guess, average="macro"))
    assert found["mean_dice"] == pytest.approx(f1_score(labels, guess, average="macro"))
    names = ("accuracy", "log_loss", "brier", "ece")
    assert {name: found[name] for name in names} == pytest.approx(evaluate(log_probs, labels, names))
    np.testing.assert_array_equal(images.confusion, confusion(summary(log_probs, labels)))
    each = [row["iou"] for row in images.details()["per_class"]]
    assert each == pytest.approx(jaccard_score(labels, guess, average=None))
    # The same metrics of pixels as rows, and of strips of an image.
    rows = {name: METRICS[name] for name in ("mean_iou", "mean_dice")}
    assert {name: float(each.function(summary(log_probs, labels))) for name, each in rows.items()} == (
        pytest.approx({name: found[name] for name in rows})
    )


def test_metrics_of_numbers_are_those_of_all_their_pixels():
    images, pairs = filled(NumberImages("abc"), number_maps, range(6)), []
    for seed in range(6):
        outputs, labels = number_maps(seed)
        known = np.isfinite(labels[..., 0])
        pairs.append((labels[known], outputs[:, known].T))
    truth, values = (np.concatenate(each) for each in zip(*pairs, strict=True))
    found, spread = images.evaluate(), r2_score(truth, values)
    assert found["r2"] == pytest.approx(spread, rel=1e-6)
    standardized = [each / truth.std(axis=0) for each in (truth, values)]
    assert found["rmse"] == pytest.approx(root_mean_squared_error(*standardized))
    assert found["mae"] == pytest.approx(mean_absolute_error(*standardized))
    details = images.details()["per_target"]
    assert [each["bias"] for each in details] == pytest.approx((values - truth).mean(axis=0))
    assert {each["n"] for each in details} == {len(truth)}
    for place, each in enumerate(details):
        value = root_mean_squared_error(truth[:, place], values[:, place])
        assert each["rmse"]["value"] == pytest.approx(value)
        assert each["rmse"]["low"] < value < each["rmse"]["high"]


@pytest.mark.parametrize("size", [(9, 14), (40, 60), (200, 150)])
def test_boundaries_are_those_of_a_distance_transform(size):
    random = np.random.default_rng(3)
    labels = gaussian_filter(random.normal(size=(3, *size)), (0, 3, 3)).argmax(axis=0)
    predicted = np.roll(labels, 2, axis=1)
    labels[0, 0] = labels[4, 4] = -1
    found = matched_boundaries(predicted, labels, 4)
    reach, known = np.ceil(0.0075 * np.hypot(*size)), np.pad(labels >= 0, 1)
    edges = []
    for each in (predicted, labels):
        inner, whole = np.zeros(size, bool), np.pad(each, 1)
        for step, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
            differ = (whole != np.roll(whole, step, axis)) & known & np.roll(known, step, axis)
            inner |= differ[1:-1, 1:-1]
        edges.append(inner)
    for index in range(4):
        ours, theirs = (edge & (each == index) for edge, each in zip(edges, (predicted, labels), strict=True))
        assert (found[1, index], found[3, index]) == (ours.sum(), theirs.sum())
        if ours.any() and theirs.any():
            near = [distance_transform_edt(~each) <= reach for each in (theirs, ours)]
            assert (found[0, index], found[2, index]) == ((ours & near[0]).sum(), (theirs & near[1]).sum())


@every
@given(seeds=st.permutations(range(5)), cut=st.integers(1, 4))
@settings(max_examples=10, deadline=None)
def test_counts_add_up_in_any_order(kind, draw, seeds, cut):
    whole = filled(kind(NAMES), draw, range(5))
    turned = filled(kind(NAMES), draw, seeds)
    assert turned.evaluate() == pytest.approx(whole.evaluate(), rel=1e-9)
    assert {each["sample_id"]: each for each in turned.worst()} == {
        each["sample_id"]: pytest.approx(each) for each in whole.worst()
    }
    first, rest = (filled(kind(NAMES), draw, part).table() for part in (seeds[:cut], seeds[cut:]))
    np.testing.assert_allclose(np.concatenate([first, rest]), turned.table())


@every
def test_ignored_pixels_do_not_count(kind, draw):
    outputs, labels = draw(1)
    other, ignored = outputs.copy(), (labels < 0) if labels.ndim == 2 else np.isnan(labels[..., 0])
    other[:, ignored] = other[::-1, ignored]
    first, second = kind(NAMES), kind(NAMES)
    first.add("a", outputs, labels)
    second.add("a", other, labels)
    assert ignored.any()
    assert first.evaluate() == pytest.approx(second.evaluate(), rel=1e-12)
    nothing = np.full_like(labels, np.nan if labels.ndim == 3 else -1)
    first.add("none", outputs, nothing)
    assert first.evaluate() == pytest.approx(second.evaluate(), rel=1e-12)
    assert [each["sample_id"] for each in first.worst()] == ["a"]


@every
def test_intervals_resample_groups(kind, draw):
    images = filled(kind(NAMES), draw, range(16))
    grouped, alone = images.intervals(), kind(NAMES)
    for seed in range(16):
        alone.add(str(seed), *draw(seed // 8))
    for name, interval in grouped.items():
        assert interval.low < interval.value < interval.high, name
        assert images.metrics[name].influence(images.rows()).shape == (16,)
    one = kind(NAMES)
    one.add("a", *draw(0))
    assert one.intervals()["mean_iou" if kind is ClassImages else "r2"].high == 1.0
    # Eight copies of each of two images: as groups, they are two units.
    twice = kind(NAMES)
    for seed in range(16):
        twice.add(str(seed), *draw(seed // 8), group=seed // 8)
    first = next(iter(kind.metrics))
    narrow, wide = (each.intervals()[first] for each in (alone, twice))
    assert wide.value == narrow.value and wide.high - wide.low > narrow.high - narrow.low


@every
def test_influences_are_derivatives(kind, draw):
    rows = filled(kind(NAMES), draw, range(8)).rows()
    some = rows.values.copy()
    some[3] *= 1 + 1e-3
    for name, metric in kind.metrics.items():
        change = float(metric.function(rows.read(some.sum(axis=0)))) - float(metric.function(rows.whole))
        assert change == pytest.approx(metric.influence(rows)[3] * 1e-3 / 8, rel=0.05, abs=1e-9), name


def test_a_class_without_pixels_is_left_out_and_a_predicted_one_is_not():
    images = ClassImages(NAMES)
    labels = np.array([[0, 0, 1, 1]])
    images.add("a", np.log(np.where(np.arange(3)[:, None, None] == labels, 0.8, 0.1)), labels)
    assert images.evaluate()["mean_iou"] == 1.0
    assert images.details()["per_class"][2] == {
        "class": "border",
        "iou": None,
        "dice": None,
        "boundary_f1": None,
        "n": 0,
        "n_images": 0,
    }
    wrong = np.array([[0, 2, 1, 1]])
    images.add("b", np.log(np.where(np.arange(3)[:, None, None] == wrong, 0.8, 0.1)), labels)
    assert images.details()["per_class"][2]["iou"] == 0.0
    assert images.details()["absent_classes"] == ["border"]
    assert images.evaluate()["mean_iou"] == pytest.approx((3 / 4 + 1 + 0) / 3)
    assert images.report()["worst"][0] == {"sample_id": "b", "mean_iou": pytest.approx((1 / 2 + 1 + 0) / 3)}


@every
def test_the_images_on_which_members_disagree_most(kind, draw):
    images = kind(NAMES)
    for seed, scale in ((0, 0.1), (1, 3.0), (2, 1.0)):
        outputs, labels = draw(seed)
        members = np.stack([outputs, outputs + scale * np.linspace(-1, 1, 3)[:, None, None]])
        images.add(str(seed), outputs, labels, members=members)
    images.add("alone", *draw(3))
    found = images.disagreements()
    assert [each["sample_id"] for each in found] == ["1", "2", "0"]
    assert found[0]["disagreement"] > found[1]["disagreement"] > 0


def test_boundaries_have_a_metric_of_images_and_gains():
    maps = [class_maps(seed) for seed in range(8)]
    outputs, labels = (np.stack(each) for each in zip(*maps, strict=True))
    metric = get_metric("boundary_f1")
    assert metric.higher_is_better and metric is class_images.METRICS["boundary_f1"]
    worse = gain(outputs[:, [1, 0, 2]], outputs, labels, metric="boundary_f1")
    assert worse.value < 0 and worse.units == 8
    assert number_images.NumberImages.metrics["r2"].higher_is_better


@every
def test_bad_maps(kind, draw):
    outputs, labels = draw(0)
    images = kind(NAMES)
    with pytest.raises(DataError, match="images: expected at least one image, got none"):
        images.evaluate()
    with pytest.raises(DataError) as caught:
        images.add("x", outputs[:, 1:], labels)
    expected = "x: expected outputs [3, H, W] and labels of the same pixels, got "
    assert str(caught.value).startswith(expected)
    images.add("x", outputs, labels)
    with pytest.raises(DataError, match="x: expected each image once, got it twice"):
        images.add("x", outputs, labels)


def test_images_with_little_variation_are_not_the_worst():
    generator = np.random.default_rng(0)
    images = NumberImages(["a", "b"])
    for name, size, error in (("flat", 0.01, 0.5), ("wide", 10.0, 1.0)):
        truth = size * generator.normal(size=(8, 8, 2))
        images.add(name, truth.transpose(2, 0, 1) + error, truth)
    assert [each["sample_id"] for each in images.worst()] == ["wide", "flat"]
    single = np.array([each["rmse"] for each in images.worst()]) ** 2
    assert images.evaluate()["rmse"] == pytest.approx(np.sqrt(single.mean()), rel=0.02)

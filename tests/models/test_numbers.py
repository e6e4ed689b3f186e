"""Models of numbers: the task and the units of a member, what is stored of them, and what ensembles check."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from committee.errors import CommitteeError
from committee.models.composites.boosted import Boosted
from committee.models.composites.viewed import Viewed
from committee.models.ensemble import Ensemble, load
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.models.views.base import SingleView
from committee.models.views.hflip import Hflip

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (5, 3, 20, 30), np.uint8))
NAMES, UNITS = ("age", "height"), ("years", "cm")


def network(seed: int, targets: int = 2) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, targets))


def member(seed: int, names: tuple[str, ...] = NAMES) -> Member:
    return Member.from_module(
        network(seed), targets=names, units=UNITS, shift=[40, 170], scale=[10, 8], size=8, name=f"net_{seed}"
    ).eval()


def test_a_member_returns_numbers_in_the_units_of_its_targets() -> None:
    plain = Member.from_module(network(0), targets=NAMES, size=8).eval()
    standardized = plain.predict(IMAGES)
    np.testing.assert_allclose(member(0).predict(IMAGES), standardized * [10, 8] + [40, 170], rtol=1e-5)
    np.testing.assert_array_equal(
        ModulePredictor(plain, "plain", NAMES)(IMAGES.numpy()), plain(IMAGES).detach()
    )


def test_a_sigmoid_at_the_end_of_a_network_of_numbers_stays() -> None:
    net = nn.Sequential(network(0), nn.Sigmoid())
    kept = Member.from_module(net, targets=NAMES, size=8)
    assert kept.predict(IMAGES).min() > 0 and kept.predict(IMAGES).max() < 1


def test_a_saved_ensemble_has_the_same_numbers_task_and_units(tmp_path: Path) -> None:
    first, second = member(0), member(1)
    flipped = Viewed([second], NAMES, "flipped", SingleView(Hflip(), "hflip"))
    series = Boosted([first, second], NAMES, "series", weights=[1.0, 0.5], votes=False)
    ensemble = Ensemble([first, Ensemble([second, flipped], name="inner"), series]).eval()
    ensemble.save(tmp_path)
    nets = {name: network(seed) for name, seed in (("net_0", 0), ("net_1", 1))}
    again = load(tmp_path, nets=nets)
    assert isinstance(again, Ensemble)
    assert (again.task.key, again.target_names, again.units) == ("regression", NAMES, UNITS)
    np.testing.assert_array_equal(again.predict(IMAGES), ensemble.predict(IMAGES))
    inner = (second.predict(IMAGES) + second.predict(IMAGES.flip(3))) / 2
    sums = first.predict(IMAGES) + second.predict(IMAGES) / 2
    np.testing.assert_allclose(
        ensemble.predict(IMAGES), (first.predict(IMAGES) + inner + sums) / 3, rtol=1e-4
    )


def test_targets_are_matched_by_name_and_a_combiner_is_fitted_to_true_numbers() -> None:
    first, swapped = member(0), member(0, NAMES[::-1])
    swapped.name = "swapped"
    both = Ensemble([first, swapped]).eval()
    mean = (first.predict(IMAGES) + swapped.predict(IMAGES)[:, ::-1]) / 2
    np.testing.assert_allclose(both.predict(IMAGES), mean, rtol=1e-6)
    truth = swapped.predict(IMAGES)[:, ::-1].astype(np.float64)
    weights = both.fit(list(zip(IMAGES, truth, strict=True)), method="weighted").combiner.member_weights()
    assert weights == pytest.approx({"net_0": 0.0, "swapped": 1.0}, abs=1e-6)


def classes() -> Member:
    return Member.from_module(network(3), classes=NAMES, size=8, name="classes")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: Member.from_module(network(0), size=8),
            "member: expected the names of the classes, or of the targets (numbers), got neither. "
            "Pass classes=[...] or targets=[...].",
        ),
        (
            lambda: Member.from_module(network(0), size=8, classes=NAMES, task="regression"),
            "member: task regression: expected the names of the targets, got those of classes. "
            "Pass targets=[...].",
        ),
        (
            lambda: Member.from_module(network(0), size=8, targets=NAMES, units=["cm"]),
            "member: units: expected 2, one for each of age, height, got 1. "
            "Give a target without a unit the unit ''.",
        ),
        (
            lambda: Member.from_module(network(0), size=8, targets=NAMES, shift=[0, 0], scale=[1, 0]),
            "member: shift and scale: expected a mean and a standard deviation above zero for each of "
            "age, height, got [0, 0] and [1, 0].",
        ),
        (
            lambda: Ensemble([member(0), classes()]),
            "ensemble member 'classes': expected the task of 'net_0', regression, got classification. "
            "Make one ensemble for each task.",
        ),
        (
            lambda: Ensemble([member(0)], Ensemble([classes()], weights=[1]).combiner, names=["classes"]),
            "ensemble: expected members with the task of the combiner, classification, got regression. "
            "Fit the combiner on predictions of these members.",
        ),
        (
            lambda: Boosted([member(0)], NAMES, "series"),
            "series: boosted: expected votes=False for values, got votes of stages for classes.",
        ),
        (
            lambda: Ensemble([member(0)]).predictions(IMAGES, [["a", "b"]] * 5),
            "ensemble: labels: expected numbers, one for each image and target, got [['a', 'b']].",
        ),
        (
            lambda: Ensemble([member(0)]).predictions(IMAGES, [[1, 2]] * 5, labels_are="names"),
            "ensemble: expected no labels_are, which says how names of classes are read, got 'names'. "
            "Leave it out.",
        ),
    ],
)
def test_what_does_not_fit_is_an_error(make: object, text: str) -> None:
    with pytest.raises(CommitteeError) as raised:
        make()  # type: ignore[operator]
    assert str(raised.value) == text

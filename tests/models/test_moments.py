"""Networks that predict a variance: the mixture of an ensemble, its storage, and its exported files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from committee.errors import UsageError
from committee.exporters.base import EXPORTERS, Card
from committee.metrics.mixtures import mixture_moments
from committee.models.composites.viewed import Viewed
from committee.models.ensemble import Ensemble, load
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.models.views.base import SingleView
from committee.models.views.hflip import Hflip
from committee.pipeline.shared.parity import check_parity

SHIFT, SCALE = [40.0, 1.0], [10.0, 0.5]


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))


@pytest.fixture(scope="module")
def members() -> list[Member]:
    return [
        Member.from_module(
            network(seed),
            targets=["age", "size"],
            size=8,
            variance=True,
            shift=SHIFT,
            scale=SCALE,
            name=f"m{seed}",
        ).eval()
        for seed in range(3)
    ]


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randint(
        0, 256, (5, 3, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_a_network_returns_numbers_and_their_variances_in_units(members, images):
    member = members[0]
    raw = member.network.net(member.view(images)).detach().double().numpy()
    found = member.predict_distribution(images)
    np.testing.assert_allclose(found.mean, raw[:, :2] * SCALE + SHIFT, rtol=1e-5)
    np.testing.assert_allclose(
        found.aleatoric, np.sqrt(np.logaddexp(0, raw[:, 2:]) + 1e-6) * SCALE, rtol=1e-5
    )
    assert not found.epistemic.any() and member(images).shape == (5, 2)


@pytest.mark.parametrize("rule", ["soft_voting", "median", {"combiner": "weighted", "weights": [3, 1, 0]}])
def test_an_ensemble_is_the_mixture_of_its_members(rule, members, images):
    ensemble = Ensemble(members, rule).eval()
    found, each = ensemble.predict_distribution(images), [one.predict_distribution(images) for one in members]
    variances = [np.square(one.aleatoric) for one in each]
    weights = [3, 1, 0] if isinstance(rule, dict) else None
    wanted = mixture_moments([one.mean for one in each], variances, weights, about=ensemble.predict(images))
    for name in ("mean", "aleatoric", "epistemic"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-4, atol=1e-5)
    rows = ensemble.predictions(images, np.zeros((5, 2)))
    np.testing.assert_allclose(rows.variances, variances, rtol=1e-4)


def test_ensembles_of_ensembles_and_views_have_variances(members, images, tmp_path):
    flipped = Viewed([members[0]], ["age", "size"], "flipped", SingleView(Hflip(), "hflip"))
    ensemble = Ensemble([Ensemble(members[:2], name="pair"), members[2], flipped]).eval()
    mirrored = members[0].predict_distribution(images.flip(3)).aleatoric
    np.testing.assert_allclose(flipped.moments(images)[..., 1].detach().sqrt(), mirrored, rtol=0.05)
    assert ensemble.has_variance and len(ensemble.members) == 3
    ensemble.save(tmp_path)
    nets = {f"m{seed}": network(9) for seed in range(3)}
    again = load(tmp_path, nets=nets).predict_distribution(images)
    np.testing.assert_array_equal(ensemble.predict_distribution(images).total, again.total)


def test_members_without_variances_only_disagree(members, images):
    plain = Member.from_module(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)), targets=["age", "size"], size=8
    )
    mixed = Ensemble([plain, *members])
    assert not mixed.has_variance and ModulePredictor(mixed, "mixed", ()).std_names == ("epistemic_std",)
    assert mixed.predict_distribution(images).epistemic.all()
    assert ModulePredictor(plain, "plain", ()).std_names == ()
    with pytest.raises(UsageError, match="expected a network that predicts one number for each target"):
        Member.from_module(network(0), classes=["a", "b"], size=8, variance=True)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["onnx", "torchscript"])
@pytest.mark.parametrize("rule", ["weighted", "median"])
def test_files_return_the_standard_deviation(key, rule, members, images, tmp_path):
    options = {"weights": [3, 1, 0]} if rule == "weighted" else {}
    ensemble = Ensemble(members, {"combiner": rule, **options}).eval()
    exporter = EXPORTERS.make(key)
    file = exporter.export(ensemble, images, tmp_path, Card.of(ensemble, "vote"))
    found, reference = exporter.open(file), ModulePredictor(ensemble, "vote", ensemble.class_names)
    batches = [images.numpy(), images[:1, :, :9].numpy()]
    assert check_parity(reference, found, batches, "file")["max_abs_diff"] < 1e-5
    total = ensemble.predict_distribution(images).total
    assert found.std_names == ("std",)
    np.testing.assert_allclose(found.spread_of(batches[0])[..., 1], total, rtol=1e-4)

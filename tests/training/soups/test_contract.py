"""What every soup promises, over every entry of the family."""

import pytest
import torch

from committee.training.soups.base import SOUPS, Choice


@pytest.fixture(params=SOUPS.names())
def soup(request):
    return SOUPS.make(request.param)


def test_weights_are_a_mean_of_some(soup, averager):
    losses = {name: averager.loss(member) for name, member in averager.members.items()}
    weights = soup.weights(Choice([lambda: averager]), losses)
    assert set(weights) <= set(losses)
    assert sum(weights.values()) == pytest.approx(1) and all(weight >= 0 for weight in weights.values())


def test_ingredients_stay_as_they_are(soup, averager):
    before = {
        n: {k: v.clone() for k, v in m.network.state_dict().items()} for n, m in averager.members.items()
    }
    soup.weights(
        Choice([lambda: averager]), {name: averager.loss(member) for name, member in averager.members.items()}
    )
    for name, member in averager.members.items():
        assert not member.training
        for key, value in member.network.state_dict().items():
            assert torch.equal(value, before[name][key])


def test_one_that_chooses_is_no_worse_than_the_best_network_on_its_rows(soup, averager):
    if not soup.needs_validation:
        return
    losses = {name: averager.loss(member) for name, member in averager.members.items()}
    made = averager.blend(soup.weights(Choice([lambda: averager]), losses))
    assert averager.loss(made) <= min(losses.values()) + 1e-6

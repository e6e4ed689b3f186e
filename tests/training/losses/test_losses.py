"""Every loss of the family: rows are independent, and errors have no unit."""

import numpy as np
import pytest
import torch

from committee.recipe.load import load_recipe
from committee.tasks import Classification, Regression
from committee.training.losses.base import LOSSES, loss_for

LABELS = {"classes": torch.tensor([0, 2, 1, 2]), "numbers": torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 9]])}


def with_variances(loss, outputs, variances=1.0):
    """Return outputs as a network for the loss returns them: with variances, if it learns them."""
    if not loss.has_variance:
        return outputs
    return torch.stack([outputs, (torch.ones_like(outputs) * variances).to(outputs)], -1)


@pytest.mark.parametrize(("beta", "weight"), [(0.0, 1.0), (0.5, 2.0), (1.0, 4.0)])
def test_beta_weights_rows_by_their_variance_without_its_gradient(beta, weight):
    """Seitzer et al. (2022), equation 6."""
    loss = LOSSES.make("gaussian_nll", beta=beta).prepare([], "a", (1.0,))
    outputs = torch.tensor([[[3.0, 4.0]]], requires_grad=True)
    found = loss.mean(outputs, torch.tensor([[1.0]]))
    expected = torch.distributions.Normal(3.0, 2.0).log_prob(torch.tensor(1.0)) + np.log(2 * np.pi) / 2
    torch.testing.assert_close(found, (-weight * expected).reshape(()))
    found.backward()
    assert outputs.grad[0, 0].tolist() == pytest.approx([weight * 0.5, weight * (1 / 8 - 4 / 32)])


@pytest.mark.parametrize("name", [each for each in LOSSES.names() if {*LABELS} & {*LOSSES.load(each).serves}])
def test_a_loss_is_the_weighted_mean_of_its_rows(name):
    loss = LOSSES.make(name)
    (kind,) = loss.serves
    labels = LABELS[kind]
    outputs = torch.randn(4, 3 if kind == "classes" else 2, generator=torch.Generator().manual_seed(0))
    outputs = with_variances(loss, outputs)
    loss.prepare(labels.numpy(), "abc"[: outputs.shape[1]], (2.0, 4.0) if kind == "numbers" else ())
    each = loss.each(outputs, labels)
    torch.testing.assert_close(loss.mean(outputs, labels), each.sum() / loss.weight(labels).sum())
    torch.testing.assert_close(loss.each(outputs[[2]], labels[[2]]), each[[2]])
    assert (
        loss.score in ("accuracy", "mae") and not loss.scored(outputs.requires_grad_(), labels).requires_grad
    )


@pytest.mark.parametrize("name", [name for name in LOSSES.names() if "numbers" in LOSSES.load(name).serves])
@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_a_loss_of_numbers_has_no_unit(name, unit):
    labels, scale = LABELS["numbers"], np.array([2.0, 4.0])
    outputs = labels + torch.tensor([[0.5, -1.0]])
    loss, other = (LOSSES.make(name).prepare([], "ab", tuple(scale * each)) for each in (1.0, unit))
    outputs, right = (with_variances(loss, each, torch.tensor(scale**2)) for each in (outputs, labels))
    scaled = outputs * torch.tensor([unit, unit**2]) if loss.has_variance else outputs * unit
    torch.testing.assert_close(other.each(scaled, labels * unit), loss.each(outputs, labels))
    assert loss.each(right, labels).tolist() == [0.0] * 4


@pytest.mark.parametrize(("task", "name"), [(Classification(), "cross_entropy"), (Regression(), "mse")])
def test_the_default_follows_the_task(task, name):
    assert type(loss_for(load_recipe(None).training, task)) is LOSSES.load(name)


def test_a_loss_has_options():
    recipe = load_recipe(None, ["training.loss={name: huber, delta: 0.5}"])
    assert loss_for(recipe.training, Regression()).delta == 0.5

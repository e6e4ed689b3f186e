"""The promises of every loss of distillation, and each against a plain computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from committee.errors import RecipeError, UsageError
from committee.recipe.load import load_recipe
from committee.training.distillation_losses.base import LOSSES

STUDENT, TEACHER = (np.random.default_rng(seed).normal(size=(6, 4)) * 3 for seed in (0, 1))
CLASSES = np.array([0, 1, 2, 3, 0, 1])


def loss_of(name, student, teacher, **options):
    tensors = (torch.tensor(each, dtype=torch.float32) for each in (student, teacher))
    return LOSSES.make(name, **options)(*tensors, torch.from_numpy(CLASSES))


@pytest.mark.parametrize("name", LOSSES.names())
def test_a_loss_is_smallest_where_the_student_equals_the_teacher(name):
    equal, other = loss_of(name, TEACHER, TEACHER), loss_of(name, STUDENT, TEACHER)
    assert equal.shape == other.shape == (6,)
    np.testing.assert_allclose(equal, 0, atol=1e-5)
    assert (other > 0).all()
    offset = -7 if "classes" in LOSSES.load(name).serves else 5  # logits have no constant in a row
    moved = loss_of(name, STUDENT + 5, TEACHER + offset)
    torch.testing.assert_close(moved, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LOSSES.names())
@pytest.mark.parametrize("scale", [1.0, 80.0])
def test_gradients_are_finite_and_lead_to_the_teacher(name, scale):
    student = torch.tensor(STUDENT * scale, dtype=torch.float32, requires_grad=True)
    teacher = torch.tensor(TEACHER * scale, dtype=torch.float32)
    loss = LOSSES.make(name)
    before = loss(student, teacher, torch.from_numpy(CLASSES)).sum()
    before.backward()
    assert student.grad is not None and student.grad.isfinite().all()
    step = student.detach() - 1e-3 * student.grad
    assert loss(step, teacher, torch.from_numpy(CLASSES)).sum() < before


def kl(own, target):
    return (np.exp(target) * (target - own)).sum(1)


def test_kd_is_the_divergence_times_the_square_of_the_temperature():
    own, target = (log_softmax(each / 3, axis=1) for each in (STUDENT, TEACHER))
    np.testing.assert_allclose(
        loss_of("kd", STUDENT, TEACHER, temperature=3.0), 9 * kl(own, target), rtol=1e-4
    )


def test_dkd_weights_the_parts_of_the_divergence():
    own, target = (softmax(each / 2, axis=1) for each in (STUDENT, TEACHER))
    rows = np.arange(6)
    binary = [np.stack([p[rows, CLASSES], 1 - p[rows, CLASSES]], 1) for p in (own, target)]
    others = [np.delete(p, 0, 1).copy() for p in (own, target)]
    for row, each in enumerate(CLASSES):
        for mine, p in zip(others, (own, target), strict=True):
            mine[row] = np.delete(p[row], each) / (1 - p[row, each])
    parts = [kl(*(np.log(each) for each in pair)) for pair in (binary, others)]
    found = loss_of("dkd", STUDENT, TEACHER, temperature=2.0, target_weight=0.5, other_weight=3.0)
    np.testing.assert_allclose(found, 4 * (0.5 * parts[0] + 3 * parts[1]), rtol=1e-4)
    # With the weights that follow from the teacher's confidence, the parts are the plain divergence.
    whole = parts[0] + (1 - target[rows, CLASSES]) * parts[1]
    np.testing.assert_allclose(loss_of("kd", STUDENT, TEACHER, temperature=2.0), 4 * whole, rtol=1e-4)


def test_mse_logits_compares_centered_logits():
    centered = [each - each.mean(1, keepdims=True) for each in (STUDENT, TEACHER)]
    expected = ((centered[0] - centered[1]) ** 2).mean(1)
    np.testing.assert_allclose(loss_of("mse_logits", STUDENT, TEACHER), expected, rtol=1e-4)


def test_losses_of_values_are_means_over_targets():
    errors = STUDENT - TEACHER
    np.testing.assert_allclose(loss_of("mse_values", STUDENT, TEACHER), np.square(errors).mean(1), rtol=1e-4)
    np.testing.assert_allclose(loss_of("mae_values", STUDENT, TEACHER), np.abs(errors).mean(1), rtol=1e-4)


def test_a_negative_weight_is_refused():
    with pytest.raises(UsageError, match=r"^dkd: target_weight: expected at least 0\.0, got -1"):
        LOSSES.make("dkd", target_weight=-1)


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        (
            "loss=kdd",
            "distillation.loss: expected one of dkd, kd, mae_values, mse_logits, mse_values, got 'kdd'. "
            "Did you mean 'kd'?",
        ),
        (
            "loss={name: dkd, other_weigth: 1}",
            "distillation.loss.other_weigth: expected an option of dkd (other_weight, target_weight), got 1. "
            "Did you mean 'other_weight'?",
        ),
        ("temperature=0", "distillation.temperature: expected a number greater than 0, got 0."),
        ("alpha=1.5", "distillation.alpha: expected a number not greater than 1, got 1.5."),
        ("alpha=-0.1", "distillation.alpha: expected a number not less than 0, got -0.1."),
    ],
)
def test_a_recipe_refuses_what_makes_no_sense(setting, text):
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, [f"distillation.{setting}"])
    assert str(caught.value).startswith(text)

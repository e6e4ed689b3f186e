"""Losses of maps: pixels are rows, ignored pixels have no effect, and images count equally."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from committee.errors import RecipeError
from committee.recipe.training import Fit
from committee.tasks.base import TASKS
from committee.training.losses.base import LOSSES, loss_for, loss_name

SEGMENTATION, NUMBERS = TASKS.make("segmentation"), TASKS.make("dense_regression")


def classes(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 3, 5, 4, generator=generator), torch.randint(0, 3, (2, 5, 4), generator=generator)


def prepared(name, task=SEGMENTATION, **settings):
    fit = Fit.model_validate({"loss": name, **settings})
    return loss_for(fit, task).prepare(np.array([0, 1, 1, 2]), ["a", "b", "c"], settings=fit)


def test_cross_entropy_is_the_mean_of_the_labeled_pixels_of_each_image():
    outputs, labels = classes()
    labels[0, :2] = -1
    for weights in ("none", {"b": 3.0}):
        found = prepared("cross_entropy", class_weights=weights).each(outputs, labels)
        weight = prepared("cross_entropy", class_weights=weights).loss.weights
        for image in range(2):
            wanted = functional.cross_entropy(
                outputs[[image]], labels[[image]], weight=weight, ignore_index=-1
            )
            assert found[image] == pytest.approx(float(wanted), rel=1e-5)


@pytest.mark.parametrize("name", ["cross_entropy", "dice", "dice_cross_entropy"])
def test_ignored_pixels_change_nothing(name):
    outputs, labels = classes()
    labels[1, 2:] = -1
    other = outputs.clone()
    other[1, :, 2:] = 7 * torch.randn(3, 3, 4)
    loss = prepared(name)
    assert torch.allclose(loss.each(outputs, labels), loss.each(other, labels))
    assert loss.scored(outputs, labels) == loss.scored(other, labels)
    labels[0] = -1
    assert loss.mean(outputs, labels).isfinite() and loss.each(outputs, labels).shape == (2,)


def test_dice_is_one_minus_the_mean_overlap():
    labels = torch.tensor([[[0, 1], [1, 1]]])
    right = 40.0 * functional.one_hot(labels, 2).movedim(-1, 1).float()
    loss = prepared("dice")
    assert float(loss.mean(right, labels)) == pytest.approx(0, abs=1e-6)
    wrong = right.flip(1)
    expected = 1 - np.mean([(0 + 1) / (3 + 1 + 1), (0 + 1) / (1 + 3 + 1)])
    assert float(loss.mean(wrong, labels)) == pytest.approx(expected, abs=1e-6)


def test_the_sum_has_the_weight_of_its_option():
    outputs, labels = classes(1)
    parts = [prepared(name).each(outputs, labels) for name in ("cross_entropy", "dice")]
    found = prepared({"name": "dice_cross_entropy", "dice": 0.5}).each(outputs, labels)
    assert torch.allclose(found, parts[0] + 0.5 * parts[1])


def test_numbers_of_pixels_are_averaged_without_nan():
    outputs, labels = torch.zeros(2, 1, 2, 2), torch.full((2, 1, 2, 2), 4.0)
    labels[0, 0, 0] = torch.nan
    labels[1] = 2.0
    loss = loss_for(Fit(), NUMBERS).prepare([], ["depth"], scale=(2.0,))
    assert loss.each(outputs, labels).tolist() == [4.0, 1.0]
    assert float(loss.scored(outputs, labels)) == pytest.approx((2 * 4 + 4 * 2) / 6)


def test_losses_of_maps_and_of_their_pixels_apply():
    names = {name for name in LOSSES.names() if {"classes", "class_maps"} & {*LOSSES.load(name).serves}}
    assert names == {"cross_entropy", "dice", "dice_cross_entropy"}
    assert loss_name(Fit(), SEGMENTATION) == "dice_cross_entropy"
    with pytest.raises(RecipeError) as error:
        loss_for(Fit.model_validate({"loss": "mse"}), SEGMENTATION)
    assert str(error.value) == (
        "training: training.loss: expected a loss of class_maps: cross_entropy, dice, dice_cross_entropy, "
        "got 'mse'. Leave it out, which means dice_cross_entropy."
    )


def test_losses_with_variances_serve_numbers_of_images_alone():
    with pytest.raises(RecipeError) as error:
        loss_for(Fit.model_validate({"loss": "gaussian_nll"}), NUMBERS)
    assert str(error.value) == (
        "training: training.loss: expected a loss of number_maps: huber, mae, mse, got 'gaussian_nll'. "
        "Leave it out, which means mse."
    )

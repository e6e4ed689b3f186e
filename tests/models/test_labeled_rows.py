"""Masks given to `Ensemble.fit`: whole numbers of any type, and what is refused."""

import numpy as np
import pytest
from torch import nn

from committee.errors import DataError
from committee.models import Ensemble, Member

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 9, 12), np.uint8)
MASKS = (IMAGES[:, 0] > 128).astype(np.int64)


def ensemble():
    classes = ["dark", "bright"]
    return Ensemble([Member.from_module(nn.Conv2d(3, 2, 1), classes=classes, task="segmentation", size=8)])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, bool])
def test_masks_may_have_any_type_of_whole_numbers(dtype):
    found, expected = ensemble(), ensemble()
    expected.members.load_state_dict(found.members.state_dict())
    found.fit(IMAGES, MASKS.astype(dtype), method="vector_scaling")
    expected.fit(IMAGES, MASKS, method="vector_scaling")
    assert np.array_equal(found.predict(IMAGES), expected.predict(IMAGES))


def test_a_value_that_is_no_class_is_refused_and_what_replaces_it_is_fitted():
    mask = np.where(np.arange(12) < 3, 255, MASKS).astype(np.uint8)
    with pytest.raises(DataError) as error:
        ensemble().fit(IMAGES, mask)
    assert str(error.value) == (
        "ensemble: expected classes from 0 to 1 in a mask, and -1 where it is ignored, got 255. "
        "If 255 means no label: numpy.where(mask == 255, -1, mask.astype(int))."
    )
    ensemble().fit(IMAGES, np.where(mask == 255, -1, mask.astype(int)))

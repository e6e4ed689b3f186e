import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from committee.images.canvas_of import canvas_of
from committee.images.resize import Axis, filter_weights, resize
from committee.images.view import frame

sides = st.integers(1, 90)


@given(sides, sides, st.integers(-20, 20), st.integers(1, 40), st.integers(1, 90))
def test_weights_sum_to_one_inside_and_to_zero_outside(length, scaled, first, size, block):
    weights, start = filter_weights(Axis(3, length, scaled, first, size), block, torch.device("cpu"))
    outputs = first + torch.arange(weights.shape[0] * block)
    inside = (outputs >= 0) & (outputs < scaled)
    assert torch.equal(weights.sum(2).flatten(), inside.double()) and (weights >= 0).all()
    assert (start >= 3).all() and (start + weights.shape[2] <= 3 + length).all()
    assert torch.equal(weights * 2**15, (weights * 2**15).round())


@given(sides, sides, sides, sides, st.integers(0, 99))
def test_the_result_is_within_a_level_of_interpolation(height, width, rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 1, height, width), generator=generator, dtype=torch.uint8)
    result = resize(images, Axis(0, height, rows, 0, rows), Axis(0, width, columns, 0, columns))
    theirs = functional.interpolate(images.float(), (rows, columns), mode="bilinear", antialias=True)
    assert result.dtype == torch.uint8 and (result - theirs).abs().max() < 1.01


@pytest.mark.parametrize("side", [9, 70, 700])
def test_neither_blocks_nor_layout_nor_precision_nor_autocast_change_the_result(side):
    images = torch.randint(0, 256, (3, 3, side, side + 1), dtype=torch.uint8)
    axes = Axis(1, side - 2, 45, 4, 33), Axis(0, side + 1, 300, -5, 310)
    expected = resize(images, *axes)
    assert expected.is_contiguous()
    whole, first = filter_weights(axes[0], 33, torch.device("cpu"))
    rows = whole[0] @ images[:, :, first.item() : first.item() + whole.shape[2]].double()
    down, first = filter_weights(axes[1], 310, torch.device("cpu"))
    part = rows.round()[..., first.item() : first.item() + down.shape[2]]
    assert torch.equal(expected.double(), (part @ down[0].T).round())
    assert torch.equal(resize(images.contiguous(memory_format=torch.channels_last), *axes), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resize(images, *axes), expected)
    torch.set_float32_matmul_precision("medium")
    try:
        assert torch.equal(resize(images, *axes), expected)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert torch.equal(torch.cat([resize(image[None], *axes) for image in images]), expected)


def test_an_image_of_the_right_size_is_not_copied():
    images = torch.zeros(2, 3, 12, 10, dtype=torch.uint8)
    result = resize(images, Axis(0, 12, 12, 1, 9), Axis(0, 10, 10, 0, 10))
    assert result.shape == (2, 3, 9, 10) and result.untyped_storage().data_ptr() == images.data_ptr()


@given(
    st.integers(1, 400), st.integers(1, 400), sides, st.sampled_from(["crop", "squash", "pad"]), st.booleans()
)
def test_a_single_image_has_the_same_bytes_in_numpy(height, width, size, fit, white):
    rng = np.random.default_rng([height, width, size])
    image = rng.integers(255 * white, 256, (3, height, width), dtype=np.uint8)
    expected = frame(torch.from_numpy(image)[None], size, fit)[0]
    found = canvas_of(image, size, fit)
    assert found.flags.c_contiguous and np.array_equal(found, expected.numpy())

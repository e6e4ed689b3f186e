import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torchvision.transforms import v2

from committee.base.randomness import derive, sample_keys
from committee.images import enhance, randaugment
from committee.images.augment import _mirror, _turn, _window, augment
from committee.images.resample import _grid, resize, warp
from committee.images.view import View, canvas_size, frame
from committee.recipe.augment import PRESETS, Amounts

KEYS = sample_keys([f"train/cat/{row}.png" for row in range(24)])


@pytest.fixture(scope="module")
def images():
    from sklearn.datasets import load_sample_images

    photos = [torch.from_numpy(photo.copy()).permute(2, 0, 1)[None] for photo in load_sample_images().images]
    cut = [frame(photo[..., k * 9 :, k * 7 :], 37, "crop") for k in range(12) for photo in photos]
    return torch.cat(cut)


@pytest.fixture(scope="module")
def large():
    from sklearn.datasets import load_sample_image

    photo = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1)[None]
    return frame(photo, 400, "crop")


def vary(images, keys=KEYS, seed=3, size=32, **options):
    view = View(size, mean=0.0, std=1 / 255, channels=images.shape[1])
    return augment(images, keys, view, Amounts(**options), seed)


@pytest.mark.parametrize("size", [32, 24])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_all_off_is_what_the_view_cuts(images, fit, size):
    view = View(size, fit=fit)
    assert torch.equal(augment(images, KEYS, view, PRESETS["none"], 3), view(images))


VARIED = {"flip": True, "color_jitter": 0.2, "random_resized_crop": 0.5}


@pytest.mark.parametrize("randaugment", [0, 9])
def test_neither_layout_nor_batch_nor_threads_change_a_sample(large, randaugment):
    images = torch.stack([large[0].roll(shift, 2) for shift in range(12)])
    settings = Amounts(**VARIED, randaugment=randaugment)
    view = View(224)
    plain = augment(images, KEYS[:12], view, settings, 3)
    assert plain.is_contiguous()
    last = images.contiguous(memory_format=torch.channels_last)
    for layout in (torch.contiguous_format, torch.channels_last):
        alike = augment(last, KEYS[:12], view, settings, 3, layout)
        assert alike.is_contiguous(memory_format=layout)
        torch.testing.assert_close(alike, plain, rtol=0, atol=1e-5)
        alone = [
            augment(last[row : row + 1], KEYS[row : row + 1], view, settings, 3, layout) for row in range(12)
        ]
        assert torch.equal(torch.cat(alone), alike)
        torch.set_num_threads(2)
        assert torch.equal(augment(last, KEYS[:12], view, settings, 3, layout), alike)
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    "options",
    [
        {"flip": True},
        {"color_jitter": 0.4},
        {"hue": 0.1},
        {"random_resized_crop": 0.3},
        {"randaugment": 9},
        {**VARIED, "randaugment": 5},
    ],
)
def test_a_sample_varies_by_its_id_and_the_epoch_not_by_its_batch(images, options):
    whole = vary(images, **options)
    assert whole.shape == (24, 3, 32, 32) and whole.dtype == torch.float32
    assert whole.min() >= -1e-3 and whole.max() <= 255 + 1e-3
    order = np.random.default_rng(0).permutation(24)
    shuffled = vary(images[order], KEYS[order], **options)
    assert torch.equal(shuffled, whole[order])
    assert torch.equal(vary(images[3:5], KEYS[3:5], **options), whole[3:5])
    assert not torch.allclose(vary(images, seed=derive(3, "augment", 1), **options), whole, atol=1)
    same = vary(images[:1].expand(24, -1, -1, -1), **options)
    assert len({tuple(picture.flatten().tolist()) for picture in same}) >= 2


def test_flip_mirrors_about_every_second(images):
    plain, flipped = vary(images), vary(images, flip=True)
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(plain, flipped, strict=True)]
    same = [torch.equal(a, b) for a, b in zip(plain, flipped, strict=True)]
    assert sum(mirrored) + sum(same) == 24 and 6 <= sum(mirrored) <= 18


@pytest.mark.parametrize("options", [{"random_resized_crop": 0.5}, {"randaugment": 9}])
def test_a_flip_mirrors_what_the_resampling_gives(large, options):
    images = large.expand(24, -1, -1, -1)
    plain, flipped = (vary(images, size=224, flip=flip, **options) for flip in (False, True))
    # The mirrored grid rounds differently, so that a value may be on the other side of a color threshold.
    apart = [(one - other).abs().mean() for one, other in zip(plain, flipped, strict=True)]
    mirrored = [(one - other.flip(-1)).abs().mean() for one, other in zip(plain, flipped, strict=True)]
    assert all(min(pair) < 0.1 < max(pair) for pair in zip(apart, mirrored, strict=True))


def test_the_whole_canvas_is_within_reach_of_a_crop():
    ramp = torch.arange(37, dtype=torch.uint8).expand(1, 1, 37, 37).contiguous()
    keys = sample_keys([str(row) for row in range(400)])
    seen = vary(ramp.expand(400, -1, -1, -1), keys, random_resized_crop=0.25)
    assert seen.amin() < 0.5 and seen.amax() > 35.5
    widths = seen[:, 0, 0, -1] - seen[:, 0, 0, 0]
    assert widths.min() > 0.4 * 37 * 31 / 32 and widths.max() <= 37


@pytest.mark.parametrize("smallest", [0.08, 0.5, 0.9, 0.999])
def test_a_crop_keeps_the_share_of_the_area_that_is_promised(smallest):
    draws = torch.from_numpy(np.random.default_rng(0).random((4, 20_000), dtype=np.float32))
    maps = _window(View(32), smallest, draws.unbind())
    width, height, x, y = maps[:, 0, 0], maps[:, 1, 1], maps[:, 0, 2], maps[:, 1, 2]
    area, aspect = width * height, width / height
    assert area.min() >= smallest - 1e-6 and max(width.max(), height.max()) <= 1 + 1e-6
    assert (x.abs() + width).max() <= 1 + 1e-6 and (y.abs() + height).max() <= 1 + 1e-6
    assert area.mean() == pytest.approx((1 + smallest) / 2, abs=0.01)
    assert aspect.min() >= 3 / 4 - 1e-6 and aspect.max() <= 4 / 3 + 1e-6
    assert aspect.log().mean() == pytest.approx(0, abs=0.01)


def test_a_small_member_on_a_large_canvas_is_antialiased():
    stripes = (torch.arange(258) % 2 * 255).to(torch.uint8).expand(1, 1, 258, 258).contiguous()
    seen = vary(stripes, KEYS[:1], size=32, random_resized_crop=0.5)
    assert (seen - 127.5).abs().max() < 20


@pytest.mark.parametrize("factor", [0.3, 1.0, 1.7])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_enhancements_agree_with_pillow(images, ours, theirs, factor):
    image = images[:1]
    changed = getattr(enhance, ours)(image.float(), torch.tensor([factor]))
    reference = theirs(Image.fromarray(image[0].permute(1, 2, 0).numpy())).enhance(factor)
    reference = torch.from_numpy(np.array(reference)).permute(2, 0, 1)[None].float()
    torch.testing.assert_close(changed, reference, rtol=0, atol=2.6)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_is_its_three_changes_in_one_pass(images, channels):
    pixels = images[:, :channels].float() / 4 + 90
    factors = [torch.linspace(low, 2 - low, 24) for low in (0.8, 0.9, 0.7)]
    expected = pixels
    for change, factor in zip(
        (enhance.brightness, enhance.contrast, enhance.saturation), factors, strict=True
    ):
        expected = change(expected, factor)
    changed = enhance.jitter(pixels, torch.stack(factors), torch.zeros(24))
    torch.testing.assert_close(changed, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("ours", "amount", "theirs"),
    [
        ("posterize", 3.0, lambda image: ImageOps.posterize(image, 3)),
        ("solarize", 100.0, lambda image: ImageOps.solarize(image, 100)),
        ("autocontrast", 0.0, ImageOps.autocontrast),
        ("equalize", 0.0, ImageOps.equalize),
    ],
)
def test_operations_agree_with_pillow(large, ours, amount, theirs):
    image = large  # on small images Pillow's equalize is inaccurate because of integer steps
    changed = getattr(enhance, ours)(image.float(), torch.tensor([amount]))
    reference = np.array(theirs(Image.fromarray(image[0].permute(1, 2, 0).numpy())))
    reference = torch.from_numpy(reference).permute(2, 0, 1)[None].float()
    torch.testing.assert_close(changed, reference, rtol=0, atol=3)


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_normalizes_as_the_view_does(images, channels):
    images, view, factors = images[:, :channels], View(32, channels=channels), torch.rand(3, 24) + 0.5
    turns = torch.rand(24) - 0.5
    expected = view.normalize(enhance.jitter(images, factors, turns))
    torch.testing.assert_close(enhance.jitter(images, factors, turns, view), expected, rtol=0, atol=1e-5)


def test_a_hue_is_rotated_without_a_change_of_luma_or_gray(images):
    pixels, same, turns = images.float() / 4 + 90, torch.ones(3, 24), torch.linspace(-0.1, 0.1, 24)
    turned = enhance.jitter(pixels, same, turns)
    torch.testing.assert_close(enhance._gray(turned), enhance._gray(pixels), rtol=0, atol=0.02)
    torch.testing.assert_close(enhance.jitter(turned, same, -turns), pixels, rtol=0, atol=0.02)
    gray = enhance._gray(pixels).expand(-1, 3, -1, -1)
    torch.testing.assert_close(enhance.jitter(gray, same, turns), gray, rtol=0, atol=0.02)


def test_a_flat_image_survives_every_operation():
    flat = torch.full((14 * 8, 1, 9, 9), 77, dtype=torch.uint8)
    keys = sample_keys([str(row) for row in range(len(flat))])
    seen = vary(flat, keys, size=7, randaugment=10)
    assert seen.isfinite().all()


def boxes(side):
    """Return maps of boxes of whole pixels, and the boxes: left, top, width, height, mirrored."""
    found = [(0, 0, side, side, False), (3, 8, 40, 61, False), (20, 1, 90, 70, True), (7, 30, 25, 25, True)]
    maps = torch.zeros(4, 3, 3)
    for place, (left, top, width, height, mirrored) in zip(maps, found, strict=True):
        place[0, 0], place[0, 2] = (-width if mirrored else width) / side, (2 * left + width) / side - 1
        place[1, 1], place[1, 2] = height / side, (2 * top + height) / side - 1
    return maps, found


@pytest.mark.parametrize("channels", [1, 3])
def test_boxes_are_resized_as_torchvision_does(large, channels):
    image = large[:, :channels, 100:229, 100:229]
    maps, found = boxes(129)
    ours = resize(image.expand(4, -1, -1, -1), maps, 64)
    for result, (left, top, width, height, mirrored) in zip(ours, found, strict=True):
        theirs = v2.functional.resized_crop(
            image.float(), top, left, height, width, [64, 64], antialias=True
        )[0]
        difference = (result.float() - (theirs.flip(-1) if mirrored else theirs)).abs()
        assert difference.max() <= 1.01 and difference.mean() < 0.3


def test_what_is_looked_up_is_where_the_resized_box_is(large):
    maps, _ = boxes(400)
    images = large.expand(3, -1, -1, -1)
    # These are enlarged, so antialiasing has no effect.
    resized, looked_up = resize(images, maps[1:], 96), warp(images.float(), maps[1:], 96)
    assert (resized.float() - looked_up.float()).abs()[..., 2:-2, 2:-2].max() <= 1


def test_the_grid_is_that_of_torch():
    maps = torch.cat([torch.rand(5, 2, 3), torch.tensor([0.0, 0, 1]).expand(5, 1, 3)], 1)
    theirs = torch.nn.functional.affine_grid(maps[:, :2], [5, 1, 7, 7], align_corners=False)
    torch.testing.assert_close(_grid(maps, 7), theirs, rtol=0, atol=1e-6)


def test_every_operation_is_drawn():
    draws = torch.from_numpy(np.random.default_rng(0).random((4, 2000), dtype=np.float32))
    drawn = randaugment.plan(list(draws), 5)
    assert len(randaugment.OPERATIONS) == 14
    assert set(drawn.operations.flatten().tolist()) == set(range(14))
    assert set(drawn.strengths.flatten().tolist()) == {-0.5, 0.5}


def test_canvas_of_the_largest_member_is_not_resampled(images):
    assert images.shape[-1] == canvas_size(32)
    assert torch.equal(vary(images).round(), vary(images))


def test_each_image_is_turned_and_mirrored_by_its_own_draws():
    images = torch.randint(0, 256, (8, 3, 6, 6), dtype=torch.uint8).contiguous(
        memory_format=torch.channels_last
    )
    turns, flipped = torch.arange(8) % 4, torch.arange(8) < 4
    expected = torch.stack(
        [torch.rot90(each, turn, (1, 2)) for each, turn in zip(images, turns.tolist(), strict=True)]
    )
    assert torch.equal(_turn(images, turns), expected)
    expected = torch.stack(
        [each.flip(2) if flip else each for each, flip in zip(images, flipped, strict=True)]
    )
    assert torch.equal(_mirror(images, flipped), expected)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("size", [32, 128])
def test_images_stay_on_their_device_which_is_not_waited_for(preset, size):
    # The device `meta` has no values: an operation that needs them on the CPU fails.
    canvas = torch.zeros(2, 3, canvas_size(size), canvas_size(size), dtype=torch.uint8, device="meta")
    found = augment(canvas, KEYS[:2], View(size).to("meta"), PRESETS[preset], seed=0)
    assert found.device.type == "meta" and found.shape == (2, 3, size, size)

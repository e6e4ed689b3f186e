import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from committee.errors import DataError, UsageError
from committee.images.view import View, canvas_size, frame

SIZES = [
    (300, 200),
    (200, 300),
    (333, 517),
    (8, 8),
    (37, 37),
    (1, 90),
    (90, 37),
    (7, 3000),
    (3000, 7),
    (1, 1),
]


def photo(height, width, *, batch=1, channels=3):
    """Return smooth colored waves with noise, on which errors of resizing are visible."""
    rows, columns = np.mgrid[:height, :width] / 9
    waves = np.stack([np.sin(rows + c) * np.cos(columns - c) for c in range(channels)])
    noise = np.random.default_rng(height * width).normal(0, 0.2, (batch, channels, height, width))
    return torch.from_numpy(((waves + noise) * 80 + 128).clip(0, 255).astype(np.uint8))


@pytest.fixture(scope="module", params=["crop", "squash", "pad"])
def exported(request, tmp_path_factory):
    onnxruntime = pytest.importorskip("onnxruntime")
    view = View(32, mean=0.0, std=1.0, fit=request.param)
    file = tmp_path_factory.mktemp("view") / "view.onnx"
    free = torch.export.Dim.DYNAMIC
    torch.onnx.export(
        view,
        (photo(40, 52, batch=2),),
        file,
        dynamo=True,
        external_data=False,
        input_names=["images"],
        dynamic_shapes=({0: free, 2: free, 3: free},),
        verbose=False,
    )
    return view, onnxruntime.InferenceSession(file)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_the_exported_view_returns_the_same_at_any_size(exported, shape, batch):
    view, session = exported
    images = photo(*shape, batch=batch)
    ran = session.run(None, {"images": images.numpy()})[0]
    assert session.get_inputs()[0].shape[1] == 3
    assert session.get_outputs()[0].shape[1:] == [3, 32, 32]
    assert ran.shape == (batch, 3, 32, 32)
    np.testing.assert_array_equal(ran, view(images).numpy())


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
@pytest.mark.parametrize("shape", SIZES)
def test_a_member_sees_the_same_in_its_canvas_as_in_the_photo(fit, shape):
    view, image = View(32, fit=fit), photo(*shape)
    cached = frame(image, canvas_size(32, fit), fit)
    assert cached.dtype == torch.uint8 and cached.shape == (1, 3, *[canvas_size(32, fit)] * 2)
    assert torch.equal(view(cached), view(image))


def test_the_middle_is_resized_as_torchvision_does():
    image = photo(200, 300)
    theirs = v2.functional.resize(image[..., 50:250].float(), [37, 37], antialias=True)
    theirs = v2.functional.center_crop(theirs, [32, 32])
    assert (View(32).cut(image) - theirs).abs().max() <= 1


def test_squash_keeps_the_corners_and_pad_adds_black():
    image = torch.full((1, 1, 20, 40), 200, dtype=torch.uint8)
    assert (frame(image, 16, "squash") == 200).all()
    padded = frame(image, 16, "pad")[0, 0]
    assert (padded[4:12] == 200).all() and (padded[:4] == 0).all() and (padded[12:] == 0).all()


def test_normalizing_is_the_usual_formula():
    view = View(4, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    pixels = torch.rand(2, 3, 4, 4) * 255
    expected = v2.functional.normalize(pixels / 255, [0.1, 0.2, 0.3], [0.5, 0.6, 0.7])
    torch.testing.assert_close(view.normalize(pixels), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_and_floats_in_any_layout_are_normalized_alike(channels):
    view, images = View(300, channels=channels), photo(300, 290, batch=5, channels=channels)
    expected = view.normalize(images.float())
    assert expected.is_contiguous()
    for layout in (torch.contiguous_format, torch.channels_last):
        pixels = images.contiguous(memory_format=layout)
        assert torch.equal(view.normalize(pixels), expected)
        assert view.normalize(pixels).is_contiguous(memory_format=layout)
        assert view.normalize(images, layout).is_contiguous(memory_format=layout)
    assert torch.equal(view.normalize(images[1:2, :, 9:]), expected[1:2, :, 9:])


def test_options_build_the_same_view():
    view = View(20, 0.5, 0.25, fit="pad", channels=1)
    again = View(**view.options())
    image = photo(9, 30, channels=1)
    assert torch.equal(view(image), again(image))
    assert not view.state_dict()


@pytest.mark.parametrize(
    ("size", "fit", "side"),
    [(224, "crop", 258), (32, "crop", 37), (20, "crop", 23), (224, "squash", 224), (224, "pad", 224)],
)
def test_canvas_size(size, fit, side):
    assert canvas_size(size, fit) == side


@pytest.mark.parametrize(
    ("images", "got"),
    [
        (photo(9, 9), "uint8 [1, 3, 9, 9]"),
        (photo(9, 9)[:, :1] / 255, "float32 [1, 1, 9, 9]"),
    ],
)
def test_what_is_no_batch_of_photos_is_refused(images, got):
    with pytest.raises(DataError) as caught:
        View(8, channels=1, mean=0.5, std=0.5)(images)
    assert str(caught.value) == (
        f"images: expected a batch uint8 [batch, 1, height, width], got {got}. "
        "Give pixels in 0..255, with the member's number of channels."
    )


def test_unknown_fit_is_named():
    with pytest.raises(UsageError) as caught:
        View(8, fit="zoom")
    assert str(caught.value) == "view.fit: expected one of crop, squash, pad, native, got 'zoom'."


def test_wrong_number_of_means_is_named():
    with pytest.raises(UsageError) as caught:
        View(8, mean=(0.1, 0.2))
    assert str(caught.value) == "view.mean: expected 3 numbers, got 2. Give one per channel."

"""Images in any number, size and state: one prediction each, in order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from committee.errors import DataError, UsageError
from committee.images.decode import decode
from committee.images.view import canvas_size
from committee.inference import photos as photos_module
from committee.inference import predict as predict_module
from committee.inference.named import path_of
from committee.inference.photos import find_photos
from committee.inference.predict import predict
from committee.models.canvases import canvases_of
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.predictor import ModulePredictor


class Brightness:
    """A predictor that returns the mean of each image, and records the shapes of its batches."""

    name, class_names, channels = "brightness", ("dark", "light"), 3

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, images):
        self.batches.append(images.shape)
        light = images.mean((1, 2, 3)) / 255
        return np.stack([1 - light, light], 1).astype(np.float32)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Thirty photos of three sizes, the k-th as bright as 8 k; one broken, one of another kind."""
    for index in range(30):
        path = tmp_path / "photos" / f"{index % 4}" / f"{index:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (10 + index % 3, 20), (8 * index,) * 3).save(path)
    (tmp_path / "photos" / "1" / "broken.JPG").write_bytes(b"no photo")
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    return tmp_path / "photos"


@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
def test_predictions_in_order_whatever_the_batches(folder, batch_size):
    model = Brightness()
    photos = find_photos([folder])
    predictions = list(predict(model, photos, batch_size=batch_size))
    assert [each.id for each in predictions] == [photo.as_posix() for photo in photos]
    for each in predictions:
        if each.probabilities is None:
            assert each.id.endswith("broken.JPG")
            assert each.reason == (
                f"{Path(each.id)}: expected a JPEG, PNG or WebP image, got something else. "
                "Replace it or leave it out."
            )
        else:
            assert each.probabilities[1] == pytest.approx(8 * int(each.id[-6:-4]) / 255)
    assert sum(shape[0] for shape in model.batches) == 30
    assert max(shape[0] for shape in model.batches) <= batch_size


def test_large_photos_go_one_by_one(folder, monkeypatch):
    monkeypatch.setattr(predict_module, "PIXELS_AT_ONCE", 200)
    model = Brightness()
    assert len(list(predict(model, find_photos([folder]), batch_size=32))) == 31
    assert {shape[0] for shape in model.batches} == {1}


@pytest.mark.parametrize("sizes", [(8, 8), (8, 12)])
def test_photos_of_several_sizes_are_resized_once_and_predicted_together(folder, sizes, monkeypatch):
    nets = [nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 2)) for size in sizes]
    members = [
        Member.from_module(net, classes=["dark", "light"], size=size)
        for net, size in zip(nets, sizes, strict=True)
    ]
    model = ModulePredictor(Ensemble(members), "two", ["dark", "light"])
    photos = [path for path in find_photos([folder]) if path.suffix == ".png"]
    expected = [model(decode(path)[None])[0] for path in photos]
    batches, tensor = [], model._tensor
    monkeypatch.setattr(model, "_tensor", lambda pixels: batches.append(pixels.shape) or tensor(pixels))
    found = [each.probabilities for each in predict(model, photos, batch_size=20)]
    sides = [canvas_size(size) for size in sorted(set(sizes))]
    assert batches == [(count, 3, side, side) for count in (20, 10) for side in sides]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_what_reads_more_of_an_image_than_canvases_gets_the_image(folder):
    class Sharp(nn.Module):
        def forward(self, images):
            shapes.append(images.shape[2:])
            return images.float().mean((1, 2, 3))[:, None].expand(-1, 2)

    shapes, net = [], nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
    member = Member.from_module(net, classes=["dark", "light"], size=8, name="net")
    model = ModulePredictor(Ensemble([member, Sharp()]), "both", ["dark", "light"])
    assert model.canvases == () and canvases_of(member)
    fast = member.optimize(
        torch.zeros(2, 3, 10, 10, dtype=torch.uint8), budget_s=0.1, engines=[], cache=False
    )
    assert canvases_of(fast) == canvases_of(member)
    list(predict(model, find_photos([folder])))
    assert set(shapes) == {(20, 10), (20, 11), (20, 12)}


def test_the_first_predictions_come_before_the_last_photos_are_read(folder):
    model = Brightness()
    photos = find_photos([folder])
    stream = predict(model, photos * 20, batch_size=2)
    next(stream)
    assert len(model.batches) <= 2
    stream.close()


def test_photos_are_found_once_in_folders_and_by_name(folder):
    photos = find_photos([folder / "0", folder / "0" / "00.png", folder, folder / "notes.txt"])
    assert len(photos) == len(set(photos)) == 32
    assert photos[0] == folder / "0" / "00.png"
    assert photos[-1] == folder / "notes.txt"


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError) as caught:
        find_photos([tmp_path / "nowhere"])
    assert str(caught.value) == (f"{tmp_path / 'nowhere'}: the file or folder does not exist.")


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(DataError) as caught:
        find_photos([tmp_path])
    assert str(caught.value) == (
        f"{tmp_path}: expected a folder that contains JPEG, PNG or WebP images, got one that contains none."
    )


def test_an_answer_that_is_no_number_is_no_answer(folder):
    class Broken(Brightness):
        def __call__(self, images):
            found = super().__call__(images)
            found[found[:, 1] > 0.5] = np.nan
            return found

    photos = [folder / "0" / "00.png", folder / "0" / "28.png"]
    fine, bad = predict(Broken(), photos)
    assert fine.probabilities is not None and bad.probabilities is None
    assert bad.reason == (
        f"{photos[1].as_posix()}: expected 2 probabilities from brightness, got NaN or infinity. "
        "Check the model, and the file that it was loaded from."
    )


def test_no_photos_no_predictions():
    assert list(predict(Brightness(), [])) == []


def test_a_photo_larger_than_the_memory_is_named(folder, monkeypatch):
    real = photos_module.decode

    def small_memory(path, channels):
        if path.name == "07.png":
            raise MemoryError
        return real(path, channels)

    monkeypatch.setattr(photos_module, "decode", small_memory)
    bad = [each for each in predict(Brightness(), find_photos([folder / "3"])) if each.probabilities is None]
    assert [each.reason for each in bad] == [
        f"{folder / '3' / '07.png'}: expected a JPEG, PNG or WebP image, "
        "got one that does not fit in memory. Replace it or leave it out."
    ]


def test_a_name_that_the_file_system_refuses():
    with pytest.raises(UsageError) as caught:
        find_photos(["x" * 300])
    assert str(caught.value) == f"{'x' * 300}: the path cannot be read (file name too long)."


def test_a_model_of_the_store_is_preferred_to_a_folder_of_its_name(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("test_resnet", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "SHA256SUMS").write_text("")
    assert path_of("test_resnet", trained) is None and path_of("nothing", trained) is None
    for name in ("./test_resnet", "other", "model.onnx", "folder/test_resnet", "missing.zip"):
        assert path_of(name, trained) == Path(name)

"""Images and labels in the forms in which callers hold them: they work, or the advice of the error does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms.functional
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from committee.combiners.weighted import Weighted
from committee.errors import DataError, UsageError
from committee.models.ensemble import Ensemble
from committee.models.member import Member

RANDOM = np.random.default_rng(0)
PHOTOS = torch.from_numpy(RANDOM.integers(0, 256, (30, 3, 12, 10), dtype=np.uint8))
CLASSES = torch.arange(30) % 3
NAMES = ["abc"[k] for k in CLASSES]
FLOATS = torch.rand(4, 3, 8, 8)


def make(channels: int = 3, normalized: bool = False, seed: int = 0) -> Member:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, 3))
    return Member.from_module(
        net,
        classes="abc",
        size=8,
        mean=0.5,
        std=0.25,
        channels=channels,
        name=f"net_{seed}",
        normalized=normalized,
    ).eval()


def arrays(photos: Tensor) -> list[Any]:
    return list(photos.permute(0, 2, 3, 1).numpy())


FORMS: dict[str, tuple[Any, ...]] = {
    "tensors": (PHOTOS, CLASSES),
    "arrays": (PHOTOS.numpy(), CLASSES.numpy()),
    "names": (PHOTOS, NAMES),
    "array of names": (PHOTOS, np.array(NAMES, dtype=object)),
    "a column of labels": (PHOTOS, CLASSES[:, None]),
    "a list of arrays": (arrays(PHOTOS), NAMES),
    "PIL images": ([Image.fromarray(each) for each in arrays(PHOTOS)], CLASSES.tolist()),
    "batches": ([(PHOTOS[:17], CLASSES[:17]), (PHOTOS[17:], CLASSES[17:])],),
    "batches of arrays and names": ([(PHOTOS.numpy(), NAMES)],),
    "a loader": (DataLoader(TensorDataset(PHOTOS, CLASSES), batch_size=7),),
    "a loader without batches": (DataLoader(TensorDataset(PHOTOS, CLASSES), batch_size=None),),
    "a data set": (TensorDataset(PHOTOS, CLASSES),),
    "pairs of arrays": (list(zip(arrays(PHOTOS), NAMES, strict=True)),),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_images_and_labels_gives_the_same_rows(form: str) -> None:
    ensemble = Ensemble([make(), make(seed=1)])
    rows = ensemble.predictions(*FORMS[form])
    expected = ensemble.predictions(PHOTOS, CLASSES)
    assert rows.labels is not None and rows.labels.tolist() == CLASSES.tolist()
    np.testing.assert_allclose(rows.logits, expected.logits, rtol=1e-5, atol=1e-6)
    weights = ensemble.fit(*FORMS[form], method="weighted").combiner.member_weights()
    assert weights == pytest.approx(Weighted().fit(expected).member_weights(), abs=1e-3)


BAD_LABELS: list[tuple[tuple[Any, ...], str]] = [
    (
        (PHOTOS, CLASSES + 0.7),
        "ensemble: labels: expected names of classes, or their positions as whole numbers, got an array of "
        "float32. Convert whole numbers: labels.astype(int).",
    ),
    (
        (PHOTOS, torch.eye(3)[CLASSES]),
        "ensemble: labels: expected one label for each image, got an array [30, 3]. "
        "Give the class of each image: labels.argmax(1).",
    ),
    ((PHOTOS, CLASSES[:7]), "ensemble: expected 30 labels, one for each image, got 7."),
    (([(PHOTOS, CLASSES[:7])],), "ensemble: labels: expected 30, one for each image, got 7."),
    ((PHOTOS,), "ensemble: expected labels of the images, got none. Pass them too: fit(images, labels)."),
    (
        ([{"image": PHOTOS[0], "label": 1}],),
        "ensemble: expected pairs of images and labels, got dict. "
        "Yield (images, labels), or pass arrays: fit(images, labels).",
    ),
    (
        ([(PHOTOS, CLASSES, NAMES)],),
        "ensemble: expected pairs of images and labels, got 3 values. "
        "Yield (images, labels), or pass arrays: fit(images, labels).",
    ),
    (([],), "ensemble: expected batches of (images, labels), got an empty loader."),
]


@pytest.mark.parametrize(("given", "sentence"), BAD_LABELS, ids=range(len(BAD_LABELS)))
def test_labels_that_are_refused(given: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        Ensemble([make()]).fit(*given, method="weighted")
    assert str(caught.value) == sentence


def test_a_combiner_in_the_place_of_labels() -> None:
    with pytest.raises(UsageError) as caught:
        Ensemble([make()]).fit([(PHOTOS, CLASSES)], "weighted")
    assert str(caught.value) == (
        "ensemble: labels: expected one label for each image, got 'weighted'. "
        "Give a combiner by its keyword: fit(loader, method=...)."
    )


REFUSED: list[tuple[int, Any, str, str]] = [
    (
        3,
        FLOATS,
        "float32 [4, 3, 8, 8] with values in 0.0001..0.9999. Give pixels in 0..255: "
        "(images * 255).round().to(torch.uint8); if they are normalized, set member.normalized = True.",
        "(images * 255).round().to(torch.uint8)",
    ),
    (
        3,
        FLOATS.double() * 255,
        "float64 [4, 3, 8, 8] with values in 0..255. Give pixels in 0..255: "
        "(images).round().to(torch.uint8); if they are normalized, set member.normalized = True.",
        "(images).round().to(torch.uint8)",
    ),
    (
        3,
        PHOTOS.long(),
        "int64 [30, 3, 12, 10] with values in 0..255. Give pixels in 0..255: images.to(torch.uint8).",
        "images.to(torch.uint8)",
    ),
    (3, PHOTOS[0], "uint8 [3, 12, 10]. Add the missing axis: images[None].", "images[None]"),
    (1, PHOTOS[:, 0], "uint8 [30, 12, 10]. Add the missing axis: images[:, None].", "images[:, None]"),
    (
        3,
        PHOTOS.permute(0, 2, 3, 1),
        "uint8 [30, 12, 10, 3]. Move the axis of the channels: images.permute(0, 3, 1, 2), "
        "or transpose of an array.",
        "images.permute(0, 3, 1, 2)",
    ),
    (
        3,
        PHOTOS[:, :1],
        "uint8 [30, 1, 12, 10]. Repeat the channel: images.expand(-1, 3, -1, -1).",
        "images.expand(-1, 3, -1, -1)",
    ),
    (
        1,
        PHOTOS,
        "uint8 [30, 3, 12, 10]. Convert them: torchvision.transforms.functional.rgb_to_grayscale(images).",
        "torchvision.transforms.functional.rgb_to_grayscale(images)",
    ),
    (
        3,
        PHOTOS.repeat(1, 2, 1, 1)[:, :4],
        "uint8 [30, 4, 12, 10]. Select the channels of the training: images[:, :3].",
        "images[:, :3]",
    ),
    (
        3,
        PHOTOS.numpy(),
        "ndarray [30, 3, 12, 10]. Call the method predict, or torch.from_numpy(images).",
        "torch.from_numpy(images)",
    ),
]


@torch.no_grad()
@pytest.mark.parametrize(("channels", "images", "sentence", "todo"), REFUSED, ids=range(len(REFUSED)))
def test_images_that_are_refused_and_the_advice(channels: int, images: Any, sentence: str, todo: str) -> None:
    member = make(channels)
    with pytest.raises(DataError) as caught:
        Ensemble([member])(images)
    expected = f"net_0: expected a batch uint8 [batch, {channels}, height, width], got "
    text = str(caught.value)
    if "0.0001" in sentence:
        low, high = images.min().item(), images.max().item()
        sentence = sentence.replace("0.0001..0.9999", f"{low:.4g}..{high:.4g}")
    elif "float64" in sentence:
        low, high = images.min().item(), images.max().item()
        sentence = sentence.replace("in 0..255. Give", f"in {low:.4g}..{high:.4g}. Give")
    assert text == expected + sentence
    converted = eval(todo, {"images": images, "torch": torch, "torchvision": torchvision})
    assert member(converted).shape[1] == 3


@torch.no_grad()
def test_images_that_are_normalized_already(tmp_path: Path) -> None:
    """A flag: floats are the input of the network, as for a bare module; uint8 is still preprocessed."""
    member = make(normalized=True)
    normalized = (FLOATS - 0.5) / 0.25
    assert torch.equal(member(normalized), member.network(normalized))
    assert torch.equal(member(PHOTOS), make()(PHOTOS))
    both = Ensemble([member, make(normalized=True, seed=1).network], names=["member", "bare"])
    assert both(normalized).shape == (4, 3) and torch.equal(both.infer(normalized), both(normalized))
    member.save(tmp_path)
    blank = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 3))
    assert torch.equal(Member.load(tmp_path, net=blank)(normalized), member(normalized))
    with pytest.raises(DataError) as caught:
        member(normalized[..., :7])
    assert "expected normalized images [batch, 3, 8, 8], got float32 [4, 3, 8, 7]" in str(caught.value)
    assert str(caught.value).endswith("Resize them as in the training of the network.")


@torch.no_grad()
def test_any_number_of_channels() -> None:
    member = make(5)
    images = torch.from_numpy(RANDOM.integers(0, 256, (7, 5, 12, 10), dtype=np.uint8))
    expected = member.predict(images)
    np.testing.assert_allclose(member.predict(images.numpy()), expected, rtol=1e-5)
    np.testing.assert_allclose(member.predict(arrays(images)), expected, rtol=1e-5)
    fitted = Ensemble([member]).fit(images, CLASSES[:7], method="temperature")
    assert fitted.predict(images).shape == (7, 3)
    with pytest.raises(DataError) as caught:
        member.predict(["photo.jpg"])
    assert str(caught.value) == (
        "images: expected tensors of 5 channels, got str. Files are decoded for models of 1 or 3 channels."
    )


def test_no_images_for_a_module_without_class_names() -> None:
    from committee.models.member import predict

    with pytest.raises(UsageError) as caught:
        predict(nn.Flatten(), [])
    assert str(caught.value) == (
        "predict: expected at least one image, or a model with class names, got none."
    )

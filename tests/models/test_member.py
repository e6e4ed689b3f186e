"""Members: images of any size, saving and loading."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from committee.errors import DataError, StoreError, UsageError
from committee.models.member import Member
from committee.models.slugs import slugs

PHOTOS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 41, 67), dtype=np.uint8))


class OwnNet(nn.Module):
    """A network from another library, whose output is an object with a field `logits`."""

    def __init__(self, classes: int = 3, wrapped: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 5, 3, stride=2)
        self.top = nn.Linear(5, classes)
        self.wrapped = wrapped

    def forward(self, images: torch.Tensor) -> object:
        logits = self.top(self.stem(images).relu().mean((2, 3)))
        return type("Answer", (), {"logits": logits})() if self.wrapped else logits


@pytest.fixture
def member() -> Member:
    return Member.build("timm:test_vit", classes=["ant", "bee", "cat"], size=32, seed=3).eval()


def test_any_height_and_width_and_its_own_view(member: Member):
    assert member(PHOTOS).shape == (3, 3)
    assert member.embed(PHOTOS).shape == (3, member.network.embedding_size)
    assert torch.equal(member(PHOTOS), member.network(member.view(PHOTOS)))
    assert member.name == "test_vit"
    assert member.view.mean == tuple(member.network.mean)


def test_saved_member_answers_the_same(member: Member, tmp_path: Path):
    member.provenance = {"seed": 3, "fold": "refit"}
    member.save(tmp_path / "m")
    assert {path.name for path in (tmp_path / "m").iterdir()} == {"weights.safetensors", "member.json"}
    state = torch.get_rng_state()
    loaded = Member.load(tmp_path / "m")
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(loaded(PHOTOS), member(PHOTOS))
    assert loaded.class_names == ("ant", "bee", "cat")
    assert loaded.provenance == member.provenance
    assert loaded.view.options() == member.view.options()
    assert not loaded.training


def test_channels_last_weights_are_saved(member: Member, tmp_path: Path):
    before = member(PHOTOS)
    member.to(memory_format=torch.channels_last)
    member.save(tmp_path)
    torch.testing.assert_close(Member.load(tmp_path)(PHOTOS), before)


@pytest.mark.parametrize("wrapped", [False, True])
def test_own_module(wrapped: bool, tmp_path: Path):
    net = OwnNet(wrapped=wrapped)
    member = Member.from_module(net, classes=["a", "b", "c"], size=24, mean=0.5, std=0.25, fit="squash")
    assert member.embed(PHOTOS).shape == (3, 5)
    assert next(iter(member.network.head_parameters())) is net.top.weight
    member.save(tmp_path)
    loaded = Member.load(tmp_path, net=OwnNet(wrapped=wrapped))
    assert torch.equal(loaded(PHOTOS), member(PHOTOS))


def test_own_module_needs_its_architecture_to_load(tmp_path: Path):
    Member.from_module(OwnNet(), classes="abc", size=24, name="mine").save(tmp_path)
    with pytest.raises(UsageError) as caught:
        Member.load(tmp_path)
    assert str(caught.value) == (
        "mine: expected the network that it was created from, got none."
        " Pass a network of the same architecture: Member.load(folder, net=...)."
    )


def test_predict_takes_files_images_and_arrays(member: Member, tmp_path: Path):
    array = PHOTOS[0].permute(1, 2, 0).numpy()
    path = tmp_path / "photo.png"
    Image.fromarray(array).save(path)
    small = array[:20, :30]
    outputs = member.predict([path, str(path), Image.fromarray(array), array, path.read_bytes(), small])
    assert outputs.shape == (6, 3)
    assert outputs.dtype == np.float32
    assert all(np.array_equal(outputs[0], outputs[k]) for k in range(1, 5))
    batch = member.predict(PHOTOS, batch_size=2)
    np.testing.assert_allclose(batch.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(batch[0], outputs[0], rtol=1e-5)
    np.testing.assert_array_equal(member.predict(PHOTOS.numpy(), batch_size=2), batch)


def test_predict_takes_read_only_arrays_as_they_are(member: Member):
    arrays = [np.asarray(Image.fromarray(photo.permute(1, 2, 0).numpy())) for photo in PHOTOS]
    assert not arrays[0].flags.writeable
    batch = PHOTOS.numpy().copy()
    batch.flags.writeable = False
    expected = member.predict(PHOTOS)
    np.testing.assert_array_equal(member.predict(arrays), expected)
    np.testing.assert_array_equal(member.predict(batch), expected)


def test_predict_leaves_the_order_of_photos_of_several_sizes(member: Member):
    photos = [np.roll(PHOTOS[k % 3].permute(1, 2, 0).numpy(), k)[: 30 + k % 2] for k in range(5)]
    one_by_one = np.concatenate([member.predict([photo]) for photo in photos])
    np.testing.assert_allclose(member.predict(photos), one_by_one, rtol=1e-5)


def test_classes_that_are_not_the_outputs():
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))
    with pytest.raises(DataError) as caught:
        Member.from_module(net, classes=["a", "b"], size=8, name="mine")(PHOTOS)
    assert str(caught.value) == (
        "mine: expected a network with 2 outputs, one for each class, got 5. Name all of its classes."
    )


def test_folder_without_a_member(tmp_path: Path):
    with pytest.raises(StoreError) as caught:
        Member.load(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'member.json'}: the file does not exist. Name a folder that its save method wrote."
    )


def test_other_protocol(member: Member, tmp_path: Path):
    member.save(tmp_path)
    path = tmp_path / "member.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "protocol": 99}))
    with pytest.raises(StoreError) as caught:
        Member.load(tmp_path)
    assert str(caught.value) == (
        f"{path}: expected protocol 1, got 99. Read it with the version of committee that wrote it."
    )


def test_damaged_weights(member: Member, tmp_path: Path):
    member.save(tmp_path)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(StoreError) as caught:
        Member.load(tmp_path)
    assert str(caught.value).startswith(f"{path}: expected the weights of test_vit, got ")
    assert str(caught.value).endswith("Train or save the model again.")


def test_slugs_are_safe_and_differ():
    assert slugs(["a b", "a/b", "A_B", "..", "resnet18"]) == ["a_b", "a_b_2", "A_B_3", "member", "resnet18"]

"""Maps that members and ensembles predict in Python: any sizes, tiles, views and disagreement."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from committee.errors import DataError
from committee.metrics.uncertainty import mutual_information
from committee.models.composites.viewed import Viewed
from committee.models.disagreement import disagreement
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.views.base import VIEWS, distinct

SIZES = [(40, 30), (9, 70), (40, 30)]
IMAGES = [
    np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
    for index, size in enumerate(SIZES)
]


def member(seed: int, name: str = "", kernel: int = 3) -> Member:
    """Return a network of two classes of pixels."""
    torch.manual_seed(seed)
    net = nn.Conv2d(3, 2, kernel, padding=kernel // 2, padding_mode="replicate")
    found = Member.from_module(
        net, classes=["dark", "light"], size=16, task="segmentation", name=name or f"net_{seed}"
    )
    return found.eval()


def test_images_of_several_sizes_give_a_list_and_of_one_size_an_array() -> None:
    net = member(0)
    found = net.predict(IMAGES)
    assert [maps.shape for maps in found] == [(2, *size) for size in SIZES]
    for image, maps in zip(IMAGES, found, strict=True):
        with torch.no_grad():
            whole = net(torch.from_numpy(image).permute(2, 0, 1)[None]).softmax(1)[0]
        np.testing.assert_allclose(maps, whole, atol=1e-6)
    assert net.predict(IMAGES[::2]).shape == (2, 2, 40, 30)
    assert net.predict([]) == []


def test_tiles_give_the_same_where_the_network_sees_one_pixel() -> None:
    ensemble = Ensemble([member(0, kernel=1), member(1, kernel=1)])
    whole, tiled = ensemble.predict(IMAGES[:1]), ensemble.predict(IMAGES[:1], 4, tile=16, overlap=0.5)
    np.testing.assert_allclose(tiled, whole, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_an_ensemble_of_views_of_maps_is_the_mean_of_maps_by_hand() -> None:
    net, images = member(0), torch.from_numpy(np.stack(IMAGES[::2])).permute(0, 3, 1, 2)
    views = distinct([VIEWS.make("d4")])
    viewed = [Viewed([net], net.class_names, f"net_{name}", view) for name, view in views.items()]
    ensemble = Ensemble([net, *viewed]).eval()
    assert list(ensemble.members) == [net]
    by_hand = []
    for turns in range(4):
        for flipped in (False, True):
            seen = images.rot90(turns, (2, 3))
            maps = net(seen.flip(3) if flipped else seen).softmax(1)
            by_hand.append((maps.flip(3) if flipped else maps).rot90(-turns, (2, 3)))
    torch.testing.assert_close(ensemble(images).exp(), torch.stack(by_hand).mean(0))
    torch.testing.assert_close(ensemble.infer(images), ensemble(images))


def test_disagreement_is_the_mutual_information_of_the_members() -> None:
    ensemble = Ensemble([member(0), member(1), member(2)]).eval()
    image = torch.from_numpy(IMAGES[0]).permute(2, 0, 1)
    found = disagreement(ensemble, image)
    with torch.no_grad():
        logits = ensemble.member_logits(image[None])[:, 0].flatten(2).mT.numpy()
    np.testing.assert_allclose(found.flatten(), mutual_information(logits), atol=1e-6)
    assert disagreement(ensemble, image, tile=16).shape == (40, 30)


def test_infinite_outputs_are_an_error() -> None:
    net = member(0)
    with torch.no_grad():
        next(net.network.net.parameters()).fill_(torch.nan)
    with pytest.raises(DataError, match="net_0: expected finite logits, got NaN or infinity for image 1"):
        net.predict(IMAGES)

"""Python builders: called with the arguments that they have, and only if the recipe contains them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from committee.backbones.build import build
from committee.errors import UsageError
from committee.models.member import Member

CODE = """
from torch import nn

def net(classes, channels=3):
    stem = nn.Conv2d(channels, 6, 3, 2)
    return nn.Sequential(stem, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes))

def timm_like(num_classes, in_chans, img_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(in_chans * img_size * img_size, num_classes))

def headless(classes):
    return nn.Flatten()

def broken(classes):
    raise KeyError("weights")

def nothing(classes):
    return 3
"""


@pytest.fixture(autouse=True)
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "committee_test_nets.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("builder", ["net", "timm_like"])
def test_builder_gets_what_its_signature_names(builder: str):
    backbone = build(f"python:committee_test_nets:{builder}", 4, channels=1, img_size=8, trusted=True)
    assert backbone(torch.zeros(2, 1, 8, 8)).shape == (2, 4)
    assert backbone.embed(torch.zeros(2, 1, 8, 8)).shape == (2, backbone.embedding_size)


def test_embedding_needs_a_head():
    with pytest.raises(UsageError) as caught:
        build("python:committee_test_nets:headless", 4, trusted=True).embed(torch.zeros(1, 3, 8, 8))
    assert str(caught.value) == (
        "embed: expected a network that ends in a linear or convolutional layer, got Flatten."
        " Add such a layer, with one output per class, to the network."
    )


@pytest.mark.parametrize(
    ("name", "pretrained", "sentence"),
    [
        (
            "python:committee_test_nowhere:net",
            False,
            "python:committee_test_nowhere:net: expected a module that can be imported, got No module named"
            " 'committee_test_nowhere'. Install it, or put its folder on PYTHONPATH.",
        ),
        (
            "python:committee_test_nets:nets",
            False,
            "python:committee_test_nets:nets: expected a function of committee_test_nets, got 'nets'."
            " Did you mean 'net'?",
        ),
        (
            "python:committee_test_nets:net",
            True,
            "python:committee_test_nets:net: expected pretrained: false, or the path of a weights file,"
            " got true. A Python builder has no published weights.",
        ),
        (
            "python:committee_test_nets:broken",
            False,
            "python:committee_test_nets:broken: expected a network from the builder, got KeyError:"
            " 'weights'.",
        ),
        (
            "python:committee_test_nets:nothing",
            False,
            "python:committee_test_nets:nothing: expected a builder that returns a torch.nn.Module, got int.",
        ),
    ],
)
def test_what_goes_wrong_is_said(name: str, pretrained: bool, sentence: str):
    with pytest.raises(UsageError) as caught:
        build(name, 4, pretrained=pretrained, trusted=True)
    assert str(caught.value) == sentence


def test_builder_that_only_a_saved_member_names_is_not_imported(tmp_path: Path):
    member = Member.build("python:committee_test_nets:net", classes="ab", size=8, trusted=True).eval()
    member.save(tmp_path / "member")
    with pytest.raises(UsageError) as caught:
        Member.load(tmp_path / "member")
    assert str(caught.value) == (
        "python:committee_test_nets:net: expected a builder that the recipe names, got one from a saved"
        " file. If you trust this code, allow it with --trust python:committee_test_nets:net, with"
        " backbones.trusted in the recipe, or with trusted=True in Python."
    )
    images = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8)
    assert torch.equal(Member.load(tmp_path / "member", trusted=True)(images), member(images))

"""What networks return becomes logits at the entrance, or is refused with advice."""

from __future__ import annotations

import logging
import sys
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from committee.backbones.inspection import inspect
from committee.backbones.outputs import Output
from committee.errors import DataError, UsageError
from committee.models.member import Member

Pair = namedtuple("Pair", "features logits")


@dataclass
class Result:
    logits: Tensor
    loss: None = None


class Net(nn.Module):
    """A linear layer, a frozen part that trains, and a function of the logits."""

    def __init__(self, how: Callable[[Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.how, self.drop = nn.Linear(64, 3), how, nn.Dropout(0.5)
        self.layer.weight.data *= 9

    def forward(self, images: Tensor) -> Any:
        return self.how(self.layer(self.drop(images.flatten(1))))


def member(how: Callable[[Tensor], Any], name: str = "net") -> Member:
    return Member.from_module(Net(how), classes="abc", size=8, channels=1, mean=0.5, std=0.5, name=name)


IMAGES = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
SAME = {
    "a tensor": lambda z: z,
    "log_softmax": lambda z: functional.log_softmax(z, 1),
    "[B, C, 1, 1]": lambda z: z[..., None, None],
    "a mapping": lambda z: {"features": z, "logits": z},
    "the only value": lambda z: {"scores": z, "features": torch.zeros(len(z), 64)},
    "a tuple of one": lambda z: (z,),
    "a tuple with features": lambda z: (torch.zeros(len(z), 3, 7, 7), z[..., None]),
    "a named tuple": lambda z: Pair(torch.zeros(len(z), 5), z),
    "a dataclass": lambda z: Result(z),
    "softmax": lambda z: z.softmax(1),
    "softmax of a module, reshaped": lambda z: nn.Softmax(1)(z)[..., None, None].clone(),
    "a mapping of probabilities": lambda z: {"probs": torch.softmax(z, -1)},
    "a softmax by hand": lambda z: z.exp() / z.exp().sum(1, keepdim=True),
}


@pytest.mark.parametrize("name", SAME)
def test_the_probabilities_are_those_of_the_network(name: str, tmp_path: Path, caplog: Any) -> None:
    made = member(SAME[name], name)
    assert made.training and made.network.net.training
    expected = member(lambda z: z).predict(IMAGES)
    torch.testing.assert_close(made.predict(IMAGES), expected, rtol=1e-5, atol=1e-6)
    assert ("its outputs are probabilities" in caplog.text) == ("softmax" in name.split() or "prob" in name)
    made.save(tmp_path)
    loaded = Member.load(tmp_path, net=Net(SAME[name]))
    assert torch.equal(loaded(IMAGES), made.eval()(IMAGES))


def test_probabilities_of_a_sigmoid_are_divided_by_their_sum(caplog: Any) -> None:
    made = member(lambda z: torch.sigmoid(z), "sigmoid")
    with caplog.at_level(logging.WARNING):
        own = made.eval().network.net(made.view(IMAGES)).detach()
    torch.testing.assert_close(torch.from_numpy(made.predict(IMAGES)), own / own.sum(1, keepdim=True))
    assert "sigmoid: its outputs are probabilities (by a sigmoid)" in caplog.text


REFUSED = {
    "a tuple": (lambda z: (z, z), "a tuple with 2 values that may be logits (0: [4, 3], 1: [4, 3])"),
    "deep supervision": (lambda z: [z, z, z], "a list with 3 values that may be logits"),
    "a map": (lambda z: z[..., None, None].repeat(1, 1, 2, 2), "a tensor [4, 3, 2, 2]"),
    "one number": (lambda z: z[:, 0], "a tensor [4]"),
    "nothing": (lambda z: {"loss": None}, "a dict with no value of this shape (loss: NoneType)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_outputs_that_may_mean_several_things_are_refused(name: str) -> None:
    how, got = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        member(how)
    said = str(caught.value)
    assert said.startswith(
        "net: expected logits [B, C], alone or as 'logits' of a mapping or an object, got "
    )
    assert got in said
    assert said.endswith("Wrap the network in a module whose forward returns the logits alone.")


def test_a_network_of_other_images_is_refused() -> None:
    with pytest.raises(
        UsageError, match=r"net: expected a network from images, float \[4, 3, 9, 9\], to logits"
    ):
        Member.from_module(Net(lambda z: z), classes="abc", size=9, name="net")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_and_logits_that_are_not_finite_are_refused(value: float) -> None:
    net = Net(lambda z: z)
    net.layer.weight.data[0, 0] = value
    with pytest.raises(
        DataError, match=r"net: expected finite weights, got NaN or infinity in 'layer\.weight'"
    ):
        Member.from_module(net, classes="abc", size=8, channels=1, name="net")
    with pytest.raises(DataError, match="net: expected finite logits of random images, got NaN or infinity"):
        member(lambda z: z * value)


def test_answers_that_become_nan_later_are_refused() -> None:
    made = member(lambda z: z)
    made.network.net.layer.bias.data[:] = torch.nan
    with pytest.raises(DataError, match="net: expected finite logits, got NaN or infinity for 5 of 5 images"):
        made.predict(IMAGES)


def test_attention_and_gates_inside_are_no_probabilities() -> None:
    net = Net(lambda z: z.softmax(0) * z.sigmoid() + z.softmax(1) @ torch.eye(3) * 2)
    assert inspect(net, 3, (1, 8, 8), "net") == Output()


def test_a_builder_is_inspected_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "from torch import nn\n"
        "def soft(classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(192, classes), nn.Softmax(1))\n"
    )
    (tmp_path / "soft_nets.py").write_text(text, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "soft_nets", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    made = Member.build("python:soft_nets:soft", classes="abc", size=8, trusted=True).eval()
    assert made.network.output == Output(probabilities=True)
    images = IMAGES.repeat(1, 3, 1, 1)
    torch.testing.assert_close(made(images).exp(), made.network.net(made.view(images)))
    made.save(tmp_path / "saved")
    assert torch.equal(Member.load(tmp_path / "saved", trusted=True)(images), made(images))

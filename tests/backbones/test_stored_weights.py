"""Stored weights are compared with their description before memory is allocated for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from committee.backbones.build import build
from committee.backbones.stored_weights import build_for, fill
from committee.errors import DataError, StoreError
from committee.models.composites.fusion import Fusion
from committee.models.ensemble import load
from committee.models.fusions.concat_mlp import ConcatMlp
from committee.models.member import Member
from committee.untrusted.safetensors_header import read_header

SAID = ": expected the weights of the architecture that the description beside it names, got "
LIES = [
    ({"architecture": {"key": "vit_giant_patch14_224"}}, SAID),
    ({"architecture": {"options": {"depth": 2**15}}}, SAID),
    ({"architecture": {"options": {"embed_dim": 2**16}}}, SAID),
    ({"view": {"size": 2**13}}, SAID),
    ({"architecture": {"options": {"depth": 10**9}}}, ": expected options of at most 65536, got 1e+09."),
    ({"view": {"size": 2**17}}, "got invalid content (ValueError: an input of 131072 pixels)"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    member = Member.build("timm:test_vit", classes=["cat", "dog"], size=32, seed=0).eval()
    member.save(tmp_path / "member")
    return tmp_path / "member"


def lie(path: Path, changes: dict[str, dict[str, object]]) -> None:
    facts = json.loads(path.read_text(encoding="utf-8"))
    for key, values in changes.items():
        facts[key] |= values
    path.write_text(json.dumps(facts), encoding="utf-8")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a limit of the address space")
@pytest.mark.slow
def test_a_description_of_more_than_the_file_has_takes_no_memory(folder: Path, tmp_path: Path) -> None:
    copies = [shutil.copytree(folder, tmp_path / str(number)) for number in range(len(LIES))]
    for copy, (changes, _) in zip(copies, LIES, strict=True):
        lie(copy / "member.json", changes)
    code = (
        "import resource, sys, torch\n"
        "from committee.errors import CommitteeError\n"
        "from committee.models.member import Member\n"
        "torch.set_num_threads(1)\n"
        "Member.load(sys.argv[1])\n"
        "limit = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + 2**29\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "for path in sys.argv[2:]:\n"
        "    try: Member.load(path)\n"
        "    except CommitteeError as error: print(error)\n"
    )
    words = [sys.executable, "-c", code, folder, *copies]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    for (_, said), line in zip(LIES, ran.stdout.splitlines(), strict=True):
        assert said in line


@pytest.mark.parametrize("options", [{"hidden_dims": [2**40]}, {"hidden_dims": [8] * 2000}])
def test_a_composite_takes_no_memory_either(folder: Path, tmp_path: Path, options: dict[str, object]) -> None:
    part = Member.load(folder)
    head = ConcatMlp(sizes=[part.network.embedding_size], classes=2, hidden_dims=[4])
    fused = Fusion([part], ["cat", "dog"], "fused", head, "concat_mlp").eval()
    fused.save(tmp_path / "fused")
    images = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    assert torch.equal(load(tmp_path / "fused")(images), fused(images))
    lie(tmp_path / "fused" / "composite.json", {"options": options})
    with pytest.raises(StoreError, match="names, got"):
        load(tmp_path / "fused")


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    path = folder / "weights.safetensors"
    state = load_file(path)
    state["head.weight"][0, 0] = value
    save_file(state, path)
    with pytest.raises(DataError, match=r"expected finite weights, got NaN or infinity in 'head\.weight'"):
        Member.load(folder)


@pytest.mark.parametrize("name", ["timm:swin_tiny_patch4_window7_224", "torchvision:mobilenet_v3_small"])
def test_what_a_constructor_computes_is_kept(tmp_path: Path, name: str) -> None:
    member = Member.build(name, classes=["cat", "dog"], size=64, seed=1).eval()
    member.save(tmp_path)
    loaded = Member.load(tmp_path)
    images = torch.randint(0, 256, (2, 3, 70, 80), dtype=torch.uint8)
    assert torch.equal(loaded(images), member(images))
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    buffers = dict(loaded.named_buffers())
    assert buffers.keys() == dict(member.named_buffers()).keys()
    assert all(torch.equal(buffers[name], buffer) for name, buffer in member.named_buffers())


class _Scaled(nn.Module):
    """A network of which the file has all tensors, or not those that its constructor computes."""

    built = 0

    def __init__(self, computes: str) -> None:
        super().__init__()
        type(self).built += 1
        self.norm = nn.BatchNorm2d(3)
        if computes == "a buffer":
            self.register_buffer("scale", torch.full((2,), 0.5), persistent=False)
        elif computes == "an attribute":
            self.scales = {"of": [torch.full((2,), 0.5)]}
        elif computes == "a number":
            self.scale = torch.full((2,), 0.5)[0].item()
        elif computes == "a number of weights":
            self.scale = self.norm.weight.sum().item()


@pytest.mark.parametrize(
    ("computes", "builds"),
    [("nothing", 1), ("a buffer", 2), ("an attribute", 2), ("a number", 2), ("a number of weights", 3)],
)
def test_a_network_is_built_again_only_for_what_its_constructor_computes(
    tmp_path: Path, computes: str, builds: int
) -> None:
    def state_of(net: nn.Module) -> dict[str, Any]:
        return net.state_dict(keep_vars=True)

    net, path = _Scaled(computes), tmp_path / "weights.safetensors"
    save_file(net.state_dict(), path)
    _Scaled.built = 0
    loaded = build_for(path, read_header(path), lambda: _Scaled(computes), state_of)
    assert _Scaled.built == builds
    fill(loaded, path, read_header(path), state_of)
    assert not any(tensor.is_meta for tensor in loaded.state_dict(keep_vars=True).values())
    assert str(vars(loaded)) == str(vars(net))


class _Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight


def test_shared_weights_stay_shared(tmp_path: Path) -> None:
    from safetensors.torch import save_model

    net, path = _Tied(), tmp_path / "tied.safetensors"
    save_model(net, str(path))
    header = read_header(path)
    loaded = build_for(path, header, _Tied, nn.Module.state_dict)
    assert loaded.first.weight.is_meta
    fill(loaded, path, header, nn.Module.state_dict)
    assert loaded.second.weight is loaded.first.weight and torch.equal(loaded.first.weight, net.first.weight)


def test_modules_of_other_threads_are_not_touched() -> None:
    register = nn.Module.register_parameter
    backbone = build("timm:test_resnet", 2, img_size=32, seed=0)
    assert not any(parameter.is_meta for parameter in backbone.parameters())
    assert nn.Module.register_parameter is register


def test_no_values_are_computed_for_parameters_that_the_file_replaces(folder: Path) -> None:
    class Operations(TorchDispatchMode):
        seen: ClassVar[set[str]] = set()

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.seen.add(str(func))
            return func(*args, **(kwargs or {}))

    with Operations() as built:
        Member.build("timm:test_vit", classes=["cat", "dog"], size=32)
    assert "aten.erfinv_.default" in built.seen
    built.seen.clear()
    with built:
        Member.load(folder)
    writes = {"erfinv", "uniform", "normal", "clamp", "fill", "zero", "mul", "add"}
    assert built.seen and not {f"aten.{name}_.default" for name in writes} & built.seen

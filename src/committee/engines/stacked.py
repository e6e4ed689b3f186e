"""The networks of one architecture in an ensemble, run as one network."""

from __future__ import annotations

import contextlib
import copy
import logging
import threading
from collections.abc import Hashable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from committee.backbones.base import Backbone
from committee.engines.base import Engine, Infer
from committee.engines.shared.batch_norm import fold_batch_norm
from committee.engines.shared.traced import traced
from committee.images.view import View
from committee.models.batch import Batch, resizing
from committee.models.member import Member
from committee.models.mixture import Mixture
from committee.models.stacked.alike import NotStackable, groups
from committee.models.stacked.stack import Stack
from committee.models.vote import views_of_network

log = logging.getLogger(__name__)


class Stacked(Engine):
    """A copy of the module for inference, in which networks of one architecture run as one.

    Folds, seeds, bags and snapshots of one backbone become one network with stacked weights
    (`committee.models.stacked.Stack`), with batch normalization folded. The other networks run one after the
    other, and so do networks that see test-time views of the images. All networks run, also behind a cascade.

    Parameters
    ----------
    precision : {"fp32", "bf16", "fp16"}
        Precision of the networks that run as one. "fp16" needs a GPU.

    See Also
    --------
    committee.models.planner.optimize : Measures all engines and selects the fastest one.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from committee.engines.stacked import Stacked
    >>> from committee.models import Ensemble, Member
    >>> nets = [nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2)) for _ in range(3)]
    >>> ensemble = Ensemble([Member.from_module(net, classes=["cat", "dog"], size=8) for net in nets]).eval()
    >>> images = torch.randint(0, 256, (4, 3, 20, 30), dtype=torch.uint8)
    >>> run = Stacked().prepare(ensemble, images)
    >>> torch.allclose(run(images), ensemble(images), atol=1e-6)
    True
    """

    precisions = ("fp32", "bf16", "fp16")
    effort = 0

    def missing(self, module: nn.Module, example: Tensor) -> str:
        """Return that there are no networks of one architecture, or that fp16 needs a GPU."""
        if self.precision == "fp16" and example.device.type == "cpu":
            return "fp16 needs a GPU"
        if not isinstance(module, Mixture) or len(module.members) < 2:
            return "the model has one network"
        return "" if _groups(module) else "no two networks have the same architecture"

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        """Stack the networks of a copy; see the base class."""
        with torch.inference_mode(False), torch.no_grad():
            changed = copy.deepcopy(cast("Mixture", module)).requires_grad_(False)
            fold_batch_norm(changed, example[:1])
            now = _Now()
            keys = {id(part): repr(part.options()) for part in changed.modules() if isinstance(part, View)}
            stacks = self._stacks(changed, _Once(example, keys), now)

        def run(images: Tensor) -> Tensor:
            batch = _Once(images, keys)
            now.outputs = {}
            for places, stack in stacks:
                found = _together(stack, [x.to(self.dtype) for x in _inputs(changed, places, batch, now)])
                now.outputs |= dict(zip(places, found.float(), strict=True))
            outputs: dict[int, Tensor] = {}
            for place in range(len(changed.members)):
                outputs |= changed.outputs_of(place, batch)
            return changed.combine_outputs(outputs).float()

        return traced(run, example)

    def _stacks(self, module: Mixture, batch: Batch, now: _Now) -> list[tuple[list[int], Stack]]:
        """Return the places of the networks that run as one, and their stack, which takes their place."""
        found, reason = [], NotStackable("no two networks have the same architecture")
        for places in _groups(module):
            backbones = [_backbone(module, place) for place in places]
            nets = [backbone.net.to(self.dtype) for backbone in backbones]
            for place, backbone in zip(places, backbones, strict=True):
                backbone.net = _Slot(place, now)
            try:
                first = _inputs(module, places, batch, now)[0]
                found.append((places, Stack(nets, first.to(self.dtype))))
            except NotStackable as error:
                log.info("engine stacked: %s", error)
                reason = error
                for backbone, net in zip(backbones, nets, strict=True):
                    backbone.net = net.float()
        if not found:
            raise reason
        return found


def _groups(module: Mixture) -> list[list[int]]:
    """Return the places of members that can run as one: of one architecture and one size of the input."""
    places: dict[Hashable, list[int]] = {}
    for place, member in enumerate(module.members):
        if isinstance(member, Member) and not any(views_of_network(module.outputs, place).values()):
            places.setdefault(resizing(member.view), []).append(place)
    return [
        [some[position] for position in group]
        for some in places.values()
        for group in groups([_backbone(module, place).net for place in some])
        if len(group) > 1
    ]


def _backbone(module: Mixture, place: int) -> Backbone:
    return cast("Member", module.members[place]).network


class _Once(Batch):
    """Images of which members with equal preprocessing read one normalized copy.

    Parameters
    ----------
    images : tensor [B, c, H, W]
    keys : mapping of int to str
        The options of each view, by its identity.
    """

    def __init__(self, images: Tensor, keys: Mapping[int, str]) -> None:
        super().__init__(images)
        self._keys, self._normalized = keys, dict[str, Tensor]()

    def normalized(self, view: View) -> Tensor:
        key = self._keys[id(view)]
        if key not in self._normalized:
            self._normalized[key] = super().normalized(view)
        return self._normalized[key]


class _Now(threading.local):
    """What a thread computes: the inputs of networks, and the outputs that are known, by their places."""

    def __init__(self) -> None:
        self.inputs: dict[int, Tensor] = {}
        self.outputs: dict[int, Tensor] = {}


class _Paused(Exception):
    """A network got its input; its output is computed with those of others."""


class _Slot(nn.Module):
    """Stands for a network: returns its output if that is known, and otherwise notes its input."""

    def __init__(self, place: int, now: _Now) -> None:
        super().__init__()
        self.place, self.now = place, now

    def forward(self, images: Tensor) -> Tensor:
        if self.place in self.now.outputs:
            return self.now.outputs[self.place]
        self.now.inputs[self.place] = images
        raise _Paused


def _inputs(module: Mixture, places: Sequence[int], batch: Batch, now: _Now) -> list[Tensor]:
    """Return what the networks of members read of a batch."""
    for place in places:
        with contextlib.suppress(_Paused):
            module.outputs_of(place, batch)
    return [now.inputs.pop(place) for place in places]


def _together(stack: Stack, inputs: Sequence[Tensor]) -> Tensor:
    """Return the outputs `[M, B, C, ...]` of networks for their inputs, which may be one tensor."""
    shared = all(each is inputs[0] for each in inputs)
    return stack(inputs[0] if shared else torch.stack(list(inputs)), shared=shared)

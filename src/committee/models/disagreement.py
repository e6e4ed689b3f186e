"""Where the members of an ensemble of maps disagree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from committee.models.ensemble import Ensemble
from committee.models.measure import device_of
from committee.models.tiling import tiled
from committee.predictions.target_types import CLASS_MAPS, NUMBER_MAPS


@torch.inference_mode()
def disagreement(ensemble: Ensemble, image: Tensor, **tiles: Any) -> Tensor:
    """Return how much the members of an ensemble disagree about each pixel, float32 `[H, W]`.

    Of classes, it is the mutual information of class and member in nats: the entropy of the mean of the
    members' probabilities minus the mean of their entropies (`committee.metrics.mutual_information`). Of
    numbers, it is the standard deviation over the members, in units of the first target.

    Parameters
    ----------
    ensemble : Ensemble
        Of members that predict maps, in evaluation mode.
    image : uint8 tensor [c, H, W]
    **tiles
        Options of `committee.models.tiling.tiled`.

    Examples
    --------
    >>> import torch
    >>> from committee.models import Ensemble, Member
    >>> from committee.models.disagreement import disagreement
    >>> nets = [torch.nn.Conv2d(3, 2, 3, padding=1) for _ in range(3)]
    >>> members = [Member.from_module(net, classes="ab", size=16, task="segmentation") for net in nets]
    >>> disagreement(Ensemble(members).eval(), torch.zeros(3, 20, 30, dtype=torch.uint8)).shape
    torch.Size([20, 30])
    """
    spread = _SPREAD[ensemble.task.target_type.name]
    device = device_of(ensemble)

    def run(images: Tensor) -> Tensor:
        outputs = ensemble.member_logits(images.to(device)).float()
        answers = ensemble.task.link(outputs.flatten(0, 1)).unflatten(0, outputs.shape[:2])
        return spread(answers)[:, None]

    found: Tensor = tiled(run, image, **tiles)[0]
    return found


def _mutual_information(probabilities: Tensor) -> Tensor:
    """Return the mutual information `[B, H, W]` of probabilities `[M, B, C, H, W]`."""
    within = torch.special.entr(probabilities).sum(2).mean(0)
    return (torch.special.entr(probabilities.mean(0)).sum(1) - within).clamp(min=0)


def _deviation(values: Tensor) -> Tensor:
    """Return the standard deviation `[B, H, W]` of the first of the numbers `[M, B, T, H, W]`."""
    return values[:, :, 0].std(0, correction=0)


_SPREAD: Mapping[str, Callable[[Tensor], Tensor]] = {
    CLASS_MAPS.name: _mutual_information,
    NUMBER_MAPS.name: _deviation,
}

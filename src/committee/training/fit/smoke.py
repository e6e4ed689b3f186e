"""Smoke test of a backbone: one batch forward and backward, before the first fit."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from committee.backbones.outputs import Output
from committee.errors import TrainingError
from committee.images.dataset import Dataset
from committee.recipe.members import MemberSpec
from committee.training.fit.batches import Rows
from committee.training.fit.engine import make_fabric
from committee.training.fit.input_errors import as_training_error
from committee.training.fit.memory import halving
from committee.training.fit.start import examples, start_member
from committee.training.losses.base import loss_for


def smoke(spec: MemberSpec, dataset: Dataset, device: torch.device) -> None:
    """Run one batch forward and backward through an untrained network.

    Raises
    ------
    TrainingError
        The network does not accept images of this size, there is no memory for a single image, the logits are
        not of shape `[batch, classes]`, the loss or a gradient is not finite, or there is no gradient.
    """
    rows = dataset.rows("train")[: max(2, spec.batch_size)]
    halving(lambda size: _one_batch(spec, dataset, device, rows[:size]), len(rows), spec.name)


def _one_batch(spec: MemberSpec, dataset: Dataset, device: torch.device, rows: Rows) -> None:
    member = start_member(spec, dataset, "smoke").to(device)
    loader = examples(member, spec, dataset, device, torch.contiguous_format, rows, lambda: 0)
    images, labels = loader(np.arange(len(rows)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        fabric = make_fabric(device, spec.training.precision)
        network = fabric.setup_module(member.network.train())
        logits = first_logits(spec, network, images)
    sides = images.shape[2:] if dataset.target_type.dense else ()
    check_shape(spec, member.network.output, logits, (len(rows), len(dataset.class_names), *sides))
    names, settings, scale = dataset.class_names, spec.training, member.network.output.scale
    criterion = loss_for(settings, dataset.task, spec.name)
    loss = criterion.prepare(dataset.learned(rows), names, scale, settings, device).mean(logits, labels)
    _check_finite(spec, "loss", loss)
    with as_training_error(spec.backbone, spec.img_size):
        fabric.backward(loss)
    gradients = [each.grad for each in member.network.parameters() if each.grad is not None]
    if not gradients:
        raise TrainingError(
            spec.name,
            expected="a gradient for at least one weight",
            got="none",
            todo="Check that the backbone does not detach its output.",
        )
    _check_finite(spec, "gradient", torch.stack([each.norm() for each in gradients]).sum())


def first_logits(spec: MemberSpec, network: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of a network's first batch.

    Raises
    ------
    TrainingError
        The network does not accept images of this size.
    """
    with as_training_error(spec.backbone, spec.img_size):
        return network(images)


def check_shape(spec: MemberSpec, output: Output, logits: Tensor, expected: tuple[int, ...]) -> None:
    """Raise TrainingError unless the logits have one column per class, or two numbers with a variance."""
    expected = (*expected, 2) if output.variance else expected
    if tuple(logits.shape) != expected:
        raise TrainingError(
            spec.name,
            expected=f"logits of shape {list(expected)}",
            got=str(list(logits.shape)),
            todo="Check the backbone: its last layer must have one output per class.",
        )


def _check_finite(spec: MemberSpec, what: str, value: Tensor) -> None:
    if not bool(torch.isfinite(value)):
        raise TrainingError(
            spec.name,
            expected=f"a finite {what} on the first batch",
            got=f"{value.item()}",
            todo="Try --set training.precision=fp32, or another backbone.",
        )

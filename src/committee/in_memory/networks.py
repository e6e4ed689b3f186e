"""Networks that a function of the user returns, as the members that fits start from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from committee.errors import DataError, UsageError, first_five
from committee.in_memory.arrays import Arrays
from committee.models.member import Member
from committee.training.fit.job import Job
from committee.training.losses.base import loss_for

ROWS = 2


class Networks:
    """Calls a function of the user for each fit, and makes members of the networks that it returns.

    Parameters
    ----------
    build : callable
        Returns a new network; its random weights follow from the seed of the fit.

    Raises
    ------
    UsageError
        It is not a function.

    See Also
    --------
    committee.in_memory.members.fit_members : Trains the members.
    """

    def __init__(self, build: Callable[[], nn.Module]) -> None:
        if isinstance(build, nn.Module) or not callable(build):
            raise UsageError(
                "build",
                expected="a function that returns a new network each time",
                got=f"a {type(build).__name__}",
                todo="Pass a class or a lambda, such as build=lambda: Net(10); to start all members from the "
                "weights of one network: build=lambda: copy.deepcopy(net).",
            )
        self.build = build
        self._last: nn.Module | None = None

    def begin(self, job: Job) -> Member:
        """Return the untrained member of a fit."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.seed("start"))
            net = self.build()
        if not isinstance(net, nn.Module):
            raise UsageError("build", expected="a function that returns an nn.Module", got=f"{net!r:.60}")
        if net is self._last:
            raise UsageError("build", expected="a new network each time", got="the same one again")
        self._last = net
        return _member(net, job)

    def check(self, job: Job) -> None:
        """Run an untrained network on some rows.

        Raises
        ------
        UsageError
            The network does not accept the inputs, has another number of outputs than there are classes or
            targets, or is the same object each time.
        DataError
            An output is not finite.
        """
        self.begin(job)
        member, dataset = self.begin(job).eval(), job.dataset
        outputs, names = member.task.target_type.outputs, dataset.class_names
        rows = dataset.images(job.rows[:ROWS], member.view).to("cpu")
        with torch.no_grad():
            found = member.network(member.view(rows))
        columns = 2 * found.shape[1] if member.has_variance else found.shape[1]
        wanted = 2 * len(names) if member.has_variance else len(names)
        if columns != wanted:
            raise UsageError(
                "build",
                expected=f"a network of {wanted} outputs, for the {outputs} {first_five(names)}",
                got=f"one of {columns}",
                todo=f"Name all of its {outputs}: {'class' if member.task.logits else 'target'}_names=[...].",
            )
        if not bool(found.isfinite().all()):
            raise DataError(
                "build", expected="finite outputs of the untrained network", got="NaN or infinity"
            )


def _member(net: nn.Module, job: Job) -> Member:
    """Return a network as an untrained member for the data of a fit."""
    dataset = cast("Arrays", job.dataset)
    shift, scale = dataset.target_type.standardization(job.learned)
    names: dict[str, Any] = {dataset.target_type.outputs: dataset.class_names}
    size: dict[str, Any] = {"shape": dataset.shape}
    if dataset.are_pixels:
        size = {
            "size": dataset.shape[1],
            "channels": dataset.channels,
            "mean": 0.0,
            "std": 1.0,
            "fit": "squash",
        }
    return Member.from_module(
        net,
        **names,
        **size,
        task=dataset.task,
        shift=shift,
        scale=scale,
        variance=loss_for(job.spec.training, dataset.task, job.spec.name).has_variance,
        name=job.spec.name,
    )

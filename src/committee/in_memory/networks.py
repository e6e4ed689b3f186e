"""Networks that a function of the user returns, as the members that fits start from."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from committee.errors import DataError, UsageError, first_five
from committee.in_memory.arrays import Arrays
from committee.models.member import Member
from committee.training.fit.job import Job
from committee.training.losses.base import loss_for

ROWS = 2
_RANDOM = threading.Lock()
"""Held while a network is built, since fits in several threads share the generator of torch."""


class Networks:
    """Calls a function of the user for each fit, and makes members of the networks that it returns.

    Parameters
    ----------
    build : callable
        Returns a new network, whose random weights follow from the seed of the fit. It has no arguments, or
        two: the shape of one input (of vectors, the number of features), and the number of outputs.

    Raises
    ------
    UsageError
        It is not such a function.

    See Also
    --------
    committee.in_memory.members.fit_members : Trains the members.
    """

    def __init__(self, build: Callable[..., nn.Module]) -> None:
        if isinstance(build, nn.Module) or not callable(build):
            raise UsageError(
                "build",
                expected="a function that returns a new network each time",
                got=f"a {type(build).__name__}",
                todo="Pass a class or a lambda, such as build=lambda: Net(10); to start all members from the "
                "weights of one network: build=lambda: copy.deepcopy(net).",
            )
        self.build, self.needs_sizes = build, _needs_sizes(build)
        self._last: nn.Module | None = None

    def begin(self, job: Job) -> Member:
        """Return the untrained member of a fit."""
        with _RANDOM, torch.random.fork_rng(devices=[]):
            torch.manual_seed(job.seed("start"))
            net = self.build(*_sizes(job)) if self.needs_sizes else self.build()
        if not isinstance(net, nn.Module):
            raise UsageError("build", expected="a function that returns an nn.Module", got=f"{net!r:.60}")
        if net is self._last:
            raise UsageError("build", expected="a new network each time", got="the same one again")
        self._last = net
        _check_weights(net)
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
        member, dataset = self.begin(job).eval(), cast("Arrays", job.dataset)
        rows = dataset.images(job.rows[:ROWS], member.view).to("cpu")
        with torch.no_grad():
            found = _found(member, rows)
        names, factor = dataset.class_names, 2 if member.has_variance else 1
        if found.shape[1] != len(names):
            outputs = member.task.target_type.outputs
            raise UsageError(
                "build",
                expected=f"a network of {factor * len(names)} outputs, for the {outputs} {first_five(names)}",
                got=f"one of {factor * found.shape[1]}",
                todo=f"Name all of its {outputs}: {member.task.target_type.output}_names=[...]."
                if found.shape[1] > factor * len(names)
                else "Give it one for each.",
            )
        if not bool(found.isfinite().all()):
            raise DataError(
                "build", expected="finite outputs of the untrained network", got="NaN or infinity"
            )


def _check_weights(net: nn.Module) -> None:
    weights = list(net.parameters())
    if any(map(is_lazy, weights)):
        raise UsageError(
            "build",
            expected="a network whose weights have a size",
            got="lazy layers",
            todo="Call it once before you return it: net(torch.zeros(1, *shape)).",
        )
    if not any(weight.requires_grad for weight in weights):
        raise UsageError(
            "build",
            expected="a network with weights to train",
            got="one without" if not weights else "one whose weights are all frozen",
        )


def _found(member: Member, rows: Tensor) -> Tensor:
    try:
        found: Tensor = member.network(member.view(rows))
    except UsageError as error:
        raise UsageError(
            "build",
            expected=f"a network of {error.expected}",
            got=error.got,
            todo="If y are classes, give them as whole numbers or names, or say so: task='classification'.",
        ) from None
    return found


def _needs_sizes(build: Callable[..., nn.Module]) -> bool:
    """Return whether a function requires two arguments instead of none."""
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):  # of some functions in C
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [each.name for each in parameters if each.default is each.empty and each.kind in kinds]
    if len(required) not in (0, 2):
        raise UsageError(
            "build",
            expected="a function of no arguments, or of the shape of an input and the number of outputs",
            got=f"one of {', '.join(required)}",
            todo="Pass a lambda: build=lambda: Net(10).",
        )
    return bool(required)


def _sizes(job: Job) -> tuple[Any, int]:
    """Return the shape of one input, or the number of features of vectors, and the number of outputs."""
    shape, names = cast("Arrays", job.dataset).shape, job.dataset.class_names
    variance = loss_for(job.spec.training, job.dataset.task, job.spec.name).has_variance
    return shape[0] if len(shape) == 1 else shape, 2 * len(names) if variance else len(names)


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

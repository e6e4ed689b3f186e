"""What the training of a student would cost, and how large it is beside its teacher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from committee.base.text import count, duration
from committee.models.measure import parameters, size_mb
from committee.models.member import Member
from committee.pipeline.shared.estimate import Networks
from committee.pipeline.shared.step_time import STEP, StepTimer
from committee.pipeline.shared.summary import Table
from committee.training.crossfit.crossfit import foresee
from committee.training.fit.start import untrained
from committee.training.fit.teacher import REFIT
from committee.training.plans.distillation import Distillation
from committee.training.plans.shared.of_backbone import OfBackbone


@dataclass(frozen=True)
class Size:
    """Number of parameters of a model, and the size of its weights in MB."""

    parameters: int
    size_mb: float


def student_size(plan: OfBackbone) -> Size:
    """Return the size of the network that a plan trains."""
    member = untrained(plan.spec, plan.dataset)
    return Size(parameters(member), size_mb(member))


def size_warning(plan: Distillation, student: Size, teacher: Size) -> str:
    """Return a warning if a student is larger than its teacher, or an empty text."""
    if student.parameters <= teacher.parameters:
        return ""
    return (
        f"{plan.name}: the student has {student.parameters:,} parameters ({student.size_mb:.1f} MB), more "
        f"than its teacher {plan.teacher.name} with {teacher.parameters:,} ({teacher.size_mb:.1f} MB)"
    )


def describe(plan: Distillation, others: Sequence[OfBackbone]) -> tuple[dict[str, Any], list[Table | str]]:
    """Return the cost of training a student and those that it is compared with, as facts and as text."""
    dataset, teacher, epochs = plan.dataset, plan.teacher, plan.spec.training.epochs
    whole = teacher.module(REFIT, dataset.class_names)
    own, its = student_size(plan), Size(parameters(whole), size_mb(whole))
    timer = StepTimer(plan.device)
    step = Networks(timer, dataset).of(plan.spec).seconds
    forward = teacher_seconds(whole, timer, plan.batch_size)
    images, networks = len(dataset.rows("train")), len(_members(whole))
    fits = {each.name: foresee(each, each.store) for each in (plan, *others)}
    missing = {name: len(found) - sum(found.values()) for name, found in fits.items()}
    seconds = sum(missing[each.name] * (step + _taught(each) * forward) for each in (plan, *others))
    hours = seconds * images * epochs / 3600
    facts = {
        "teacher": {"name": teacher.name, **vars(its), "networks": networks},
        "student": {"name": plan.name, "backbone": plan.spec.backbone, **vars(own)},
        "fits": {name: len(found) for name, found in fits.items()},
        "missing": missing,
        "epochs": epochs,
        "rows": images,
        "hours": hours,
    }
    share = own.parameters / its.parameters
    blocks: list[Table | str] = [
        f"{plan.spec.backbone} has {own.parameters:,} parameters, {share:.0%} of those of the teacher "
        f"{teacher.name}, whose {count(networks, 'network')} would predict {count(images, 'image')}.",
        f"{count(sum(missing.values()), 'fit')} of {count(epochs, 'epoch')} would take about "
        f"{duration(hours)}, one after the other.",
        Table(
            "Students that would be trained",
            ["student", "fits", "in the store"],
            [[name, len(found), sum(found.values())] for name, found in fits.items()],
        ),
    ]
    return facts, [*blocks, *filter(None, [size_warning(plan, own, its)])]


def teacher_seconds(module: torch.nn.Module, timer: StepTimer, batch_size: int) -> float:
    """Return the seconds of a forward pass of all networks of a teacher, for one image."""
    return (
        sum(
            timer.measure(
                each.network.to(timer.device),
                (each.view.channels, each.view.size, each.view.size),
                batch_size,
            )[0]
            for each in _members(module)
        )
        / STEP
    )


def _members(module: torch.nn.Module) -> list[Member]:
    return [each for each in module.modules() if isinstance(each, Member)]


def _taught(plan: OfBackbone) -> float:
    """Return the share of the epochs of a plan in which its teacher runs."""
    if not isinstance(plan, Distillation):
        return 0.0
    views = plan.config.cached
    return 1.0 if views is None else min(1.0, views / plan.spec.training.epochs)

"""Teachers of a student: stored members and their combiner, with networks that have not seen too much."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from committee.combiners.base import Combiner, build
from committee.combiners.soft_voting import SoftVoting
from committee.images.view import View, views_by_canvas
from committee.models.batch import Batch
from committee.models.ensemble import Ensemble, folds_member
from committee.models.member import Member
from committee.models.stored import load_network
from committee.models.vote import logits_of
from committee.predictions.table import Predictions
from committee.solvers.cross_fit import ENOUGH_EVIDENCE, allows_negative_weights
from committee.solvers.evidence import evidence
from committee.store.layout import Store
from committee.training.fit.batches import Rows
from committee.training.fit.engine import memory_format
from committee.training.fit.teacher_engine import EAGER, EngineRun

log = logging.getLogger(__name__)

REFIT = "refit"


@dataclass(frozen=True, eq=False)
class Teacher:
    """A stored member or ensemble whose outputs a student learns.

    For the student of a fold, the networks of the same fold predict, which have not seen the rows that the
    student is scored on, and their combiner is fitted again without these rows.

    Attributes
    ----------
    name : str
    source : str
        Digest of what the teacher was made from.
    store : Store
        The store that holds its members.
    shipped : Combiner
        The fitted combiner of the deployed networks.
    deployed : mapping of str to sequence of str
        Member -> the fits that are its deployed networks, for the members of `shipped`.
    method : mapping
        The unfitted combiner: `{"combiner": key, **options}`.
    predictions : Predictions or None
        Out-of-fold predictions of all candidates of the method, with folds; None if they have none.
    class_names : sequence of str
        Classes or targets in the order of the outputs of `shipped`.
    trusted : bool or collection of str
        The `python:` backbones that may be built.
    """

    name: str
    source: str
    store: Store
    shipped: Combiner
    deployed: Mapping[str, Sequence[str]]
    method: Mapping[str, Any]
    predictions: Predictions | None
    class_names: Sequence[str]
    trusted: bool | Collection[str] = ()

    def module(self, fit: str, class_names: Sequence[str]) -> nn.Module:
        """Return the teacher of a fit: a module from images to outputs for `class_names`.

        Parameters
        ----------
        fit : str
            `refit` for the deployed networks, or `fold_0`, ... for those of a fold.
        class_names : sequence of str

        Raises
        ------
        StoreError
            A network is damaged.
        """
        combiner = self.shipped if fit == REFIT else self._of_fold(int(fit.removeprefix("fold_")))
        names = combiner.member_names
        order = self.class_names if fit == REFIT or self.predictions is None else self.predictions.class_names
        members = [self._member(name, self.deployed[name] if fit == REFIT else [fit]) for name in names]
        whole = Ensemble(members, combiner, names=names, class_names=order, name=self.name)
        if tuple(order) != tuple(class_names):
            whole = Ensemble([whole], class_names=class_names, name=self.name)
        return whole.eval().requires_grad_(False)

    def _of_fold(self, fold: int) -> Combiner:
        """Return the combiner, fitted on the rows outside of a fold, for the members that it uses."""
        assert self.predictions is not None and self.predictions.folds is not None
        rows = self.predictions.rows(np.flatnonzero(self.predictions.folds != fold))
        combiner = build(dict(self.method))
        if allows_negative_weights(combiner) and evidence(self.predictions).min() < ENOUGH_EVIDENCE:
            log.warning(
                "%s: its members are averaged for the students of the folds: they are not certainly better "
                "than random guessing, so that %s would learn labels of other folds",
                *(self.name, combiner.key),
            )
            combiner = SoftVoting()
        return combiner.fit(rows).restrict_to_used()

    def _member(self, name: str, fits: Sequence[str]) -> nn.Module:
        networks = [load_network(self.store.checkpoint(name, fit), self.trusted) for fit in fits]
        return networks[0] if len(networks) == 1 else folds_member(networks, name)


class Teachers:
    """One or several teachers on a device, each of which predicts some of the images.

    Parameters
    ----------
    modules : sequence of nn.Module
    device : torch.device
    form : str
        Number format of the forward pass, for the choice of the memory format.
    engine : str
        The engine that runs them, in float32; "eager" runs the modules as they are.
    """

    def __init__(
        self, modules: Sequence[nn.Module], device: torch.device, form: str = "fp32", engine: str = EAGER
    ) -> None:
        self.modules, self.engine = [module.to(device) for module in modules], engine
        self._runs: dict[int, EngineRun] = {}
        for module in self.modules:
            for member in (each for each in module.modules() if isinstance(each, Member)):
                member.network.to(memory_format=memory_format(member.network, "auto", device, form))

    @cached_property
    def largest(self) -> View:
        """The view with the largest canvas."""
        views = {spec: view for module in self.modules for spec, view in views_by_canvas(module).items()}
        return views[max(views)]

    def __call__(
        self, crops: Batch, numbers: Rows, precision: AbstractContextManager[object] | None = None
    ) -> Tensor:
        """Return logits or numbers, float32 `[B, C]`, of each image by the teacher with its number.

        Parameters
        ----------
        crops : Batch
            The images, uint8, or random crops of them.
        numbers : int64 `[B]`
            Index of the teacher of each image.
        precision : context manager, optional
            The number format of the forward pass.
        """
        with torch.inference_mode(), precision or nullcontext():
            present = np.unique(numbers)
            if len(present) == 1:
                found = self._outputs(int(present[0]), crops)
            else:
                rows = [
                    torch.from_numpy(np.flatnonzero(numbers == each)).to(crops.device) for each in present
                ]
                parts = [
                    self._outputs(int(each), crops.select(some))
                    for each, some in zip(present, rows, strict=True)
                ]
                found = torch.cat(parts)[torch.cat(rows).argsort()]
        return found.clone()  # an inference tensor cannot be part of a graph

    def _outputs(self, place: int, crops: Batch) -> Tensor:
        """Return the outputs of one teacher for crops."""
        if self.engine == EAGER:
            return logits_of(crops.run(self.modules[place], lazy=True))
        if place not in self._runs:
            self._runs[place] = EngineRun(self.modules[place], self.engine, crops)
        return self._runs[place](crops)

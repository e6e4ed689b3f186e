"""Plan that trains a fusion head on embeddings by stored networks, optionally end to end."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from committee.backbones.base import Backbone
from committee.backbones.outputs import Output
from committee.base.randomness import derive
from committee.errors import UsageError
from committee.images.view import View
from committee.models.composites.fusion import Fusion
from committee.models.fusions.base import FUSIONS, FusionHead
from committee.models.member import Member
from committee.recipe.members import MemberSpec
from committee.recipe.runs import Fusion as FusionSection
from committee.recipe.training import Training
from committee.training.fit.batches import Rows
from committee.training.fit.embeddings import Split, one_network, read
from committee.training.fit.heads import inner_pairs, seeded, slices, tensor, train_head
from committee.training.fit.job import Extra
from committee.training.fit.start import tensor_of
from committee.training.fit.train import train
from committee.training.losses.base import Loss, head_loss, loss_name
from committee.training.plans.base import Derived, Inputs, Stored

CHUNK = 1024
"""Rows of embeddings in memory at once."""
BODY = 0.1
"""Learning rate of the backbones in end-to-end training, as a share of that of the head."""


class FusionPlan(Derived):
    """Fusion head on the embeddings of stored networks.

    The head of each fold is trained on embeddings by the networks of that fold, since the embedding spaces of
    two networks are unrelated. If `section.end_to_end` is set, the head and copies of the backbones are then
    trained on images; the stored networks are not changed.

    Parameters
    ----------
    name : str
    method : str
        An entry of `FUSIONS`.
    inputs : Inputs
        Members whose embeddings are fused, in this order.
    section : FusionSection
        `runs.fusion` of the recipe.
    embeddings : mapping of str to Path
        Member -> the folder that `extract` wrote.
    training : Training
        The loss of the head, and the settings of end-to-end training.

    Raises
    ------
    UsageError
        There are fewer than two members.

    See Also
    --------
    committee.models.fusions.base.FusionHead : Base class of the heads.
    committee.models.composites.fusion.Fusion : The member that it makes.
    MoePlan : Chooses a few members for each image instead.

    Examples
    --------
    >>> from committee.recipe.runs import Fusion as FusionSection
    >>> from committee.recipe.training import Training
    >>> from committee.training.plans._example import example_inputs
    >>> inputs, section = example_inputs("first", "second"), FusionSection()
    >>> plan = FusionPlan("fused", "concat_mlp", inputs, section, {}, Training())
    >>> plan.facts()["backbone"]
    'first + second'
    """

    section = "runs.fusion"

    def __init__(
        self,
        name: str,
        method: str,
        inputs: Inputs,
        section: FusionSection,
        embeddings: Mapping[str, Path],
        training: Training,
    ) -> None:
        super().__init__(name, inputs)
        if len(self.members) < 2:
            raise UsageError(
                name,
                expected="at least two members",
                got=", ".join(self.members) or "none",
                todo="Train another backbone: a single network cannot be fused.",
            )
        self.method, self.config, self.places = method, section.fusion_config, dict(embeddings)
        self.training, self.end_to_end = training, section.end_to_end
        self.epochs = self.config.epochs
        self.folds = inputs.dealt_folds() if inputs.have_folds() else 0

    def settings(self) -> Mapping[str, Any]:
        """Return the networks and how their head is trained."""
        training, task = self.training, self.dataset.task
        loss = {} if loss_name(training, task) == task.loss else {"loss": training.loss.model_dump()}
        return {
            "plan": f"fusion_{self.method}",
            "sources": dict(self.inputs.sources),
            "config": self.config.model_dump(),
            "end_to_end": training.model_dump(mode="json") if self.end_to_end else None,
            **loss,
            "batch_size": self.batch_size,
            "seed": self.seed,
        }

    def facts(self) -> Mapping[str, Any]:
        """Return the names of the members."""
        return {
            "plan": f"fusion_{self.method}",
            "backbone": " + ".join(self.members),
            "seed": self.seed,
            "pretrained": False,
            "inference": self.inference,
            "of": self.members,
        }

    def check(self) -> None:
        """Do nothing: problems with the networks appeared when their embeddings were computed."""

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Train the head on embeddings, then optionally everything on images; see the base class."""
        head, notes = self._head(rows, fold)
        parts = [one_network(self.store.checkpoint(name, fold), self.inputs.trusted) for name in self.members]
        shift, scale = self._standardization(rows)
        fusion = Fusion(parts, self.dataset.class_names, self.name, head, self.method, shift, scale)
        if self.end_to_end:
            self._train_together(fusion, rows, fold, fingerprint)
        fusion.provenance = {
            **notes,
            "end_to_end": self.end_to_end,
            "summary": self._summary(head, notes["epochs"]),
        }
        return {self.name: fusion.eval()}

    def predict(self, member: Stored, rows: Rows, fold: str) -> NDArray[np.float32]:
        """Return outputs of rows, from stored embeddings unless backbones were trained."""
        if self.end_to_end:
            return super().predict(member, rows, fold)
        split = cast("Split", str(self.dataset.splits[rows[0]]))
        views, fused = self._embeddings(split, fold), cast("Fusion", member).fused
        places = np.searchsorted(self.dataset.rows(split), rows)
        with torch.inference_mode():
            parts = [
                fused([tensor(view[places[some]]) for view in views]).numpy()
                for some in slices(len(rows), CHUNK)
            ]
        return np.concatenate(parts)

    def _standardization(self, rows: Rows) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and standard deviation of each target in the rows of a fit; nothing for classes."""
        return self.dataset.target_type.standardization(self.dataset.labels[rows])

    def _embeddings(self, split: Split, fold: str) -> list[NDArray[np.float32]]:
        count = len(self.dataset.rows(split))
        return [read(self.places[member], fold, split, count) for member in self.members]

    def _head(self, rows: Rows, fold: str) -> tuple[FusionHead, dict[str, Any]]:
        """Return the trained head and the notes of `train_head`, which chooses the epochs inside the rows."""
        views = self._embeddings("train", fold)
        places = np.searchsorted(self.dataset.rows("train"), rows)
        labels = tensor_of(self.dataset.labels[rows]).to(self.device)
        shift, scale = self._standardization(rows)
        output, loss = Output(shift=shift, scale=scale), self._loss(rows, scale)
        config, seed = self.config, derive(self.seed, self.name, fold)
        with seeded(seed):
            head = FUSIONS.make(
                self.method,
                sizes=[view.shape[1] for view in views],
                classes=len(self.dataset.class_names),
                hidden_dims=config.hidden_dims,
                dropout=config.dropout,
            )

        def some(chosen: NDArray[np.int64]) -> list[Tensor]:
            return [tensor(view[places[chosen]]) for view in views]

        def batches() -> Iterator[list[Tensor]]:
            everything = np.arange(len(places))
            yield from (some(everything[part]) for part in slices(len(places), CHUNK))

        head.prepare(batches)
        head.to(self.device)
        groups = None if self.dataset.groups is None else self.dataset.groups[rows]
        notes = train_head(
            head,
            lambda chosen: [each.to(self.device) for each in some(chosen.numpy())],
            lambda outputs, chosen: loss.mean(output.logits(outputs), labels[chosen]),
            len(rows),
            epochs=config.epochs,
            lr=config.lr,
            seed=seed,
            who=f"{self.name}/{fold}",
            lower="runs.fusion.fusion_config.hidden_dims",
            loss_name=loss.name,
            pairs=inner_pairs(self.dataset.strata[rows], groups, seed),
        )
        return head.to("cpu"), notes

    def _loss(self, rows: Rows, scale: Sequence[float]) -> Loss:
        """Return the loss of the recipe, without weights of classes and smoothing of labels."""
        names = self.dataset.class_names
        loss = head_loss(self.training, self.dataset.task, self.name)
        return loss.prepare(self.dataset.labels[rows], names, scale, device=self.device)

    def _train_together(self, fusion: Fusion, rows: Rows, fold: str, fingerprint: str) -> None:
        """Train copies of head and backbones on images, and load the weights into the parts of the fusion."""
        size = max(part.view.size for part in cast("Sequence[Member]", fusion.parts))
        training = self.training.model_copy(
            update={
                "epochs": self.config.epochs,
                "lr": self.config.lr,
                "body_lr": BODY,
                "head_epochs": 0,
                "ema": None,
                "early_stop": None,
                "best_checkpoint": False,
            }
        )
        spec = MemberSpec(self.name, "fusion", self.seed, False, size, self.batch_size, training)
        trained = train(
            spec,
            self.dataset,
            rows,
            fold=fold,
            device=self.device,
            fingerprint=fingerprint,
            folder=self.store.resume(self.name, fold),
            extra=Extra(begin=partial(_together, fusion, size)),
        ).member
        together = cast("_Together", trained.network.net)
        for part, body in zip(fusion.parts, together.bodies, strict=True):
            cast("Member", part).network.load_state_dict(body.state_dict())
        fusion.head.load_state_dict(together.head.state_dict())

    def _summary(self, head: FusionHead, epochs: int) -> str:
        widths = " + ".join(map(str, head.sizes))
        how = f"for {epochs} epochs on stored embeddings"
        how += ", then all end to end" if self.end_to_end else ""
        count = sum(each.numel() for each in head.parameters())
        return f"{self.method} of {widths} values, {count:,} weights, trained {how}"


class _Together(nn.Module):
    """Backbones and head as one network, whose input are images of one size with values in [0, 1]."""

    def __init__(self, fusion: Fusion) -> None:
        super().__init__()
        parts = cast("Sequence[Member]", fusion.parts)
        self.bodies = nn.ModuleList(part.network for part in parts)
        self.head = fusion.head
        self.sizes = [part.view.size for part in parts]
        for place, part in enumerate(parts):
            mean, scale = (
                torch.tensor(each).reshape(1, -1, 1, 1) for each in (part.view.mean, part.view.std)
            )
            self.register_buffer(f"mean_{place}", mean, persistent=False)
            self.register_buffer(f"std_{place}", scale, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `[B, C]` of images `[B, c, size, size]`."""
        embeddings = []
        for place, body in enumerate(self.bodies):
            own, size = images, self.sizes[place]
            if images.shape[-1] != size:
                own = functional.interpolate(images, (size, size), mode="bilinear", antialias=True)
            own = (own - getattr(self, f"mean_{place}")) / getattr(self, f"std_{place}")
            embeddings.append(cast("Backbone", body).embed(own))
        return self.head(embeddings)


def _together(fusion: Fusion, size: int) -> Member:
    """Return the member from which end-to-end training starts: copies of head and backbones."""
    own = copy.deepcopy(fusion)
    channels = cast("Member", own.parts[0]).view.channels
    net = _Together(own)
    network = Backbone(net, ["head"], mean=[0.0] * channels, std=[1.0] * channels, output=fusion.output)
    view = View(size, network.mean, network.std, cast("Member", own.parts[0]).view.fit, channels)
    return Member(network, view, fusion.class_names, fusion.name, task=fusion.task, units=fusion.units)

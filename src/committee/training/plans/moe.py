"""A plan that trains a gate over members, on what they said of rows that they had not seen."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from committee.base.randomness import derive
from committee.combiners.pruned import Pruned
from committee.errors import UsageError
from committee.images.view import View
from committee.models.composites.moe import Moe, mix, sparse
from committee.models.ensemble import load
from committee.models.measure import call_times
from committee.predictions.table import Predictions
from committee.recipe.runs import Moe as MoeSection
from committee.store.manifest import digest, read_whole
from committee.training.fit.batches import Rows
from committee.training.fit.heads import inner_pairs, seeded, slices, train_head
from committee.training.plans._derived import Derived, Inputs
from committee.training.plans.base import Stored

log = logging.getLogger(__name__)

SIDE = 32
"""Most pixels of a side of what a gate sees."""
BALANCE = 0.01
"""Weight of the loss that spreads photos over the experts."""
CHUNK = 1024
"""Photos that are made small at once."""
RATE = 1e-3
LEAST = -20.0
"""Least log-probability of the right class that counts: one sure mistake shall not be all that is learned."""


class MoePlan(Derived):
    """A gate over experts: it learns from stored answers, so that no expert runs while it does.

    In each fold the experts are chosen anew among the members, by a pruning method on the rows of the fit;
    their answers to those are out-of-fold, and the gate's loss is that of the mixture. Noise on its logits
    lets it try experts (noisy top-k), and the squared variation of their shares is added to the loss, so that
    it does not forget any (Shazeer et al. 2017).

    Parameters
    ----------
    name : str
    inputs : Inputs
        Candidates among which the experts are chosen.
    section : MoeSection
        `runs.moe` of the recipe.
    predictions : Predictions
        Of the candidates, on rows that none of them has seen.
    split : "oof" or "val"
        What those rows are.
    """

    section = "runs.moe"

    def __init__(
        self, name: str, inputs: Inputs, section: MoeSection, predictions: Predictions, split: str
    ) -> None:
        super().__init__(name, inputs)
        self.config, self.predictions = section, predictions
        self.side = min(SIDE, *(int(inputs.facts[member].get("img_size", SIDE)) for member in self.members))
        self.experts = min(section.num_experts, len(self.members))
        if self.experts < 2 or section.top_k > self.experts:
            raise UsageError(
                "runs.moe",
                expected=f"at least {max(2, section.top_k)} members, top_k of them for a photo",
                got=", ".join(self.members) or "none",
                todo="Train another backbone, or lower runs.moe.top_k.",
            )
        if self.experts < section.num_experts:
            log.warning("%s: %d experts, since there are no more members", name, self.experts)
        self.epochs = section.epochs
        self.folds = inputs.dealt_folds() if split == "oof" else 0
        self.chooses_on = ("val",) if split == "val" else ()
        self._row = {str(name): row for row, name in enumerate(self.dataset.sample_ids)}

    def settings(self) -> Mapping[str, Any]:
        """Return the candidates, what they said, and how the gate is trained."""
        known = digest([self.predictions.sample_ids, self.chooses_on])
        return {
            "plan": "moe",
            "sources": dict(self.inputs.sources),
            "section": self.config.model_dump(),
            "rows": known,
            "side": self.side,
            "seed": self.seed,
        }

    def facts(self) -> Mapping[str, Any]:
        """Return among which members the experts are."""
        return {
            "plan": "moe",
            "backbone": " | ".join(self.members),
            "seed": self.seed,
            "pretrained": False,
            "inference": self.inference,
            "of": self.members,
            "is_conditional": True,
        }

    def check(self) -> None:
        """Nothing can be wrong that the constructor did not see."""

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Choose the experts, and train the gate."""
        known = np.array([self._row[str(name)] for name in self.predictions.sample_ids])
        chosen = np.isin(known, rows) if self.folds else np.ones(len(known), bool)
        learned = self.predictions.rows(chosen)
        choice = Pruned(
            str(self.config.method), target_size=self.experts, seed=derive(self.seed, self.name, fold)
        ).fit(learned)
        names = list(choice.restrict_to_used().member_names)
        parts = [self._load(name, fold) for name in names]
        mixture = self._untrained(parts, fold)
        usage, notes = self._train(mixture, learned.select(names), known[chosen], fold)
        mixture.provenance = {**notes, **_report(mixture, names, usage, self.config)}
        return {self.name: mixture.eval()}

    def predict(self, member: Stored, rows: Rows, fold: str) -> NDArray[np.float32]:
        """Return logits of rows of one split: what the experts said of them is stored."""
        assert isinstance(member, Moe)
        names = member.provenance["experts"]
        split = str(self.dataset.splits[rows[0]])
        what = "held_out" if split == "train" else split
        files = [self.store.checkpoint(name, fold) / f"{what}.npy" for name in names]
        if not all(file.exists() for file in files):
            return super().predict(member, rows, fold)
        answers = [np.load(file, allow_pickle=False) for file in files]
        if any(len(answer) != len(rows) for answer in answers):
            return super().predict(member, rows, fold)
        with torch.inference_mode():
            weights = torch.cat(
                [member.weights(self.dataset.images(rows[part])) for part in slices(len(rows), CHUNK)]
            )
            return mix(torch.from_numpy(np.stack(answers, 1)), weights).numpy()

    def _load(self, name: str, fold: str) -> Any:
        return read_whole(self.store.checkpoint(name, fold), lambda whole: load(whole, trusted=True))

    def _untrained(self, parts: Sequence[Any], fold: str) -> Moe:
        view = View(self.side, 0.5, 0.25, self.dataset.fit, self.dataset.channels)
        config = self.config
        with seeded(derive(self.seed, self.name, fold)):
            return Moe(
                parts, self.dataset.class_names, self.name, view, config.gating_hidden_dim, config.top_k
            )

    def _train(
        self, mixture: Moe, learned: Predictions, rows: Rows, fold: str
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Train the gate; return the share of the photos that each expert gets, and for how many epochs."""
        device, view = self.device, mixture.view.to(self.device)
        small = torch.cat(
            [
                mixture.view.cut(self.dataset.images(rows[part])).round().to(torch.uint8)
                for part in slices(len(rows), CHUNK)
            ]
        )
        labels = learned.require_labels(self.name)
        index = torch.from_numpy(labels).reshape(1, -1, 1).expand(len(learned.members), -1, 1)
        log_right = torch.from_numpy(learned.logits).log_softmax(2).gather(2, index)[:, :, 0]
        log_right = log_right.T.clamp(min=LEAST).contiguous().to(device)
        gate = mixture.gate.to(device)

        def loss(output: Tensor, chosen: Tensor) -> Tensor:
            return gate_loss(output, log_right[chosen], self.config.top_k)

        groups = learned.groups
        notes = train_head(
            gate,
            lambda chosen: view.normalize(small[chosen].to(device)),
            loss,
            len(rows),
            epochs=self.config.epochs,
            lr=RATE,
            seed=derive(self.seed, self.name, fold, "gate"),
            who=f"{self.name}/{fold}",
            lower="runs.moe.gating_hidden_dim",
            pairs=inner_pairs(labels, groups, derive(self.seed, self.name, fold, "inner")),
        )
        with torch.inference_mode():
            logits = torch.cat(
                [gate(view.normalize(small[part].to(device))) for part in slices(len(rows), CHUNK)]
            )
        mixture.to("cpu")
        asked = sparse(logits[:, : len(mixture.parts)], self.config.top_k) > 0
        return asked.double().mean(0).cpu().numpy(), notes


def gate_loss(output: Tensor, log_right: Tensor, top_k: int) -> Tensor:
    """Return the loss of a gate on some rows.

    Parameters
    ----------
    output : float32 `[B, 2 E]`
        A logit for each expert, and how noisy it is.
    log_right : float32 `[B, E]`
        Log-probability that each expert gave the right class.
    top_k : int
        Of two or more, the loss is that of their mixture. The weight of a single one is 1 whatever the gate
        says, which teaches it nothing: then it is the loss to be expected, were the expert drawn.
    """
    logits, spread = output.chunk(2, dim=1)
    tried = logits + torch.randn_like(logits) * functional.softplus(spread)
    if top_k == 1:
        weights = tried.softmax(1)
        loss = -(weights * log_right).sum(1).mean()
    else:
        weights = sparse(tried, top_k)
        loss = -(weights * log_right.exp()).sum(1).log().mean()
    shares = weights.sum(0)
    return loss + BALANCE * shares.var(correction=0) / shares.mean().square()


def _report(
    mixture: Moe, names: Sequence[str], usage: NDArray[np.float64], section: MoeSection
) -> dict[str, Any]:
    """Return who the experts are, how often each is asked, and the share of their time that is saved."""
    side = max((view.size for view in mixture.modules() if isinstance(view, View)), default=SIDE)
    image = torch.randint(0, 256, (1, mixture.view.channels, side, side), dtype=torch.uint8)
    times = np.array([np.median(call_times(part, image, 5, 1)) for part in mixture.parts])
    saved = 1 - float((usage * times).sum() / times.sum())
    shares = dict(zip(names, usage.round(4).tolist(), strict=True))
    words = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return {
        "experts": list(names),
        "chosen_by": str(section.method),
        "usage": shares,
        "saved": round(saved, 4),
        "summary": f"by {section.method}: {words} of the rows; {saved:.0%} of the experts' time saved",
    }

"""Plan that trains the gate of a mixture of experts on stored out-of-fold predictions."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from committee.base.randomness import derive
from committee.combiners.pruned import Pruned
from committee.errors import UsageError
from committee.images.view import View
from committee.models.composites.moe import Moe, sparse
from committee.models.measure import call_times
from committee.models.stored import load_network
from committee.predictions.table import Predictions
from committee.recipe.runs import Moe as MoeSection
from committee.solvers.experts import Experts
from committee.store.manifest import digest
from committee.tasks.base import task_of
from committee.training.fit.batches import Rows
from committee.training.fit.heads import inner_pairs, seeded, slices, train_head
from committee.training.plans.base import Derived, Inputs, Stored

log = logging.getLogger(__name__)

SIDE = 32
"""Largest side of the images that a gate sees, in pixels."""
BALANCE = 0.01
"""Weight of the loss that spreads images over the experts."""
CHUNK = 1024
"""Number of images that are reduced at once."""
RATE = 1e-3


def gate_size(img_sizes: Iterable[int]) -> int:
    """Return the side of the images that a gate sees, for experts with images of these sizes."""
    return min((SIDE, *img_sizes))


class MoePlan(Derived):
    """Mixture of experts: a gate that chooses a few stored members for each image (Shazeer et al. 2017).

    The gate is trained on stored predictions of the experts, so no expert runs meanwhile. In each fold, a
    pruning method chooses the experts among the members on the rows of the fit, for which their predictions
    are out-of-fold. The loss is that of the mixture. Noise on the logits of the gate makes it try different
    experts (noisy top-k), and the squared coefficient of variation of their shares is added to the loss to
    balance them.

    Parameters
    ----------
    name : str
    inputs : Inputs
        Members among which the experts are chosen.
    section : MoeSection
        `runs.moe` of the recipe.
    predictions : Predictions
        Predictions of the members on rows that none of them has seen.
    split : "oof" or "val"
        Whether these are out-of-fold predictions, or those of the validation split.

    Raises
    ------
    UsageError
        There are fewer than two members, or fewer than `section.top_k`.

    See Also
    --------
    committee.models.composites.moe.Moe : The member that it makes.
    FusionPlan : A head on the embeddings of all members.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.predictions.table import Predictions
    >>> from committee.recipe.runs import Moe as MoeSection
    >>> from committee.training.plans._example import example_inputs
    >>> logits, classes = np.zeros((2, 8, 2), np.float32), ("cat", "dog")
    >>> predictions = Predictions.from_logits(logits, members=["first", "second"], class_names=classes)
    >>> inputs, section = example_inputs("first", "second"), MoeSection(num_experts=2, top_k=1)
    >>> plan = MoePlan("moe", inputs, section, predictions, "oof")
    >>> plan.experts, plan.folds
    (2, 2)
    """

    section = "runs.moe"

    def __init__(
        self, name: str, inputs: Inputs, section: MoeSection, predictions: Predictions, split: str
    ) -> None:
        super().__init__(name, inputs)
        self.config, self.predictions = section, predictions
        self.side = gate_size(inputs.facts[member].get("img_size", SIDE) for member in self.members)
        self.experts = min(section.num_experts, len(self.members))
        if self.experts < 2 or section.top_k > self.experts:
            raise UsageError(
                "runs.moe",
                expected=f"at least {max(2, section.top_k)} members, since top_k is {section.top_k}",
                got=", ".join(self.members) or "none",
                todo="Train another backbone, or lower runs.moe.top_k.",
            )
        if self.experts < section.num_experts:
            log.warning("%s: only %d experts, since there are no more members", name, self.experts)
        self.epochs = section.epochs
        self.folds = inputs.dealt_folds() if split == "oof" else 0
        self.split = split
        self._row = {str(name): row for row, name in enumerate(self.dataset.sample_ids)}

    def settings(self) -> Mapping[str, Any]:
        """Return the members, their rows, and how the gate is trained."""
        known = digest([self.predictions.sample_ids, self.split])
        return {
            "plan": "moe",
            "sources": dict(self.inputs.sources),
            "section": self.config.model_dump(),
            "rows": known,
            "side": self.side,
            "seed": self.seed,
        }

    def facts(self) -> Mapping[str, Any]:
        """Return the names of the members."""
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
        """Do nothing: the constructor has checked everything."""

    def choosing_rows(self, split: Literal["val", "test"]) -> Rows:
        """Return the val rows if the gate is trained on them; see the base class."""
        return self.dataset.rows("val") if split == self.split == "val" else super().choosing_rows(split)

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Choose the experts, and train the gate; see the base class."""
        own = np.array([self._row[str(name)] for name in self.predictions.sample_ids])
        within = np.isin(own, rows) if self.folds else np.ones(len(own), bool)
        predictions = self.predictions.rows(within)
        choice = Pruned(
            str(self.config.method), target_size=self.experts, seed=derive(self.seed, self.name, fold)
        ).fit(predictions)
        names = list(choice.restrict_to_used().member_names)
        moe = self._untrained([self._load(name, fold) for name in names], fold)
        usage, notes = self._train(moe, predictions.select(names), own[within], fold)
        moe.provenance = {**notes, **_report(moe, names, usage, self.config)}
        return {self.name: moe.eval()}

    def predict(self, member: Stored, rows: Rows, fold: str) -> NDArray[np.float32]:
        """Return logits of rows, from stored predictions of the experts if possible; see the base class."""
        assert isinstance(member, Moe)
        names = member.provenance["experts"]
        split = str(self.dataset.splits[rows[0]])
        what = "held_out" if split == "train" else split
        files = [self.store.checkpoint(name, fold) / f"{what}.npy" for name in names]
        if not all(file.exists() for file in files):
            return super().predict(member, rows, fold)
        logits = [np.load(file, allow_pickle=False) for file in files]
        if any(len(each) != len(rows) for each in logits):
            return super().predict(member, rows, fold)
        with torch.inference_mode():
            return member.task.mix(torch.from_numpy(np.stack(logits, 1)), self._gated(member, rows)).numpy()

    def sample_weights(self, member: Stored, rows: Rows) -> NDArray[np.float32]:
        """Return the weights of the gate; 0 for members that are no experts of this fit."""
        assert isinstance(member, Moe)
        weights = np.zeros((len(rows), len(self.members)), np.float32)
        experts = [self.members.index(name) for name in member.provenance["experts"]]
        weights[:, experts] = self._gated(member, rows).numpy()
        return weights

    @torch.inference_mode()
    def _gated(self, member: Moe, rows: Rows) -> Tensor:
        """Return the weights of the experts `[N, E]` for rows."""
        parts = [rows[part] for part in slices(len(rows), CHUNK)]
        return torch.cat([member.weights(self.dataset.images(part, member.view)) for part in parts])

    def _load(self, name: str, fold: str) -> Any:
        return load_network(self.store.checkpoint(name, fold), self.inputs.trusted)

    def _untrained(self, parts: Sequence[Any], fold: str) -> Moe:
        view = View(self.side, 0.5, 0.25, self.dataset.fit, self.dataset.channels)
        config = self.config
        with seeded(derive(self.seed, self.name, fold)):
            return Moe(
                parts, self.dataset.class_names, self.name, view, config.gating_hidden_dim, config.top_k
            )

    def _train(
        self, moe: Moe, predictions: Predictions, rows: Rows, fold: str
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Train the gate; return the share of the images that each expert gets, and the notes."""
        device, view, gate = self.device, moe.view.to(self.device), moe.gate.to(self.device)
        parts = list(slices(len(rows), CHUNK))
        small = torch.cat([view.cut(self.dataset.images(rows[part], view)) for part in parts])
        labels = predictions.require_labels(self.name)
        task = task_of(predictions)
        experts = task.experts(predictions.logits, labels).to(device)

        def inputs(chosen: Tensor | slice) -> Tensor:
            return view.normalize(small[chosen].to(device))

        def loss(output: Tensor, chosen: Tensor) -> Tensor:
            return gate_loss(output, experts, chosen, self.config.top_k)

        notes = train_head(
            gate,
            inputs,
            loss,
            len(rows),
            epochs=self.config.epochs,
            lr=RATE,
            seed=derive(self.seed, self.name, fold, "gate"),
            who=f"{self.name}/{fold}",
            lower="runs.moe.gating_hidden_dim",
            loss_name=experts.loss,
            pairs=inner_pairs(
                task.target_type.strata(labels),
                predictions.groups,
                derive(self.seed, self.name, fold, "inner"),
            ),
        )
        with torch.inference_mode():
            logits = torch.cat([gate(inputs(part)) for part in parts])
        moe.to("cpu")
        chosen = sparse(logits[:, : len(moe.parts)], self.config.top_k) > 0
        return chosen.double().mean(0).cpu().numpy(), notes


def gate_loss(output: Tensor, experts: Experts, rows: Tensor | slice, top_k: int) -> Tensor:
    """Return the loss of a gate on some rows.

    Parameters
    ----------
    output : float32 tensor `[B, 2 E]`
        A logit for each expert, and the scale of its noise before a softplus.
    experts : Experts
        Their losses.
    rows : int64 tensor `[B]` or slice
        The rows among those of the experts.
    top_k : int
        Number of experts for an image. With two or more, the loss is that of their mixture. A single expert
        always has the weight 1, which has no gradient; then it is the expected loss of an expert that is
        drawn by the probabilities of the gate.

    Returns
    -------
    float32 tensor, a scalar
    """
    logits, spread = output.chunk(2, dim=1)
    tried = logits + torch.randn_like(logits) * functional.softplus(spread)
    if top_k == 1:
        weights = tried.softmax(1)
        loss = (weights * experts.each(rows)).sum(1).mean()
    else:
        weights = sparse(tried, top_k)
        loss = experts.mixed(weights, rows).mean()
    shares = weights.sum(0)
    return loss + BALANCE * shares.var(correction=0) / shares.mean().square()


def _report(
    moe: Moe, names: Sequence[str], usage: NDArray[np.float64], section: MoeSection
) -> dict[str, Any]:
    """Return names and usage of the experts, and the share of their time that is saved."""
    side = max((view.size for view in moe.modules() if isinstance(view, View)), default=SIDE)
    image = torch.randint(0, 256, (1, moe.view.channels, side, side), dtype=torch.uint8)
    times = np.array([np.median(call_times(part, image, 5, 1)) for part in moe.parts])
    saved = 1 - float((usage * times).sum() / times.sum())
    shares = dict(zip(names, usage.round(4).tolist(), strict=True))
    usages = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return {
        "experts": list(names),
        "chosen_by": str(section.method),
        "usage": shares,
        "saved": round(saved, 4),
        "summary": f"by {section.method}: {usages} of the rows; {saved:.0%} of the experts' time saved",
    }

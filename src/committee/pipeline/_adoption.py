"""The networks of an adoption: read, compared with their backbone, stored with their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from committee.backbones.checkpoint import load_checkpoint
from committee.backbones.weights import WRAPPERS, read_weights
from committee.base.devices import resolve as resolve_device
from committee.errors import CommitteeError, DataError, UsageError
from committee.images.dataset import Dataset
from committee.images.view import View
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.pipeline.foreign import EMA, Adopted, Foreign
from committee.pipeline.shared.sets import mean_of_members
from committee.predictions.table import Predictions
from committee.recipe.model import Recipe
from committee.store.commit import commit, remove
from committee.store.hashes import hash_file
from committee.store.layout import Store
from committee.store.manifest import PROTOCOL, digest, is_done
from committee.tasks.base import task_of
from committee.training.fit.predict import logits_of

SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Networks:
    """The networks of a member.

    Attributes
    ----------
    deployed : Member or Ensemble
        The module that predicts new images: the network, or the mean of those of the folds.
    folds : dict of int to Member
        The network of each fold.
    prefix : str
        The prefix of the names of all tensors in the checkpoints.
    """

    deployed: Member | Ensemble
    folds: dict[int, Member]
    prefix: str

    @property
    def view(self) -> View:
        """The preprocessing, which all networks share."""
        first = self.deployed if isinstance(self.deployed, Member) else next(iter(self.folds.values()))
        return first.view


def load_networks(foreign: Foreign, recipe: Recipe, dataset: Dataset, classes: Sequence[str]) -> Networks:
    """Read the checkpoints, and compare the names and shapes of all tensors with the backbone.

    Raises
    ------
    UsageError
        A file or the backbone does not exist, or there is no file at all.
    DataError
        A file is no checkpoint, or the classes or targets are not those of the data set.
    MismatchError
        Tensors do not match the backbone; the error lists all of them.
    """
    paths = dict(foreign.folds) | ({} if foreign.weights is None else {-1: foreign.weights})
    if not paths:
        raise UsageError(foreign.name, expected="a checkpoint", got="none", todo="Name it with --weights.")
    states = {key: _state(path, foreign.ema) for key, path in sorted(paths.items())}
    source = str(foreign.classes) if isinstance(foreign.classes, Path) else f"{foreign.name}: classes"
    _require_names(classes, dataset.class_names, source, dataset.target_type.outputs)
    size = foreign.size or recipe.dataset.img_size
    loaded = {
        key: _member(foreign, paths[key], size, classes, dataset, state) for key, state in states.items()
    }
    members = {key: member for key, (member, _) in loaded.items()}
    prefix = next(iter(loaded.values()))[1]
    deployed: Member | Ensemble | None = members.pop(-1, None)
    if deployed is None and len(members) == 1:
        (deployed,) = members.values()
    if deployed is None:
        names = [f"{foreign.name}_{fold}" for fold in members]
        deployed = Ensemble(list(members.values()), names=names, name=foreign.name).eval()
    return Networks(deployed, members, prefix)


def _state(path: Path, ema: bool) -> dict[str, Any]:
    return read_weights(path, (*EMA, *WRAPPERS) if ema else WRAPPERS, EMA if ema else ())


def _require_names(own: Sequence[str], wanted: Sequence[str], who: str, what: str) -> None:
    missing = [name for name in wanted if name not in own]
    extra = [name for name in own if name not in wanted]
    if missing or extra:
        problems = [f"{', '.join(map(repr, missing))} missing"] if missing else []
        problems += [f"{', '.join(map(repr, extra))} unknown"] if extra else []
        raise DataError(
            who,
            expected=f"the {what} of the data set, in any order",
            got=" and ".join(problems),
            todo=f"All members of a store must have the same {what}.",
        )


def _member(
    foreign: Foreign,
    path: Path,
    size: int,
    classes: Sequence[str],
    dataset: Dataset,
    state: dict[str, Any],
) -> tuple[Member, str]:
    trusted = foreign.backbone.startswith("python:")
    names: dict[str, Any] = {dataset.target_type.outputs: classes}
    units = dict(zip(dataset.class_names, dataset.units, strict=False))
    member = Member.build(
        foreign.backbone,
        **names,
        task=dataset.task,
        units=[units[name] for name in classes] if units else (),
        shift=foreign.shift,
        scale=foreign.scale,
        size=size,
        channels=dataset.channels,
        fit=dataset.fit,
        name=foreign.name,
        trusted=trusted,
        seed=0,
    )
    prefix = load_checkpoint(state, member.network, str(path))
    mean, std = foreign.mean or member.network.mean, foreign.std or member.network.std
    member.view = View(size, _single(mean), _single(std), dataset.fit, dataset.channels)
    return member.eval(), prefix


def _single(values: Sequence[float]) -> float | Sequence[float]:
    return values[0] if len(values) == 1 else values


class Adoption:
    """The adoption of one member by a store.

    See Also
    --------
    committee.pipeline.adopt.adopt : Make one.
    """

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        foreign: Foreign,
        dataset: Dataset,
        networks: Networks,
        seen: NDArray[np.bool_],
        held_out: Rows,
    ) -> None:
        self.recipe, self.store, self.foreign = recipe, store, foreign
        self.dataset, self.networks, self.seen, self.held_out = dataset, networks, seen, held_out
        self.member = networks.deployed
        first = foreign.weights or next(iter(foreign.folds.values()))
        folds = {f"fold_{fold}": hash_file(path) for fold, path in sorted(foreign.folds.items())}
        self.origin = {
            "weights": first.name,
            "sha256": hash_file(first),
            **({"folds": folds} if folds else {}),
            "seen": foreign.seen,
            "fresh": foreign.fresh,
            "ema": foreign.ema,
        }
        self.source = digest(
            {
                "protocol": PROTOCOL,
                "member": foreign.name,
                "backbone": foreign.backbone,
                "origin": self.origin,
                "view": networks.view.options(),
                "classes": list(self.member.class_names),
                "data": dataset.fingerprint,
                "seen": np.packbits(seen).tobytes().hex(),
                **({"held_out": digest(held_out)} if folds else {}),
                **({"shift": list(foreign.shift), "scale": list(foreign.scale)} if foreign.scale else {}),
            }
        )

    def store_all(self, found: Adopted) -> None:
        """Store weights and predictions, unless the store has them, and complete `found`."""
        folder = self.store.checkpoint(self.foreign.name, "refit")
        found.state = "adopted already" if is_done(folder, self.source) else "adopted"
        self.member.provenance = {"adopted": self.origin, "backbone": self.foreign.backbone}
        facts = {
            "backbone": self.foreign.backbone,
            "seed": 0,
            "pretrained": False,
            "inference": "refit",
            "source": self.source,
            "fold": "refit",
            "adopted": self.origin,
            "name": self.foreign.name,
        }
        if found.state == "adopted":
            with commit(folder, kind="checkpoint", fingerprint=self.source, **facts) as new:
                self.member.save(new)
        try:
            for split in SPLITS:
                rows = self.dataset.rows(split)
                if len(rows):
                    predictions = self._predict(rows, split)
                    if split == "train":
                        found.agrees = _agreement(predictions)
        except CommitteeError:
            # A member whose predictions cannot be stored is of no use, and must not be listed.
            remove(folder.parent)
            remove(self.store.kfold(self.foreign.name))
            raise

    def _predict(self, rows: Rows, split: Literal["train", "val", "test"]) -> Predictions:
        what = "oof" if split == "train" else f"{split}_refit"
        folder, dataset = self.store.kfold(self.foreign.name) / what, self.dataset
        fingerprint = digest([self.source, what])
        if is_done(folder, fingerprint):
            return Predictions.load(folder)
        logits, seen = self._logits(self.member, rows), self.seen[rows]
        if split == "train":
            logits, seen = self._with_folds(rows, logits, seen)
        has_folds = split == "train" and (dataset.folds[rows] >= 0).all()
        predictions = dataset.task.predictions(
            logits,
            [self.foreign.name],
            self.member.class_names,
            sample_ids=dataset.sample_ids[rows],
            folds=dataset.folds[rows] if has_folds else None,
            groups=None if dataset.groups is None else dataset.groups[rows],
            seen=seen[None],
            who=self.foreign.name,
        )
        predictions = predictions.with_classes(dataset.class_names).with_labels(
            dataset.sample_ids[rows], dataset.labels[rows], **dataset.target_type.as_stored
        )
        with commit(
            folder, kind="predictions", fingerprint=fingerprint, source=self.source, what=what
        ) as new:
            predictions.save(new)
        return predictions

    def _with_folds(
        self, rows: Rows, logits: NDArray[np.float32], seen: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return logits and `seen` of training images, each by the network of its fold if there is one."""
        held_out = self.held_out[rows]
        for fold, network in self.networks.folds.items():
            places = np.flatnonzero(held_out == fold)
            logits[places] = self._logits(network, rows[places])
        return logits, seen & (held_out < 0)

    def _logits(self, module: Member | Ensemble, rows: Rows) -> NDArray[np.float32]:
        size, device = self.recipe.dataset.batch_size, resolve_device(self.recipe.device)
        return logits_of(module, self.dataset, rows, batch_size=size, device=device)


def _agreement(rows: Predictions) -> dict[str, float]:
    """Return the accuracy, or RMSE, on images that the network was not trained on, and on those it saw."""
    task, labels, outputs = task_of(rows), rows.require_labels("adopt"), mean_of_members(rows)
    parts = {"fresh": ~rows.seen[0], "seen": rows.seen[0]}
    return {
        name: task.evaluate(outputs[part], labels[part], [task.guarded])[task.guarded]
        for name, part in parts.items()
        if part.any()
    }

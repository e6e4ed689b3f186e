"""Adoption of networks that were trained elsewhere as members of a store."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from committee.backbones.checkpoint import load_checkpoint
from committee.backbones.weights import WRAPPERS, read_weights
from committee.base.devices import resolve as resolve_device
from committee.errors import CommitteeError, DataError, UsageError, first_five
from committee.images.dataset import Dataset, open_dataset
from committee.images.record import load_record
from committee.images.view import View, canvas_size
from committee.models.member import Member
from committee.pipeline.shared.class_names import read_classes
from committee.pipeline.shared.records import is_adopted
from committee.predictions.table import Predictions
from committee.recipe.model import Recipe
from committee.store.commit import commit, remove
from committee.store.layout import Store
from committee.store.manifest import PROTOCOL, digest, hash_file, is_done
from committee.training.fit.predict import logits_of

log = logging.getLogger(__name__)

EMA = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
SPLITS: tuple[Literal["train", "val", "test"], ...] = ("train", "val", "test")
UNKNOWN = "unknown"
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Foreign:
    """A network that was trained elsewhere, as the user describes it.

    Parameters
    ----------
    name : str
        The name of the new member.
    backbone : str
        The architecture.
    weights : Path
        The checkpoint: a `.safetensors` file, or a `.pt`, `.pth`, `.ckpt` or `.bin` file of torch.
    classes : Path
        A file of class names in the order of the logits: one per line, a JSON list, or `{"0": name}`.
    size : int, optional
        The side of the input in pixels; by default, that of the recipe.
    mean, std : sequence of float, optional
        Mean and standard deviation of the channels in training, from 0 to 1; by default, those of the
        backbone.
    seen : str
        The images that the network may have been trained on: `none`, `train`, `all`, a file of ids, or
        `unknown`, which counts as `all`.
    fresh : str, optional
        Images that the network was not trained on, even if they are among `seen`: `train`, `val`, `test`, or
        a file of ids.
    ema : bool
        Whether to use the moving average of the weights, if the checkpoint contains both.

    See Also
    --------
    adopt : Add the network to a store.
    """

    name: str
    backbone: str
    weights: Path
    classes: Path
    size: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    seen: str = UNKNOWN
    fresh: str | None = None
    ema: bool = False


@dataclass
class Adopted:
    """The result of an adoption.

    Attributes
    ----------
    name : str
        The name of the member.
    view : dict
        The preprocessing: size, mean, std, fit and channels.
    prefix : str
        The prefix of the names of all tensors in the checkpoint.
    reordered : bool
        Whether the classes of the network are in another order than those of the data set.
    rows, fresh : dict of str to int
        Split -> number of images, and of images that the network was not trained on.
    agrees : dict of str to float
        Accuracy on training images: on `fresh` ones, and on those that it may have `seen`.
    state : str
        `adopted`, `adopted already`, or `would be adopted`.

    See Also
    --------
    adopt : Return this result.
    """

    name: str
    view: dict[str, Any]
    prefix: str
    reordered: bool
    rows: dict[str, int]
    fresh: dict[str, int]
    agrees: dict[str, float] = field(default_factory=dict)
    state: str = "would be adopted"


def adopt(recipe: Recipe, store: Store, foreign: Foreign, *, dry_run: bool = False) -> Adopted:
    """Add a network to a store: its weights, and its predictions for all images of the store.

    Its predictions for training images are stored in place of out-of-fold predictions, with a mark on images
    that it may have been trained on. Combiners are fitted on images that no member was trained on.

    Parameters
    ----------
    recipe : Recipe
        The device and, if the store has no data set yet, the images.
    store : Store
        The store that gets the new member.
    foreign : Foreign
        The network.
    dry_run : bool
        Whether to check everything, but to store nothing except the decoded images.

    Raises
    ------
    UsageError
        A file or a backbone does not exist, or a trained member has the same name.
    DataError
        The file is not a checkpoint, or its classes are not those of the data set.
    MismatchError
        Tensors do not match the backbone; the error lists all of them.
    """
    classes = read_classes(foreign.classes)
    wrappers = (*EMA, *WRAPPERS) if foreign.ema else WRAPPERS
    state = read_weights(foreign.weights, wrappers, EMA if foreign.ema else ())
    with store.hold():
        if store.folds(foreign.name) and not is_adopted(store, foreign.name):
            raise UsageError(
                "--name",
                expected="a name that no trained member has",
                got=f"'{foreign.name}'",
                todo="Choose another name.",
            )
        dataset = _open(recipe, store, foreign)
        _require_classes(classes, dataset.class_names, foreign.classes)
        size = foreign.size or recipe.dataset.img_size
        member, prefix = _member(foreign, size, classes, dataset, state)
        seen = seen_rows(dataset, foreign)
        found = Adopted(
            foreign.name,
            member.view.options(),
            prefix,
            classes != list(dataset.class_names),
            {split: len(dataset.rows(split)) for split in SPLITS},
            {split: int((~seen[dataset.rows(split)]).sum()) for split in SPLITS},
        )
        if not dry_run:
            _Adoption(recipe, store, foreign, dataset, member, seen).store_all(found)
    return found


def seen_rows(dataset: Dataset, foreign: Foreign) -> NDArray[np.bool_]:
    """Return a mask, bool `[N]`, of the images that the network may have been trained on.

    Raises
    ------
    UsageError
        A file of ids does not exist.
    DataError
        A file contains ids that the data set does not have.
    """
    if foreign.seen == "none":
        seen = np.zeros(len(dataset.sample_ids), bool)
    elif foreign.seen in ("all", UNKNOWN):
        seen = np.ones(len(dataset.sample_ids), bool)
    else:
        seen = _selected(dataset, foreign.seen, "--seen")
    if foreign.fresh is not None:
        seen &= ~_selected(dataset, foreign.fresh, "--fresh")
    return seen


def _selected(dataset: Dataset, images: str, option: str) -> NDArray[np.bool_]:
    """Return a mask, bool `[N]`, of the images in a split, or of those whose ids a file contains."""
    if images in SPLITS:
        return dataset.splits == images
    try:
        lines = Path(images).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            option,
            expected=f"a split ({', '.join(SPLITS)}) or a file with one id per line",
            got=f"'{images}'",
        ) from error
    ids = {line.strip() for line in lines} - {""}
    unknown = sorted(ids - set(dataset.sample_ids.tolist()))
    if unknown:
        raise DataError(
            images,
            expected="ids of images of the data set",
            got=first_five(unknown),
            todo="The first column of the files of committee predictions --csv FILE lists them.",
        )
    return np.isin(dataset.sample_ids, sorted(ids))


def _open(recipe: Recipe, store: Store, foreign: Foreign) -> Dataset:
    """Open the data set of the store; if it has no folds yet, the folds of the recipe are drawn."""
    record = load_record(store)
    has_folds = record is not None and any(fold >= 0 for fold in record.folds)
    size = canvas_size(foreign.size or recipe.dataset.img_size, recipe.dataset.fit)
    folds = 0 if has_folds else recipe.training.folds
    return open_dataset(recipe.dataset, store, canvas_size=size, folds=folds, seed=recipe.seed)


def _require_classes(own: Sequence[str], wanted: Sequence[str], path: Path) -> None:
    missing = [name for name in wanted if name not in own]
    extra = [name for name in own if name not in wanted]
    if missing or extra:
        problems = [f"{', '.join(map(repr, missing))} missing"] if missing else []
        problems += [f"{', '.join(map(repr, extra))} unknown"] if extra else []
        raise DataError(
            str(path),
            expected="the classes of the data set, in any order",
            got=" and ".join(problems),
            todo="All members of a store must have the same classes.",
        )


def _member(
    foreign: Foreign, size: int, classes: Sequence[str], dataset: Dataset, state: dict[str, Any]
) -> tuple[Member, str]:
    trusted = foreign.backbone.startswith("python:")
    member = Member.build(
        foreign.backbone,
        classes=classes,
        size=size,
        channels=dataset.channels,
        fit=dataset.fit,
        name=foreign.name,
        trusted=trusted,
        seed=0,
    )
    prefix = load_checkpoint(state, member.network, str(foreign.weights))
    mean, std = foreign.mean or member.network.mean, foreign.std or member.network.std
    member.view = View(size, _single(mean), _single(std), dataset.fit, dataset.channels)
    return member.eval(), prefix


def _single(values: Sequence[float]) -> float | Sequence[float]:
    return values[0] if len(values) == 1 else values


class _Adoption:
    """The adoption of one network by a store."""

    def __init__(
        self,
        recipe: Recipe,
        store: Store,
        foreign: Foreign,
        dataset: Dataset,
        member: Member,
        seen: NDArray[np.bool_],
    ) -> None:
        self.recipe, self.store, self.foreign = recipe, store, foreign
        self.dataset, self.member, self.seen = dataset, member, seen
        self.origin = {
            "weights": foreign.weights.name,
            "sha256": hash_file(foreign.weights),
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
                "view": member.view.options(),
                "classes": list(member.class_names),
                "data": dataset.fingerprint,
                "seen": np.packbits(seen).tobytes().hex(),
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
        logits = logits_of(
            self.member,
            dataset,
            rows,
            batch_size=self.recipe.dataset.batch_size,
            device=resolve_device(self.recipe.device),
        )
        has_folds = split == "train" and (dataset.folds[rows] >= 0).all()
        predictions = Predictions.from_logits(
            logits,
            members=[self.foreign.name],
            class_names=self.member.class_names,
            sample_ids=dataset.sample_ids[rows],
            folds=dataset.folds[rows] if has_folds else None,
            groups=None if dataset.groups is None else dataset.groups[rows],
            seen=self.seen[rows][None],
            who=self.foreign.name,
        )
        predictions = predictions.with_classes(dataset.class_names).with_labels(
            dataset.sample_ids[rows], dataset.labels[rows], labels_are="positions"
        )
        with commit(
            folder, kind="predictions", fingerprint=fingerprint, source=self.source, what=what
        ) as new:
            predictions.save(new)
        return predictions


def _agreement(rows: Predictions) -> dict[str, float]:
    """Return the accuracy on images that the network was not trained on, and on those that it has seen."""
    right, seen = rows.logits[0].argmax(axis=1) == rows.labels, rows.seen[0]
    parts = {"fresh": right[~seen], "seen": right[seen]}
    return {name: float(part.mean()) for name, part in parts.items() if len(part)}

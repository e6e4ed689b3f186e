"""Adopt: a network that was trained elsewhere becomes a member of a store, with what it may have seen."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from committee.backbones._checkpoint import put
from committee.backbones._weights import WRAPPERS, read_weights
from committee.base.devices import resolve as resolve_device
from committee.errors import DataError, UsageError, first_five
from committee.images.dataset import Dataset, open_dataset
from committee.images.record import load_record
from committee.images.view import View, canvas_size
from committee.models.member import Member
from committee.pipeline.shared.records import is_adopted
from committee.predictions.table import Predictions
from committee.recipe.model import Recipe
from committee.store.commit import commit
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
    """A network of another trainer, as the user describes it.

    Attributes
    ----------
    name : str
        Of the member that it becomes.
    backbone : str
        Its architecture.
    weights : Path
        A checkpoint: `.safetensors`, or `.pt`, `.pth`, `.ckpt`, `.bin` of torch.
    classes : Path
        A line a class, a JSON list, or `{"0": name}`: in the order of its logits.
    size : int or None
        Side of its input in pixels; None is the recipe's.
    mean, std : sequence of float or None
        Of the channels in 0..1, as in its training; None is what its backbone usually has.
    seen : str
        Which images it may have been trained on: `none`, `train`, `all`, a file of ids, or `unknown`.
    fresh : str or None
        Images that it has not seen, whatever `seen` says: `train`, `val`, `test`, or a file of ids.
    ema : bool
        Whether to take the moving average of its weights, which some trainers keep beside them.
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
    """What was found and made.

    Attributes
    ----------
    name : str
    view : dict
        How it sees photos: size, mean, std, fit, channels.
    prefix : str
        What stood before the names of all its tensors.
    reordered : bool
        Whether its classes come in another order than the data set's.
    rows, fresh : dict of str to int
        Images of each split, and those that it has not seen.
    agrees : dict of str to float
        Share of training images that it says the label of: `fresh` and `seen` ones.
    state : str
        `adopted`, `adopted already`, or `would be adopted`.
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
    """Bring a network into a store: weights, and predictions of all its images, marked where it saw them.

    Its predictions of training images stand in the place of out-of-fold ones; fits use those alone that no
    member has seen.

    Parameters
    ----------
    recipe : Recipe
        Names the images, where the store has none yet; the device.
    store : Store
    foreign : Foreign
    dry_run : bool
        Check and tell all, and store nothing but the decoded images.

    Raises
    ------
    UsageError
        A file or a backbone that does not exist, or the name of a trained member.
    DataError
        A checkpoint that is none, or classes that are not the data set's.
    MismatchError
        Tensors that do not fit the backbone: all are listed.
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
                todo="Choose another.",
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


def read_classes(path: Path) -> list[str]:
    """Return the class names in a file: a line each, a JSON list, or a JSON mapping of numbers to names."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("--classes", expected="a file of class names", got=f"'{path}'") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if text.lstrip().startswith(("[", "{")):
        try:
            found = json.loads(text)
            if isinstance(found, dict):
                found = [found[key] for key in sorted(found, key=int)]
        except ValueError as error:
            raise DataError(str(path), expected="class names as JSON", got=str(error)) from error
        names = [str(name) for name in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or not names:
        raise DataError(
            str(path),
            expected="class names, each once",
            got=f"{first_five(twice)} twice" if twice else "none",
        )
    return names


def seen_rows(dataset: Dataset, foreign: Foreign) -> NDArray[np.bool_]:
    """Return which images the network may have been trained on, bool `[N]`.

    Raises
    ------
    UsageError
        There is no such file.
    DataError
        A file names images that the data set does not have.
    """
    if foreign.seen == "none":
        seen = np.zeros(len(dataset.sample_ids), bool)
    elif foreign.seen in ("all", UNKNOWN):
        seen = np.ones(len(dataset.sample_ids), bool)
    else:
        seen = _named(dataset, foreign.seen, "--seen")
    if foreign.fresh is not None:
        seen &= ~_named(dataset, foreign.fresh, "--fresh")
    return seen


def _named(dataset: Dataset, what: str, option: str) -> NDArray[np.bool_]:
    if what in SPLITS:
        return dataset.splits == what
    try:
        ids = [line.strip() for line in Path(what).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            option, expected=f"a split ({', '.join(SPLITS)}) or a file of ids, one a line", got=f"'{what}'"
        ) from error
    wanted = {name for name in ids if name}
    unknown = sorted(wanted - set(dataset.sample_ids.tolist()))
    if unknown:
        raise DataError(
            what,
            expected="ids of images of the data set",
            got=first_five(unknown),
            todo="See: committee predictions --csv FILE.",
        )
    return np.isin(dataset.sample_ids, sorted(wanted))


def _open(recipe: Recipe, store: Store, foreign: Foreign) -> Dataset:
    """Open the store's images; the first to open them deals them to the recipe's folds."""
    record = load_record(store)
    dealt = record is not None and any(fold >= 0 for fold in record.folds)
    size = canvas_size(foreign.size or recipe.dataset.img_size, recipe.dataset.fit)
    return open_dataset(
        recipe.dataset, store, canvas_size=size, folds=0 if dealt else recipe.training.folds, seed=recipe.seed
    )


def _require_classes(own: Sequence[str], wanted: Sequence[str], path: Path) -> None:
    missing = [name for name in wanted if name not in own]
    extra = [name for name in own if name not in wanted]
    if missing or extra:
        told = [f"none called {', '.join(map(repr, missing))}"] if missing else []
        told += [f"{', '.join(map(repr, extra))} besides"] if extra else []
        raise DataError(
            str(path),
            expected="the classes of the data set, in any order",
            got=" and ".join(told),
            todo="A member must know the same classes as the others.",
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
    prefix = put(state, member.network, str(foreign.weights))
    mean, std = foreign.mean or member.network.mean, foreign.std or member.network.std
    member.view = View(size, _single(mean), _single(std), dataset.fit, dataset.channels)
    return member.eval(), prefix


def _single(values: Sequence[float]) -> float | Sequence[float]:
    return values[0] if len(values) == 1 else values


class _Adoption:
    """One network on its way into a store."""

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
        """Store weights and predictions, unless they are there; say how it agrees with the labels."""
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
        for split in SPLITS:
            rows = self.dataset.rows(split)
            if len(rows):
                predictions = self._predict(rows, split)
                if split == "train":
                    found.agrees = _agreement(predictions)

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
        dealt = split == "train" and (dataset.folds[rows] >= 0).all()
        predictions = Predictions.from_logits(
            logits,
            members=[self.foreign.name],
            class_names=self.member.class_names,
            sample_ids=dataset.sample_ids[rows],
            folds=dataset.folds[rows] if dealt else None,
            groups=None if dataset.groups is None else dataset.groups[rows],
            seen=self.seen[rows][None],
            who=self.foreign.name,
        )
        predictions = predictions.with_classes(dataset.class_names).with_labels(
            dataset.sample_ids[rows], dataset.labels[rows]
        )
        with commit(
            folder, kind="predictions", fingerprint=fingerprint, source=self.source, what=what
        ) as new:
            predictions.save(new)
        return predictions


def _agreement(rows: Predictions) -> dict[str, float]:
    right, seen = rows.logits[0].argmax(axis=1) == rows.labels, rows.seen[0]
    parts = {"fresh": right[~seen], "seen": right[seen]}
    return {name: float(part.mean()) for name, part in parts.items() if len(part)}

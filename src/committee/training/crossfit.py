"""Any plan, fold by fold, then on all rows; each fit and its predictions are kept, and none is made twice."""

from __future__ import annotations

import logging
import shutil
import statistics
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from committee.errors import StoreError
from committee.member import Member
from committee.predictions import Predictions
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import NAME, PROTOCOL, digest, is_done, read_manifest
from committee.training.batches import Rows
from committee.training.journal import CSV_NAME
from committee.training.plans._base import Plan
from committee.training.predict import logits_of

HELD_OUT = "held_out"
APART: tuple[Literal["test", "val"], ...] = ("test", "val")
log = logging.getLogger(__name__)


def crossfit(plan: Plan, store: Store) -> None:
    """Run a plan on the other rows of each fold, then on all, and store what it makes.

    `checkpoints/<name>/<fold>/` gets the weights and that network's logits on the rows it did not see;
    `kfold/<name>/` gets `oof` (every training row by the fold network that did not train on it) and, for each
    split that is kept apart, `test_refit` and `test_folds` (the mean probability of the fold networks). The
    refit is left out where the folds speak at inference. With no folds there is the refit alone.

    Parameters
    ----------
    plan : Plan
    store : Store
        Held by this process. What it has, undamaged and made from the same, stays as it is.

    Raises
    ------
    CommitteeError
        The plan cannot be carried out.
    """
    fits, names = _Fits(plan, store), _folds(plan)
    refit = ["refit"] if _has_refit(plan, names) else []
    log.info("%s: %s on %s", plan.name, ", ".join([*names, *refit]), plan.device)
    for name, (rows, held_out) in names.items():
        fits.make(name, rows, held_out)
    if names:
        _store_oof(plan, store, fits, names)
        _store_apart(plan, store, fits, names, "folds")
    if refit:
        rows = plan.dataset.rows("train")
        fits.make("refit", rows, rows[:0], fits.median_epochs(names))
        _store_apart(plan, store, fits, refit, "refit")
    _drop_outdated(plan, store, fits.source)


def foresee(plan: Plan, store: Store) -> dict[str, bool]:
    """Return the fits that `crossfit` would go through, and whether the store has them.

    The refit follows the number of epochs of the folds: it counts as absent where one of them is.
    """
    fits, names = _Fits(plan, store), _folds(plan)
    found = {name: fits.has(name, rows) for name, (rows, _) in names.items()}
    if _has_refit(plan, names):
        rows = plan.dataset.rows("train")
        found["refit"] = all(found.values()) and fits.has("refit", rows, fits.median_epochs(names))
    return found


def _folds(plan: Plan) -> dict[str, tuple[Rows, Rows]]:
    """Return the rows that each fold trains on, and those held out from it; none without a cross-fit."""
    rows = plan.dataset.rows("train")
    folds = plan.dataset.folds[rows]
    if not plan.folds:
        return {}
    return {f"fold_{k}": (rows[folds != k], rows[folds == k]) for k in np.unique(folds[folds >= 0])}


def _has_refit(plan: Plan, folds: Collection[str]) -> bool:
    return not folds or plan.inference == "refit"


class _Fits:
    """The fits of a plan in the store: made once, found again by the digest of what made them."""

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan, self.store = plan, store
        self.checked = False
        self.digests: dict[str, str] = {}
        self.source = digest(self._common())

    def folder(self, fold: str) -> Path:
        return self.store.checkpoint(self.plan.name, fold)

    def make(self, fold: str, rows: Rows, held_out: Rows, epochs: int | None = None) -> None:
        """Train on `rows` and predict all others, unless that is done."""
        made_from = digest(self._inputs(fold, rows, epochs))
        self.digests[fold] = made_from
        resume = self.store.resume(self.plan.name, fold)
        if not is_done(self.folder(fold), made_from):
            self._check_once()
            member = self.plan.run(rows, fold, made_from=made_from, epochs=epochs)
            self._commit(member, fold, made_from, rows, held_out, resume / CSV_NAME)
        shutil.rmtree(resume, ignore_errors=True)

    def has(self, fold: str, rows: Rows, epochs: int | None = None) -> bool:
        """Return whether the store has a fit on `rows`, undamaged."""
        return is_done(self.folder(fold), digest(self._inputs(fold, rows, epochs)))

    def _check_once(self) -> None:
        if not self.checked:
            self.plan.check()
            self.checked = True

    def _common(self) -> dict[str, Any]:
        """Return what all fits of the member are made from."""
        dataset = self.plan.dataset
        return {
            "protocol": PROTOCOL, "member": self.plan.name, "settings": self.plan.settings(),
            "data": dataset.fingerprint, "classes": dataset.class_names,
            "canvas": [dataset.canvas_size, dataset.fit, dataset.channels],
        }  # fmt: skip

    def _inputs(self, fold: str, rows: Rows, epochs: int | None) -> dict[str, Any]:
        """Return what one fit is made from."""
        dataset = self.plan.dataset
        groups = None if dataset.groups is None else dataset.groups[rows]
        known = digest([dataset.sample_ids[rows], dataset.labels[rows], groups])
        return {"source": self.source, "fold": fold, "epochs": epochs, "rows": known}

    def _commit(
        self, member: Member, fold: str, made_from: str, rows: Rows, held_out: Rows, csv: Path
    ) -> None:
        facts = {
            **self.plan.facts(), "source": self.source, "fold": fold, "rows": len(rows),
            "epochs": member.provenance["epochs"],
            "device": str(self.plan.device), "threads": torch.get_num_threads(), "torch": torch.__version__,
        }  # fmt: skip
        with commit(self.folder(fold), kind="checkpoint", made_from=made_from, **facts) as new:
            member.save(new)
            self._predict(member, new, {HELD_OUT: held_out} | {s: self.plan.dataset.rows(s) for s in APART})
            if csv.exists():
                shutil.copyfile(csv, new / CSV_NAME)

    def _predict(self, member: Member, folder: Path, wanted: Mapping[str, Rows]) -> None:
        plan = self.plan
        for name, rows in wanted.items():
            if len(rows):
                logits = logits_of(member, plan.dataset, rows, batch_size=plan.batch_size, device=plan.device)
                np.save(folder / f"{name}.npy", logits)

    def logits(self, fold: str, what: str) -> NDArray[np.float32]:
        """Return a network's logits on the rows held out from it, or on a split."""
        return np.load(self.folder(fold) / f"{what}.npy", allow_pickle=False)

    def median_epochs(self, folds: Collection[str]) -> int | None:
        """Return the number of epochs of the middle fold, rounded down; None without folds."""
        epochs = [read_manifest(self.folder(fold), verify=False).facts["epochs"] for fold in folds]
        return int(statistics.median(epochs)) if epochs else None


def _store_oof(plan: Plan, store: Store, fits: _Fits, names: Collection[str]) -> None:
    dataset, rows = plan.dataset, plan.dataset.rows("train")
    logits = np.empty((len(rows), len(dataset.class_names)), np.float32)
    for k, name in enumerate(names):
        logits[dataset.folds[rows] == k] = fits.logits(name, HELD_OUT)
    _store(plan, store, "oof", rows, logits, [fits.digests[name] for name in names], fits.source)


def _store_apart(plan: Plan, store: Store, fits: _Fits, names: Collection[str], speaks: str) -> None:
    """Store the predictions of splits that no fit has seen: the mean probability of the networks `names`."""
    for split in APART:
        rows = plan.dataset.rows(split)
        if len(rows):
            networks = [fits.digests[name] for name in names]
            logits = mean_probability([fits.logits(name, split) for name in names])
            _store(plan, store, f"{split}_{speaks}", rows, logits, networks, fits.source)


def mean_probability(logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the log of the mean probability of networks, each with logits `[N, C]`; of one, its logits."""
    if len(logits) == 1:
        return logits[0]
    stacked = torch.from_numpy(np.stack(logits)).log_softmax(2)
    return (stacked.logsumexp(0) - np.log(len(logits))).numpy()


def _store(
    plan: Plan,
    store: Store,
    what: str,
    rows: Rows,
    logits: NDArray[np.float32],
    networks: Sequence[str],
    source: str,
) -> None:
    folder = store.kfold(plan.name) / what
    dataset = plan.dataset
    made_from = digest({"what": what, "networks": list(networks), "rows": dataset.sample_ids[rows]})
    if is_done(folder, made_from):
        return
    predictions = Predictions.from_logits(
        logits, members=[plan.name], class_names=dataset.class_names, sample_ids=dataset.sample_ids[rows],
        labels=dataset.labels[rows], folds=dataset.folds[rows] if what == "oof" else None,
        groups=None if dataset.groups is None else dataset.groups[rows],
        seen=np.zeros((1, len(rows)), bool),
    )  # fmt: skip
    with commit(folder, kind="predictions", made_from=made_from, source=source, what=what) as new:
        predictions.save(new)


def _drop_outdated(plan: Plan, store: Store, source: str) -> None:
    """Remove what other settings or data made of the member, and this run did not replace."""
    for top in (store.checkpoint(plan.name, "refit").parent, store.kfold(plan.name)):
        for path in top.glob(f"[!.]*/{NAME}"):
            if not _is_made_from(path.parent, source):
                log.warning("%s was made from other settings or data: removed", path.parent)
                shutil.rmtree(path.parent)


def _is_made_from(folder: Path, source: str) -> bool:
    try:
        return read_manifest(folder, verify=False).facts.get("source") == source
    except StoreError:
        return False

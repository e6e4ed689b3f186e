"""Cross-fit of one plan: its fits on the folds and on all rows, stored with their predictions."""

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

from committee.errors import TrainingError
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.links import link_duplicates
from committee.store.manifest import PROTOCOL, digest, is_done, read_manifest
from committee.tasks.base import Task
from committee.training.crossfit.map_files import SUFFIX, are_stored, writing
from committee.training.crossfit.outdated import drop_outdated
from committee.training.fit.batches import Rows
from committee.training.fit.job import Job, Trained
from committee.training.fit.journal import CSV_NAME
from committee.training.fit.resume import forget
from committee.training.plans.base import Plan, Stored
from committee.training.plans.shared.independent import Independent

HELD_OUT = "held_out"
SEEN = "seen"
WEIGHTS = "weights"
"""Name of the array of the weights that a member gives those it is made of, for each row."""
REFIT = "refit"
OTHER_SPLITS: tuple[Literal["test", "val"], ...] = ("test", "val")
log = logging.getLogger(__name__)


class CrossFit:
    """Runs a plan on the training rows of each fold, then on all rows, and stores the results.

    The weights of each fit, and its logits on the rows that it did not see, are stored in
    `checkpoints/<name>/<fit>/`. Joined predictions are stored in `kfold/<name>/`: `oof` has each training row
    by the fold network that did not train on it; `test_refit` and `test_folds` have the test split by the
    refit and by the mean probability of the fold networks, and likewise for a validation split. There is no
    refit if the fold networks are deployed (`inference: folds`), and only the refit if there are no folds. A
    bag of networks has `oof` from those that did not draw a row. If a plan makes several members, all of this
    is stored for each.

    Parameters
    ----------
    plan : Plan
    store : Store
        Held by this process, or by the one that started it. Undamaged results that were made from the same
        inputs are not made again.

    Attributes
    ----------
    folds : dict
        Name of each fold -> rows that it trains on, rows held out from it; empty without folds.
    names : tuple of str
        Names of the fits in the order in which a single process makes them: the folds, then `refit`.
    members : tuple of str
        Names of the members that a fit makes: the plan's own, then the others.

    See Also
    --------
    committee.training.crossfit.crossfits.crossfit : Cross-fits several plans, in several processes.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan, self.store = plan, store
        self.folds = _folds(plan)
        self.names = fit_names(plan)
        self.members = (plan.name, *plan.others)
        self.source = digest(self._common())
        self._digests: dict[str, str] = {}
        self._checked = False

    def folder(self, name: str, member: str | None = None) -> Path:
        """Return the folder of a fit of a member, by default of the plan's own member."""
        return self.store.checkpoint(member or self.plan.name, name)

    def needs(self, name: str) -> tuple[str, ...]:
        """Return the fits that must be made before a fit: the folds, if they choose the epochs of a refit."""
        return tuple(self.folds) if name == REFIT and self.plan.epochs is None else ()

    def has(self, name: str) -> bool:
        """Return whether the store has an undamaged fit."""
        return all(is_done(self.folder(name, each), self.fingerprint(name, each)) for each in self.members)

    def make(self, name: str) -> bool:
        """Make one fit and predict all rows that it did not see; return False if the store had it already.

        Raises
        ------
        CommitteeError
            The fit cannot be made.
        """
        missing = not self.has(name)
        if missing:
            self._check_once()
            made = self.plan.run(
                self.rows(name), name, fingerprint=self.fingerprint(name), epochs=self._epochs(name)
            )
            self._keep(name, made, stacked=self.plan.stacked and self.plan.networks > 1)
        self._forget(name)
        return missing

    def jobs(self, name: str) -> list[Job]:
        """Return the inputs of the networks of a fit; none if the store has it.

        Raises
        ------
        CommitteeError
            The fit cannot be made.
        """
        assert isinstance(self.plan, Independent)
        if self.has(name):
            self._forget(name)
            return []
        self._check_once()
        return self.plan.jobs(self.rows(name), name, self.fingerprint(name), self._epochs(name))

    def keep(self, name: str, jobs: Sequence[Job], trained: Sequence[Trained | Exception]) -> bool:
        """Store a fit whose networks were trained; return False if there are none, since the store has it.

        Raises
        ------
        Exception
            That of the first network that failed.
        """
        assert isinstance(self.plan, Independent)
        if jobs:
            self._keep(name, self.plan.finish(jobs, trained, self.rows(name), name), stacked=True)
            self._forget(name)
        return bool(jobs)

    def received(self, name: str) -> None:
        """Link files of a fit that another machine made to equal files, and remove the state of the fit."""
        for member in self.members:
            link_duplicates(self.folder(name, member), self._relatives(member, name))
        self._forget(name)

    def _keep(self, name: str, made: Mapping[str, Stored], *, stacked: bool) -> None:
        for member in self.members:
            self._commit(member, made[member], name, {"stacked": True} if stacked else {})

    def _forget(self, name: str) -> None:
        forget(self.store.resume(self.plan.name, name))

    def finish(self) -> None:
        """Join the predictions of all fits, and remove results of other settings or data."""
        for member in self.members:
            if self.folds:
                self._store_oof(member)
                self._store_splits(member, tuple(self.folds), "folds")
            if REFIT in self.names:
                self._store_splits(member, (REFIT,), "refit")
                if not self.folds:
                    self._store_out_of_bag(member)
            drop_outdated(member, self.store, self.source)

    def fingerprint(self, name: str, member: str | None = None) -> str:
        """Return the digest of all inputs of a fit of a member. The fits that it `needs` must be made."""
        own = self._made_from(name)
        return own if member in (None, self.plan.name) else digest([own, member])

    def _made_from(self, name: str) -> str:
        if name not in self._digests:
            dataset, (rows, _) = self.plan.dataset, self._rows(name)
            groups = None if dataset.groups is None else dataset.groups[rows]
            known = digest([dataset.sample_ids[rows], dataset.labels[rows], groups])
            inputs = {"source": self.source, "fold": name, "epochs": self._epochs(name), "rows": known}
            if len(judging := self.plan.choosing_rows("val")):
                inputs["judging"] = digest(dataset.sample_ids[judging])
            self._digests[name] = digest(inputs)
        return self._digests[name]

    def _common(self) -> dict[str, Any]:
        """Return the inputs that all fits of the member share."""
        dataset = self.plan.dataset
        return {
            "protocol": PROTOCOL,
            "member": self.plan.name,
            "settings": self.plan.settings(),
            "data": dataset.fingerprint,
            "classes": dataset.class_names,
        }

    def rows(self, name: str) -> Rows:
        """Return the training rows of a fit."""
        return self._rows(name)[0]

    def row_counts(self, name: str) -> tuple[int, int]:
        """Return the numbers of rows that a fit trains on, and that are held out from it."""
        rows, held_out = self._rows(name)
        return len(rows), len(held_out)

    def _rows(self, name: str) -> tuple[Rows, Rows]:
        rows = self.plan.dataset.rows("train")
        return self.folds.get(name, (rows, rows[:0]))

    def _epochs(self, name: str) -> int | None:
        """Return the number of epochs of a refit, which is the median of the folds, rounded down."""
        if name != REFIT or not self.folds:
            return None
        if self.plan.epochs is not None:
            return self.plan.epochs
        manifests = [read_manifest(self.folder(fold), verify=False) for fold in self.folds]
        return int(statistics.median(each.facts["epochs"] for each in manifests))

    def _check_once(self) -> None:
        if not self._checked:
            self.plan.check()
            self._checked = True

    def _commit(self, member: str, module: Stored, name: str, how: Mapping[str, Any]) -> None:
        rows, held_out = self._rows(name)
        facts = {
            **self.plan.facts(),
            **({} if member == self.plan.name else {"of": [self.plan.name]}),
            "source": self.source,
            "fold": name,
            "rows": len(rows),
            "epochs": module.provenance["epochs"],
            "device": str(self.plan.device),
            "threads": torch.get_num_threads(),
            **how,
            "torch": torch.__version__,
        }
        fingerprint = self.fingerprint(name, member)
        with commit(self.folder(name, member), kind="checkpoint", fingerprint=fingerprint, **facts) as new:
            module.save(new)
            link_duplicates(new, self._relatives(member, name))
            splits = {split: self.plan.dataset.rows(split) for split in OTHER_SPLITS}
            for what, wanted in ((HELD_OUT, held_out), *splits.items()):
                if len(wanted):
                    np.save(new / f"{what}.npy", self._predict(module, name, wanted, new / f"{what}{SUFFIX}"))
                    weights = self.plan.sample_weights(module, wanted)
                    if weights is not None:
                        np.save(new / f"{what}_{WEIGHTS}.npy", weights)
            self._commit_out_of_bag(module, name, new)
            _copy_journals(self.store.resume(self.plan.name, name), new)

    def _relatives(self, member: str, name: str) -> list[Path]:
        """Return the folders of fits that may hold the same weights: of its inputs, and of the same run."""
        of = self.plan.facts().get("of", ())
        run = (each for each in self.members if each != member)
        return [self.store.checkpoint(each, name) for each in of] + [self.folder(name, each) for each in run]

    def _predict(self, module: Stored, fit: str, rows: Rows, maps: Path) -> NDArray[np.float32]:
        """Return the logits of rows, or of their sampled pixels; maps are written to a file if they fit."""
        dataset = self.plan.dataset
        if dataset.maps is None:
            logits = self.plan.predict(module, rows, fit)
        elif are_stored(dataset, rows):
            with writing(maps, dataset.maps.sizes[rows], len(dataset.class_names)) as keep:
                logits = self.plan.predict_maps(module, rows, keep)
        else:
            logits = self.plan.predict_maps(module, rows)
        if not np.isfinite(logits).all():
            raise TrainingError(
                f"{self.plan.name}/{fit}",
                expected="finite predictions",
                got="NaN or infinity",
                todo="Lower training.lr, or set training.clip_grad=1.0.",
            )
        return logits

    def _commit_out_of_bag(self, module: Stored, name: str, folder: Path) -> None:
        found = None if self.folds else self.plan.out_of_bag(module, self._rows(name)[0])
        if found is not None:
            for what, array in zip((HELD_OUT, SEEN), found, strict=True):
                np.save(folder / f"{what}.npy", array)

    def _array(self, member: str, name: str, what: str) -> NDArray[np.float32]:
        """Return the stored logits of a fit on its held-out rows, or on a split, or another such array."""
        return np.load(self.folder(name, member) / f"{what}.npy", allow_pickle=False)

    def _store_oof(self, member: str) -> None:
        rows = self.plan.dataset.rows("train")
        self._store(member, "oof", rows, self._out_of_fold(member, HELD_OUT), tuple(self.folds))

    def _out_of_fold(self, member: str, what: str) -> NDArray[np.float32]:
        """Return what the folds stored for their held-out rows, in the order of the training rows."""
        dataset = self.plan.dataset
        samples = dataset.positions(dataset.rows("train"))
        parts = {name: self._array(member, name, what) for name in self.folds}
        found = np.empty((len(samples), *next(iter(parts.values())).shape[1:]), np.float32)
        for name, (_, held_out) in self.folds.items():
            found[np.searchsorted(samples, dataset.positions(held_out))] = parts[name]
        return found

    def _store_out_of_bag(self, member: str) -> None:
        """Store predictions of training rows by the networks that did not draw them, if the fit has any."""
        file, rows = self.folder(REFIT, member) / f"{SEEN}.npy", self.plan.dataset.rows("train")
        if file.exists():
            seen = np.load(file, allow_pickle=False)
            self._store(member, "oof", rows, self._array(member, REFIT, HELD_OUT), (REFIT,), seen)

    def _store_splits(self, member: str, names: Collection[str], inference: str) -> None:
        """Store the mean predictions of the networks `names` for the splits that no fit trains on."""
        dataset = self.plan.dataset
        for split in OTHER_SPLITS:
            rows = dataset.rows(split)
            if len(rows):
                logits = pooled(dataset.task, [self._array(member, name, split) for name in names])
                own = dataset.table.rows[dataset.positions(rows)]
                seen = np.isin(own, self.plan.choosing_rows(split))
                self._store(member, f"{split}_{inference}", rows, logits, names, seen)

    def _store(
        self,
        member: str,
        what: str,
        rows: Rows,
        logits: NDArray[np.float32],
        names: Collection[str],
        seen: NDArray[np.bool_] | None = None,
    ) -> None:
        folder, dataset = self.store.kfold(member) / what, self.plan.dataset
        networks = [self.fingerprint(name, member) for name in names]
        fingerprint = digest({"what": what, "networks": networks, "rows": dataset.sample_ids[rows]})
        if is_done(folder, fingerprint):
            return
        table, samples = dataset.table, dataset.positions(rows)
        folds = table.folds[samples]
        predictions = dataset.task.predictions(
            logits[None],
            [member],
            dataset.class_names,
            **dataset.target_type.as_stored,
            sample_ids=table.ids[samples],
            labels=table.labels[samples],
            folds=folds if what == "oof" and (folds >= 0).all() else None,
            groups=None if table.groups is None else table.groups[samples],
            seen=np.zeros((1, len(samples)), bool) if seen is None else seen[None],
        )
        facts: dict[str, Any] = {"source": self.source, "what": what}
        if (weights := self._sample_weights(member, what, names)) is not None:
            facts["weights_of"] = list(self.plan.facts()["of"])
        with commit(folder, kind="predictions", fingerprint=fingerprint, **facts) as new:
            predictions.save(new)
            if weights is not None:
                np.save(new / f"{WEIGHTS}.npy", weights)

    def _sample_weights(self, member: str, what: str, names: Collection[str]) -> NDArray[np.float32] | None:
        """Return the weights `[N, M]` of members on the rows of predictions; None if the fits have none."""
        array = f"{HELD_OUT if what == 'oof' else what.partition('_')[0]}_{WEIGHTS}"
        if not all((self.folder(name, member) / f"{array}.npy").exists() for name in names):
            return None
        if what == "oof":
            return self._out_of_fold(member, array)
        return np.mean([self._array(member, name, array) for name in names], axis=0, dtype=np.float32)


def foresee(plan: Plan, store: Store) -> dict[str, bool]:
    """Return the fits of a plan, and whether the store has them.

    A refit whose number of epochs is chosen by the folds counts as missing if one of the folds is missing.
    """
    fits, found = CrossFit(plan, store), dict[str, bool]()
    for name in fits.names:
        found[name] = all(found[fold] for fold in fits.needs(name)) and fits.has(name)
    return found


def fit_names(plan: Plan) -> tuple[str, ...]:
    """Return the names of a plan's fits in the order in which a single process makes them."""
    folds = tuple(_folds(plan))
    return (*folds, *[REFIT] * (not folds or plan.inference == "refit"))


def _folds(plan: Plan) -> dict[str, tuple[Rows, Rows]]:
    """Return the rows that each fold trains on, and those held out from it; empty without folds."""
    rows = plan.dataset.rows("train")
    folds = plan.dataset.folds[rows]
    if not plan.folds:
        return {}
    return {f"fold_{k}": (rows[folds != k], rows[folds == k]) for k in np.unique(folds[folds >= 0])}


def pooled(task: Task, outputs: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean of the outputs `[N, C]` of networks; of one network, its outputs."""
    if len(outputs) == 1:
        return outputs[0]
    return task.mean(torch.from_numpy(np.stack(outputs))).numpy()


def _copy_journals(resume: Path, folder: Path) -> None:
    """Copy the CSV files of the epochs, one for each network of the run."""
    for csv in sorted(resume.rglob(CSV_NAME)):
        if csv.parent.suffixes[:-1] == [".previous"]:
            continue
        place = csv.parent.relative_to(resume).as_posix().removeprefix(".")
        shutil.copyfile(csv, folder / (f"{place.removesuffix('.resume')}_{CSV_NAME}" if place else CSV_NAME))

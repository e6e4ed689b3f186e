"""Layout of the store: the path of each file and folder, and listings of its content."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from committee.base.arguments import name_of, path_of
from committee.base.names import is_reserved
from committee.errors import StoreError, UnknownNameError, UsageError, nearest
from committee.store import copies, lock
from committee.store.commit import sweep
from committee.store.disk import disk_errors, require_writable
from committee.store.inside import inside
from committee.store.manifest import NAME, OLD, read_manifest

_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@=-]{0,99}")


class Store:
    """The folder that contains all results of a recipe.

    Parameters
    ----------
    root : str or Path
        The folder, which is created when the first result is stored; or an address such as
        `s3://bucket/prefix`, whose working copy is brought up to date.
    cache : str or Path, optional
        The folder of all working copies; by default `$COMMITTEE_STORE_CACHE`, or `~/.cache/committee/stores`.

    Attributes
    ----------
    root : Path
        The folder of the store, or of its working copy.

    Raises
    ------
    UsageError
        The address is not valid.
    DependencyError
        obstore is not installed.
    StoreError
        The object storage cannot be reached, refuses a request, or has no conditional writes.

    See Also
    --------
    committee.store.commit.commit : Write a folder of the store atomically.
    committee.store.manifest.read_manifest : Read and verify a folder of the store.

    Examples
    --------
    >>> from committee.store.layout import Store
    >>> store = Store("store")
    >>> store.checkpoint("resnet18", 0).as_posix()
    'store/checkpoints/resnet18/fold_0'
    >>> store.members()
    ()
    """

    def __init__(self, root: str | Path, cache: str | Path | None = None) -> None:
        self.root = copies.open_store(path_of("store", root), cache)

    @classmethod
    def of(cls, store: Store | str | Path) -> Store:
        """Return a store unchanged, or the store in a folder."""
        return store if isinstance(store, Store) else cls(store)

    def __repr__(self) -> str:
        return f"Store({str(self)!r})"

    def __str__(self) -> str:
        return copies.address_of(self.root)

    def checkpoint(self, member: str, fold: str | int) -> Path:
        """Return the folder of a member's weights; `fold` is a number, `fold_0` or `refit`."""
        name = f"fold_{fold}" if isinstance(fold, int) else fold
        return self._place("checkpoints", _checked(member), _checked(name))

    def resume(self, member: str, fold: str | int) -> Path:
        """Return the folder of the state from which an interrupted fit resumes, removed after the fit."""
        place = self.checkpoint(member, fold)
        return place.with_name(f"{place.name}.resume")

    def kfold(self, member: str) -> Path:
        """Return the folder of a member's predictions: `oof`, `test_refit`, `test_folds` and others."""
        return self._place("kfold", _checked(member))

    def member_metrics(self, member: str) -> Path:
        """Return the folder of a member's `metrics.json`."""
        return self._place("metrics", _checked(member))

    def ensemble_metrics(self, name: str) -> Path:
        """Return the folder of an ensemble's `metrics.json`."""
        return self._place("metrics", "ensembles", _checked(name))

    def pruning_report(self) -> Path:
        """Return the file with the members' costs and the best subset for each cost."""
        return self._place("metrics", "pruning.json")

    def run_report(self) -> Path:
        """Return the file with the recipe, versions and times of the last run."""
        return self._place("metrics", "run.json")

    def run_records(self) -> Path:
        """Return the folder with a file for each of the last runs that changed evaluated models."""
        return self._place("runs")

    def comparison_report(self) -> Path:
        """Return the file with the last comparison of exported models."""
        return self._place("metrics", "comparison.json")

    def compression_report(self) -> Path:
        """Return the file with what compressed files of models cost and save."""
        return self._place("metrics", "compress.json")

    def ensemble(self, name: str) -> Path:
        """Return the folder of an ensemble: its combiner and the names of its members."""
        return self._place("ensembles", _checked(name))

    @property
    def catalog(self) -> Path:
        """The file that `committee discover` writes."""
        return self._place("ensembles", "ensemble_catalog.json")

    def oof_predictions(self) -> Path:
        """Return the folder of the joined out-of-fold predictions of all members."""
        return self._place("ensembles", "oof_predictions")

    def fusion_embeddings(self, member: str) -> Path:
        """Return the folder of a member's embeddings of all rows, for each of its networks."""
        return self._place("ensembles", "fusion_embeddings", _checked(member))

    def deploy(self, name: str) -> Path:
        """Return the folder of the exported files of a member or ensemble."""
        return self._place("deploy", _checked(name))

    def bundle(self, name: str) -> Path:
        """Return the folder of the bundle of a member or ensemble."""
        return self._place("bundles", _checked(name))

    def comparison(self, member: str) -> Store:
        """Return the store of the networks that a distilled member is compared with."""
        return Store(self._place("comparisons", _checked(member)))

    def engines(self, name: str) -> Path:
        """Return the folder of the engines that were selected for a member or ensemble."""
        return self._place("engines", _checked(name))

    def cache(self, key: str) -> Path:
        """Return a folder of data that can be recomputed, such as decoded images."""
        return self._place("cache", _checked(key))

    def dataset_folder(self) -> Path:
        """Return the folder of the record of the store's data set."""
        return self._place("dataset")

    def debug_tmp(self) -> Path:
        """Return the folder that `committee debug` writes to."""
        return self._place("debug_tmp")

    def _place(self, *parts: str) -> Path:
        """Return a path in the store; raise StoreError if it passes through a link."""
        return inside(self.root, "/".join(parts))

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the store's lock for writing while the block runs; first repair what a killed writer left.

        A store on object storage is brought up to date first; what is written is uploaded.

        Raises
        ------
        StoreError
            Another process holds the lock, the store is not writable, or the disk is full; the object storage
            cannot be reached, or another process writes to it.
        """
        with self._held_here(), copies.held(self.root):
            yield

    @contextlib.contextmanager
    def _held_here(self) -> Iterator[None]:
        """Hold the lock of the folder alone."""
        outer = not lock.holds(self.root)
        with lock.hold(self.root):
            if outer:
                require_writable(self.root)
                with disk_errors(self.root):
                    sweep(self.root)
            yield

    def mend(self) -> None:
        """Complete a replacement that a killed writer left, unless another process is writing."""
        depths = ("", "*/", "*/*/")
        if any(any(self.root.glob(f"{depth}.*{OLD}")) for depth in depths):
            with contextlib.suppress(StoreError), self._held_here():
                pass

    def folds(self, member: str) -> tuple[str, ...]:
        """Return the names of a member's completed fits, such as `("fold_0", "fold_1", "refit")`."""
        names = _committed(self._place("checkpoints", _checked(member)))
        return tuple(name for name in names if not name.endswith(".resume"))

    def members(self) -> tuple[str, ...]:
        """Return the names of all members with a completed fit, sorted."""
        top = self.root / "checkpoints"
        names = sorted(path.name for path in top.iterdir() if path.is_dir()) if top.is_dir() else []
        return tuple(name for name in names if _SAFE.fullmatch(name) and self.folds(name))

    def has_results(self) -> bool:
        """Return whether the store contains a finished fit or stored predictions of a member."""
        return bool(self.members()) or any(self.root.glob(f"kfold/[!.]*/[!.]*/{NAME}"))

    def ensembles(self) -> tuple[str, ...]:
        """Return the names of all stored ensembles, sorted."""
        return tuple(name for name in _committed(self.root / "ensembles") if not is_reserved(name))

    def resolve(self, name: str) -> str:
        """Return the full name of a stored member or ensemble from its full or short name.

        Raises
        ------
        UnknownNameError
            No model has this name, or several have this short name.
        UsageError
            It is not a name.
        """
        name_of("name", name)
        known = (*self.ensembles(), *self.members())
        for full in (name, f"{name}_ensemble"):
            if full in known:
                return full
        short = [full for full in self.ensembles() if self._method(full) == name]
        if len(short) == 1:
            return short[0]
        raise UnknownNameError(
            str(self),
            expected=f"one of {', '.join(short or known) or 'its models (there are none)'}",
            got=f"'{name}'",
            todo=nearest(name, [*known, *map(self._method, self.ensembles())]),
        )

    def _method(self, ensemble: str) -> str:
        try:
            return str(read_manifest(self.ensemble(ensemble), verify=False).facts.get("method", ""))
        except StoreError:
            return ""


def _committed(folder: Path) -> list[str]:
    """Return the names of the stored folders in `folder`, sorted, including those that are being replaced."""
    names = {path.parent.name for path in folder.glob(f"[!.]*/{NAME}")}
    replaced = (path.name.removesuffix(OLD).removeprefix(".") for path in folder.glob(f".*{OLD}"))
    return sorted(names | {name.rpartition(".")[0] for name in replaced})


def _checked(name: str) -> str:
    """Return `name`; raise UsageError unless it is a valid folder name on every operating system."""
    if not _SAFE.fullmatch(name) or name.endswith(".") or is_reserved(name):
        raise UsageError(
            "name in the store",
            expected="at most 100 letters, digits and . _ + @ = -, and no reserved name",
            got=f"'{name}'",
            todo="Choose another name.",
        )
    return name

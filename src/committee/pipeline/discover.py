"""Look through a store: what is whole is listed, what is damaged or half written is named and left out."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from committee.errors import CommitteeError, StoreError
from committee.pipeline.shared.outcome import Outcome, reason
from committee.pipeline.shared.records import ensemble_facts, failures, member_source, model_source
from committee.store.commit import write_json
from committee.store.inside import inside
from committee.store.layout import Store
from committee.store.manifest import PROTOCOL, Manifest, hash_file, read_manifest
from committee.untrusted.documents import read_json

log = logging.getLogger(__name__)

Catalog = dict[str, Any]
MEMBERS = ("checkpoints", "kfold")
NO_ENSEMBLES = ("oof_predictions", "fusion_embeddings")
UNFINISHED = ".resume"


def discover(store: Store) -> Catalog:
    """Look through a store, and write what is found to its `ensembles/ensemble_catalog.json`.

    Returns
    -------
    dict
        As of `look_through`.

    Raises
    ------
    HeldError
        Another process writes to it.
    StoreError
        There is no such folder, or it is not writable.
    """
    require_store(store)
    with store.hold():
        catalog = look_through(store)
        write_json(store.catalog, catalog)
    return catalog


def set_aside(
    catalog: Catalog, outcome: Outcome, *, needed: Collection[str], renewed: Collection[str] = ()
) -> None:
    """Name what a catalog leaves out, once.

    Parameters
    ----------
    catalog : dict
    outcome : Outcome
        What is left out of the folders `needed` counts as failed there; the rest is named in the log, but
        for packages: they are made of what is here, and nothing is made of them.
    needed : collection of str
        Folders of the store.
    renewed : collection of str
        Ensembles that the caller is about to build anew: nobody need be told that they are out of date.
    """
    expected = {f"ensembles/{name}" for name in renewed}
    for path, why in ((entry["path"], entry["reason"]) for entry in catalog["left_out"]):
        if path.partition("/")[0] in needed:
            outcome.fail(path, StoreError(why))
        elif path not in expected and not path.startswith("deploy/"):
            log.warning("left out %s: %s", path, why)


def look_through(store: Store) -> Catalog:
    """Verify all checksums of a store; nothing is written.

    Returns
    -------
    dict
        `members`, `ensembles`, `packages`: what is there and whole, each a list of dicts with a `name`;
        `failed`: members that could not be trained, with the `reason`; `left_out`: what is damaged, half
        written, or built from networks that have changed since, with `path` and `reason`.

    Raises
    ------
    StoreError
        There is no such folder.
    """
    require_store(store)
    look = _Look(store)
    return {
        "protocol": PROTOCOL,
        "members": look.each("checkpoints", look.member) + look.each("kfold", look.without_networks),
        "ensembles": look.each("ensembles", look.ensemble),
        "packages": look.each("deploy", look.package),
        "failed": look.failed,
        "left_out": look.left_out,
    }


def require_store(store: Store) -> None:
    """Raise StoreError unless the folder of the store is there."""
    if not store.root.is_dir():
        raise StoreError(
            str(store.root),
            expected="a store",
            got="no such folder",
            todo="Make one with: committee train RECIPE, or name another with --store.",
        )


class _Look:
    """One walk through a store, which remembers what it had to leave out."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.left_out: list[dict[str, str]] = []
        self.failed = failures(store)
        self._failed = {entry["name"] for entry in self.failed}
        # Many ensembles share members, whose networks are the same for as long as the walk takes.
        self._source = functools.cache(functools.partial(member_source, store))

    def each(self, top: str, describe: Callable[[str], dict[str, Any] | None]) -> list[dict[str, Any]]:
        """Describe all folders of `top`; one that raises is left out."""
        found = []
        for name in _folders(self.store.root / top):
            try:
                entry = describe(name)
            except (CommitteeError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
                self._leave_out(self.store.root / top / name, error)
            else:
                found += [entry] if entry else []
        return found

    def member(self, name: str) -> dict[str, Any] | None:
        """Describe a member all of whose fits and predictions are there and whole."""
        if name in self._failed:
            return None
        before = len(self.left_out)
        fits = self._whole(self.store.checkpoint(name, "refit").parent)
        predictions = self._whole(self.store.kfold(name))
        if len(self.left_out) > before:
            return None
        facts = dict(fits[max(fits)].facts) if fits else {}
        if fits and not {"backbone", "seed", "pretrained"} <= set(facts):
            raise StoreError(name, expected="networks that committee trained", got="others")
        wanted = {f"test_{facts.get('inference')}"} | ({"oof"} if set(fits) - {"refit"} else set())
        if not wanted <= set(predictions):
            raise StoreError(
                name,
                expected="a finished training",
                got=", ".join([*fits, *predictions]) or "no finished fit",
                todo="Run: committee train RECIPE",
            )
        evaluated = self._evaluated(self.store.member_metrics(name))
        there = {"fits": list(fits), "predictions": list(predictions), "evaluated": evaluated}
        return {**facts, "name": name, **there}

    def without_networks(self, name: str) -> None:
        """Leave out predictions whose networks are gone."""
        if name not in self._failed and not (self.store.root / "checkpoints" / name).is_dir():
            raise StoreError(
                name,
                expected="the networks that made these predictions",
                got="none",
                todo="Run: committee train RECIPE, or remove the folder.",
            )

    def ensemble(self, name: str) -> dict[str, Any] | None:
        """Describe an ensemble whose members are those that it was built from."""
        if name in NO_ENSEMBLES:
            return None
        facts = ensemble_facts(self.store, name, self._source)
        listed = {key: facts[key] for key in ("method", "members", "inference", "calibrate", "rows")}
        return {"name": name, **listed, "evaluated": self._evaluated(self.store.ensemble_metrics(name))}

    def package(self, name: str) -> dict[str, Any]:
        """Describe the exported files of a model that is still the one in the store."""
        folder = self.store.deploy(name)
        redo = f"Run: committee export --model-name {name}"
        if not (folder / "checksums.json").is_file():
            raise StoreError(str(folder), expected="a finished export", got="no checksums.json", todo=redo)
        sums = read_json(folder / "checksums.json", "the checksums of an export", redo)
        for file, expected in sums.items():
            if not inside(folder, file).is_file() or hash_file(inside(folder, file)) != expected:
                raise StoreError(
                    str(folder / file),
                    expected="the content that was exported",
                    got="other bytes or none",
                    todo=redo,
                )
        status = read_json(folder / "export_status.json", "the status of an export", redo)
        if status["fingerprint"] != model_source(self.store, name):
            raise StoreError(
                str(folder), expected=f"the {name} that is in the store", got="an earlier one", todo=redo
            )
        return {"name": name, "files": sorted(sums)}

    def _evaluated(self, folder: Path) -> bool:
        return folder.is_dir() and bool(self._whole(folder.parent, only=folder.name))

    def _whole(self, top: Path, only: str = "") -> dict[str, Manifest]:
        """Return the manifests of the stored folders in `top`; one that is not whole is left out."""
        found = {}
        for name in (only,) if only else _folders(top):
            try:
                if not name.endswith(UNFINISHED):
                    found[name] = read_manifest(top / name)
            except StoreError as error:
                self._leave_out(top / name, error)
        return found

    def _leave_out(self, path: Path, error: Exception) -> None:
        where = path.relative_to(self.store.root).as_posix()
        self.left_out.append({"path": where, "reason": reason(error)})


def _folders(top: Path) -> tuple[str, ...]:
    if not top.is_dir():
        return ()
    return tuple(sorted(path.name for path in top.iterdir() if path.is_dir() and path.name[0] != "."))

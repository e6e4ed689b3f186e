"""The catalog of a store: verified members, ensembles and packages, and what is damaged or incomplete."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from committee.errors import CommitteeError, StoreError, missing
from committee.pipeline.importing.files import Files, is_store
from committee.pipeline.layouts.base import LAYOUTS, recognize
from committee.pipeline.shared.outcome import Outcome, reason
from committee.pipeline.shared.records import (
    ensemble_facts,
    failures,
    member_source,
    model_source,
    stored_metrics,
)
from committee.store.commit import write_json
from committee.store.copies import fetch
from committee.store.hashes import hash_file
from committee.store.inside import inside
from committee.store.layout import Store
from committee.store.manifest import PROTOCOL, Manifest, read_manifest
from committee.untrusted.documents import read_json

log = logging.getLogger(__name__)

Catalog = dict[str, Any]
MEMBERS = ("checkpoints", "kfold")
NO_ENSEMBLES = ("oof_predictions", "fusion_embeddings")
UNFINISHED = ".resume"


def discover(store: Store) -> Catalog:
    """Verify a store, and write its catalog to `ensembles/ensemble_catalog.json`.

    Returns
    -------
    dict
        The catalog, as `look_through` returns it.

    Raises
    ------
    HeldError
        Another process is writing to the store.
    StoreError
        The folder does not exist or is not writable.
    """
    require_store(store)
    with store.hold():
        catalog = look_through(store)
        write_json(store.catalog, catalog)
    return catalog


def set_aside(
    catalog: Catalog, outcome: Outcome, *, needed: Collection[str], renewed: Collection[str] = ()
) -> None:
    """Report what a catalog leaves out: as failures of an outcome, or in the log.

    Packages are not reported, since no stage reads them.

    Parameters
    ----------
    catalog : dict
        A catalog from `look_through`.
    outcome : Outcome
        The outcome that gets a failure for each entry of the folders `needed`; the log names other entries.
    needed : collection of str
        Top folders of the store, such as `checkpoints`, that the caller reads.
    renewed : collection of str
        Members and ensembles that the caller or a later stage makes again, and that may therefore be
        unfinished or out of date.
    """
    for path, why in ((entry["path"], entry["reason"]) for entry in catalog["left_out"]):
        top, name = path.split("/")[:2]
        if name in renewed:
            continue
        if top in needed:
            outcome.fail(path, StoreError(why))
        elif top != "deploy":
            log.warning("left out %s: %s", path, why)


def look_through(store: Store) -> Catalog:
    """Verify all checksums of a store, and return its catalog; nothing is written.

    Returns
    -------
    dict
        `members`, imported `predictions`, `ensembles` and `packages`: what is complete and undamaged, as
        lists of dicts with a `name`; `failed`: members that could not be trained, with the `reason`;
        `left_out`: what is damaged, incomplete, or built from networks that have changed since, with `path`
        and `reason`.

    Raises
    ------
    StoreError
        The folder does not exist.
    """
    require_store(store)
    scan = _Scan(store)
    return {
        "protocol": PROTOCOL,
        "members": scan.each("checkpoints", scan.member),
        "predictions": scan.each("kfold", scan.without_networks),
        "ensembles": scan.each("ensembles", scan.ensemble),
        "packages": scan.each("deploy", scan.package),
        "failed": scan.failed,
        "left_out": scan.left_out,
    }


def require_store(store: Store) -> None:
    """Raise StoreError if the folder of the store does not exist, or is what another trainer left."""
    if not store.root.is_dir():
        raise missing(
            StoreError,
            store,
            "Create a store with: committee train RECIPE, or name another with --store.",
            "store",
        )
    if not is_store(store.root) and (found := recognize(Files(store.root))):
        kinds = Counter(str(LAYOUTS.load(model.layout).title) for model in found)
        raise StoreError(
            str(store),
            expected="a store of committee",
            got="models of other trainers: "
            + ", ".join(f"{number} x {kind}" if number > 1 else kind for kind, number in kinds.items()),
            todo=f"Import them into a store: committee import {store} --dry-run",
        )


class _Scan:
    """One pass over a store, which collects what is left out."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.left_out: list[dict[str, str]] = []
        self.failed = failures(store)
        self._failed = {entry["name"] for entry in self.failed}
        # Many ensembles share members, whose networks do not change during the scan.
        self._source = functools.cache(functools.partial(member_source, store))

    def each(self, top: str, describe: Callable[[str], dict[str, Any] | None]) -> list[dict[str, Any]]:
        """Return the descriptions of all folders in `top`; a folder whose description raises is left out."""
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
        """Return the catalog entry of a member, or None if it failed or is damaged."""
        if name in self._failed:
            return None
        before = len(self.left_out)
        fits = self._manifests(self.store.checkpoint(name, "refit").parent)
        predictions = self._manifests(self.store.kfold(name))
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
        evaluated = self._evaluated(stored_metrics(self.store, name))
        stored = {"fits": list(fits), "predictions": list(predictions), "evaluated": evaluated}
        return {**facts, "name": name, **stored}

    def without_networks(self, name: str) -> dict[str, Any] | None:
        """Return the entry of imported predictions; raise StoreError for those of deleted networks."""
        if name in self._failed or (self.store.root / "checkpoints" / name).is_dir():
            return None
        found = self._manifests(self.store.kfold(name))
        if found and all(each.facts.get("imported") for each in found.values()):
            return {"name": name, "predictions": list(found)}
        raise StoreError(
            name,
            expected="the networks that made these predictions",
            got="none",
            todo="Run: committee train RECIPE, or remove the folder.",
        )

    def ensemble(self, name: str) -> dict[str, Any] | None:
        """Return the catalog entry of an ensemble; raise StoreError if its members have changed since."""
        if name in NO_ENSEMBLES:
            return None
        facts = ensemble_facts(self.store, name, self._source)
        listed = {key: facts[key] for key in ("method", "members", "inference", "calibrate", "rows")}
        return {"name": name, **listed, "evaluated": self._evaluated(self.store.ensemble_metrics(name))}

    def package(self, name: str) -> dict[str, Any]:
        """Return the catalog entry of a package; raise StoreError if it is damaged or out of date."""
        folder = self.store.deploy(name)
        redo = f"Run: committee export --model-name {name}"
        if not (folder / "checksums.json").is_file():
            raise StoreError(str(folder), expected="a finished export", got="no checksums.json", todo=redo)
        fetch(folder)
        sums = read_json(folder / "checksums.json", "the checksums of an export", redo)
        for file, expected in sums.items():
            if not inside(folder, file).is_file() or hash_file(inside(folder, file)) != expected:
                raise StoreError(
                    str(folder / file),
                    expected="the exported content",
                    got="other bytes or no file",
                    todo=redo,
                )
        status = read_json(folder / "export_status.json", "the status of an export", redo)
        if status["fingerprint"] != model_source(self.store, name):
            raise StoreError(
                str(folder),
                expected=f"a package of the present {name}",
                got="one of an earlier version",
                todo=redo,
            )
        return {"name": name, "files": sorted(sums)}

    def _evaluated(self, folder: Path) -> bool:
        return folder.is_dir() and bool(self._manifests(folder.parent, only=folder.name))

    def _manifests(self, top: Path, only: str = "") -> dict[str, Manifest]:
        """Return the manifests of the complete and undamaged folders in `top`, by name."""
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

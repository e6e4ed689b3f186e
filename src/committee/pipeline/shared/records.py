"""Records of the members and ensembles of a store, read without building a network."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from committee.errors import StoreError, UsageError
from committee.models.descriptions import MEMBER, provenance_of
from committee.store.layout import Store
from committee.store.manifest import NAME, Manifest, digest, read_manifest, read_whole
from committee.untrusted.documents import build, read_json

INFERENCE = ("refit", "folds")
"""The kinds of deployed networks of a member: the refit, or the networks of the folds."""
RECORD = "ensemble.json"
METRICS = "metrics.json"
REBUILD = "Run: committee build-ensemble"


def ensemble_facts(store: Store, name: str, source: Callable[[str], str] | None = None) -> dict[str, Any]:
    """Return the record of a stored ensemble, after a check of its files and members.

    Parameters
    ----------
    store : Store
    name : str
    source : callable, optional
        Returns the `member_source` of a member; by default it is read from the store.

    Raises
    ------
    StoreError
        A file is damaged, or a member was deleted or trained again after the ensemble was built.
    """
    folder = store.ensemble(name)
    facts = read_whole(folder, lambda whole: read_json(whole / RECORD, "the record of an ensemble", REBUILD))
    return build(
        lambda: _checked(facts, name, source or functools.partial(member_source, store)),
        folder / RECORD,
        "the record of an ensemble",
        REBUILD,
    )


def _checked(facts: dict[str, Any], name: str, find: Callable[[str], str]) -> dict[str, Any]:
    """Return the record, or raise if a key is missing or a member has changed since the build."""
    for member, fingerprint in facts["sources"].items():
        if fingerprint != find(member):
            raise StoreError(
                name, expected=f"the networks of {member} that it was built from", got="others", todo=REBUILD
            )
    for key in ("method", "members", "inference", "calibrate", "rows"):
        facts[key]  # a missing key raises KeyError
    if set(facts["members"]) != set(facts["sources"]) or set(facts["inference"]) != set(facts["members"]):
        raise ValueError("different members under different keys")
    return facts


def member_source(store: Store, member: str) -> str:
    """Return a digest of the inputs of all fits of a member, which changes if any network changes."""
    return digest({fold: _manifest(store, member, fold).fingerprint for fold in store.folds(member)})


def member_facts(store: Store, member: str) -> dict[str, Any]:
    """Return the facts in the manifest of a member: backbone, seed and settings."""
    folds = store.folds(member)
    return dict(_manifest(store, member, folds[-1]).facts) if folds else {}


def metrics_folder(store: Store, name: str) -> Path:
    """Return the folder of the report of a model: under `metrics/ensembles` if it is made of members."""
    return store.ensemble_metrics(name) if _is_made_of_members(store, name) else store.member_metrics(name)


def stored_metrics(store: Store, name: str) -> Path:
    """Return `metrics_folder`, or the folder in which an earlier version stored the report of a member."""
    folder, earlier = metrics_folder(store, name), store.member_metrics(name)
    return earlier if not (folder / NAME).exists() and (earlier / NAME).exists() else folder


def _is_made_of_members(store: Store, name: str) -> bool:
    if name in store.ensembles():
        return True
    try:
        return bool(member_facts(store, name).get("of"))
    except StoreError:
        return False


def provenance(store: Store, member: str) -> dict[str, Any]:
    """Return the provenance of the refit of a member, or of its last fold if it has no refit."""
    folds = store.folds(member)
    return provenance_of(store.checkpoint(member, folds[-1])) if folds else {}


def is_adopted(store: Store, member: str) -> bool:
    """Return whether a stored member was trained elsewhere."""
    return "adopted" in member_facts(store, member)


def is_single_network(store: Store, member: str) -> bool:
    """Return whether a stored member is one network, and not an ensemble or a composite of several."""
    return any((store.checkpoint(member, fold) / MEMBER).is_file() for fold in store.folds(member)[-1:])


def inference_of(facts: Mapping[str, Any]) -> str:
    """Return the kind of deployed networks that the facts of a member name: `refit` or `folds`."""
    return str(facts.get("inference", "refit"))


def deployed_of(store: Store, name: str) -> dict[str, str]:
    """Return the kind of deployed networks of each member of a member or an ensemble."""
    if name in store.ensembles():
        return dict(ensemble_facts(store, name)["inference"])
    return {name: inference_of(member_facts(store, name))}


def deployed_folds(store: Store, member: str, inference: str) -> tuple[str, ...]:
    """Return the names of the fits that are the deployed networks of a member.

    `inference` may also be the name of one fit, such as `fold_0`.

    Raises
    ------
    UsageError
        `inference` is neither `refit` nor `folds`, nor a fit of the member.
    StoreError
        The store has no such networks.
    """
    folds = store.folds(member)
    if inference in folds:
        return (inference,)
    if inference not in INFERENCE:
        raise UsageError("inference", expected="one of refit, folds", got=f"'{inference}'")
    chosen = tuple(fold for fold in folds if fold != "refit" and inference == "folds")
    if not chosen:
        raise StoreError(
            member,
            expected="a refit network" if inference == "refit" else "fold networks",
            got=", ".join(folds) or "no networks",
            todo="Run: committee train",
        )
    return chosen


def _manifest(store: Store, member: str, fold: str) -> Manifest:
    return read_manifest(store.checkpoint(member, fold), verify=False)


def common_inference(deployed: Mapping[str, str]) -> str:
    """Return the kind of deployed networks of all members: `refit`, `folds`, or `mixed` if they differ."""
    kinds = set(deployed.values())
    return kinds.pop() if len(kinds) == 1 else "mixed"


def failure_file(store: Store, member: str) -> Path:
    """Return the path of the file with the reason why a member could not be trained."""
    return store.checkpoint(member, "refit").with_name("failure.json")


def failures(store: Store) -> list[dict[str, Any]]:
    """Return `{"name", "reason"}` of each member that was not trained, by name.

    `unfinished` is true in those for which the time limit of a run is the reason.
    """
    files = sorted((store.root / "checkpoints").glob("[!.]*/failure.json"))
    return [{"name": file.parent.name, **_why(file)} for file in files]


def _why(file: Path) -> dict[str, Any]:
    try:
        found = read_json(file, "the reason of a failure")
        return {"reason": str(found["reason"]), **({"unfinished": True} if found.get("unfinished") else {})}
    except (StoreError, KeyError):
        return {"reason": f"{file.name} is damaged: train the member again"}


def model_source(store: Store, name: str) -> str:
    """Return a digest of the inputs of a member or an ensemble, including those of its members."""
    if not (store.ensemble(name) / NAME).is_file():
        return member_source(store, name)
    manifest = read_manifest(store.ensemble(name), verify=False)
    return digest(
        [manifest.fingerprint, [member_source(store, member) for member in manifest.facts["members"]]]
    )

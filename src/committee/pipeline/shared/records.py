"""What a store says about its members and ensembles, read without building a network."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from committee.errors import StoreError, UsageError
from committee.models.ensemble import provenance_of
from committee.store.layout import Store
from committee.store.manifest import NAME, Manifest, digest, read_manifest, read_whole
from committee.untrusted.documents import build, read_json

SPEAKS = ("refit", "folds")
RECORD = "ensemble.json"
METRICS = "metrics.json"
REBUILD = "Run: committee build-ensemble"


def ensemble_facts(store: Store, name: str, source: Callable[[str], str] | None = None) -> dict[str, Any]:
    """Return the record of a stored ensemble, checked against the checksums and its members.

    Parameters
    ----------
    store : Store
    name : str
    source : callable, optional
        Member -> its `member_source`, where the caller knows it.

    Raises
    ------
    StoreError
        A file is damaged, a member is gone, or was trained again since.
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
    """Return the facts, if they are all there, and the members are those that they were when it was built."""
    for member, fingerprint in facts["sources"].items():
        if fingerprint != find(member):
            raise StoreError(
                name, expected=f"the networks of {member} that it was built from", got="others", todo=REBUILD
            )
    for key in ("method", "members", "inference", "calibrate", "rows"):
        facts[key]
    if set(facts["members"]) != set(facts["sources"]) or set(facts["inference"]) != set(facts["members"]):
        raise ValueError("members that do not agree")
    return facts


def member_source(store: Store, member: str) -> str:
    """Return one digest of what made all networks of a member; another digest means other networks."""
    return digest({fold: _manifest(store, member, fold).fingerprint for fold in store.folds(member)})


def member_facts(store: Store, member: str) -> dict[str, Any]:
    """Return what the manifest of a member's networks says: backbone, seed, settings."""
    folds = store.folds(member)
    return dict(_manifest(store, member, folds[-1]).facts) if folds else {}


def provenance(store: Store, member: str) -> dict[str, Any]:
    """Return what was written down when a member's network was made; of folds alone, of the last."""
    folds = store.folds(member)
    return provenance_of(store.checkpoint(member, folds[-1])) if folds else {}


def is_adopted(store: Store, member: str) -> bool:
    """Return whether a stored member was trained elsewhere."""
    return "adopted" in member_facts(store, member)


def deployed_folds(store: Store, member: str, inference: str) -> tuple[str, ...]:
    """Return the names of the fits that answer for a member.

    Raises
    ------
    UsageError
        `speaks` is neither word.
    StoreError
        The store lacks those networks.
    """
    if inference not in SPEAKS:
        raise UsageError("inference", expected="one of refit, folds", got=f"'{inference}'")
    there = store.folds(member)
    chosen = tuple(fold for fold in there if (fold == "refit") == (inference == "refit"))
    if not chosen:
        raise StoreError(
            member,
            expected="a refit network" if inference == "refit" else "fold networks",
            got=", ".join(there) or "no networks",
            todo="Run: committee train",
        )
    return chosen


def _manifest(store: Store, member: str, fold: str) -> Manifest:
    return read_manifest(store.checkpoint(member, fold), verify=False)


def common_inference(deployed: Mapping[str, str]) -> str:
    """Return the word for which networks speak when members may differ: `refit`, `folds` or `mixed`."""
    words = set(deployed.values())
    return words.pop() if len(words) == 1 else "mixed"


def failure_file(store: Store, member: str) -> Path:
    """Return where the reason is kept why a member could not be trained."""
    return store.checkpoint(member, "refit").with_name("failure.json")


def failures(store: Store) -> list[dict[str, Any]]:
    """Return `{"name", "reason"}` of each member that could not be trained, by name."""
    files = sorted((store.root / "checkpoints").glob("[!.]*/failure.json"))
    return [{"name": file.parent.name, "reason": _why(file)} for file in files]


def _why(file: Path) -> str:
    try:
        return str(read_json(file, "the reason of a failure")["reason"])
    except (StoreError, KeyError):
        return f"{file.name} is damaged: train it again"


def model_source(store: Store, name: str) -> str:
    """Return one digest of what made a member or an ensemble, its members included."""
    if not (store.ensemble(name) / NAME).is_file():
        return member_source(store, name)
    made = read_manifest(store.ensemble(name), verify=False)
    return digest([made.fingerprint, [member_source(store, member) for member in made.facts["members"]]])

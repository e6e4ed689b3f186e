"""Take a member or an ensemble out of a store, as the module that predicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from committee.combiners.base import load as load_combiner
from committee.models.ensemble import Ensemble, folds_member
from committee.models.ensemble import load as load_saved
from committee.pipeline.shared.records import ensemble_facts, member_facts, one_voice, speaking_folds
from committee.store.layout import Store
from committee.store.manifest import read_whole


def load_model(
    store: Store, name: str, *, speaks: str | None = None, trusted: bool | Collection[str] = ()
) -> tuple[nn.Module, dict[str, Any]]:
    """Load a stored member or ensemble.

    Parameters
    ----------
    store : Store
        Where to look.
    name : str
        Name of a member or an ensemble; a method's short name will do.
    speaks : {"refit", "folds"}, optional
        Which networks of each member answer. Left out: those the ensemble was built for, or the recipe that
        trained the member asked for.
    trusted : bool or collection of str
        The `python:` backbones that may be built: those that the recipe of this run names. True is all.

    Returns
    -------
    module : torch.nn.Module
        Images uint8 `[B, c, H, W]` -> logits `[B, C]`; in evaluation mode.
    facts : dict
        `name`, `kind` (`member` or `ensemble`), `speaks`, `class_names`; a member's `backbone`, an ensemble's
        `method`, `members`, `calibrate` and `rows`.

    Raises
    ------
    UnknownNameError
        The store has no such name.
    StoreError
        A file is damaged, or a member was trained again after the ensemble was built.
    """
    full = store.resolve(name)
    if full in store.ensembles():
        return _ensemble(store, full, speaks, trusted)
    return _member(store, full, speaks, trusted)


def _member(
    store: Store, name: str, speaks: str | None, trusted: bool | Collection[str]
) -> tuple[nn.Module, dict[str, Any]]:
    facts = member_facts(store, name)
    speaks = speaks or str(facts.get("inference", "refit"))
    networks = [
        load_network(store.checkpoint(name, fold), trusted) for fold in speaking_folds(store, name, speaks)
    ]
    module = networks[0] if speaks == "refit" else folds_member(networks, name)
    return module.eval(), {
        **facts, "name": name, "kind": "member", "speaks": speaks,
        "class_names": list(networks[0].class_names),
    }  # fmt: skip


def load_network(folder: Path, trusted: bool | Collection[str] = ()) -> Any:
    """Load one fit of a member from its folder in a store, most often one network; see `load_model`.

    Returns
    -------
    Member, Ensemble or Composite

    Raises
    ------
    StoreError
        A file is damaged.
    """
    return read_whole(folder, lambda whole: load_saved(whole, trusted=trusted))


def _ensemble(
    store: Store, name: str, speaks: str | None, trusted: bool | Collection[str]
) -> tuple[nn.Module, dict[str, Any]]:
    facts = ensemble_facts(store, name)
    voices: Mapping[str, str] = {member: speaks or voice for member, voice in facts["speaks"].items()}
    modules = [_member(store, member, voices[member], trusted)[0] for member in facts["members"]]
    combiner = read_whole(store.ensemble(name), load_combiner)
    # The rule was fitted on classes in this order; a member that was adopted may have another.
    ensemble = Ensemble(
        modules, combiner, names=facts["members"], class_names=facts["class_names"], name=name
    )
    return ensemble.eval(), {
        **facts, "name": name, "kind": "ensemble", "speaks": one_voice(voices),
        "class_names": list(ensemble.class_names),
    }  # fmt: skip

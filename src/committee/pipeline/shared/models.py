"""Take a member or an ensemble out of a store, as the module that predicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from committee.combiners.base import load as load_combiner
from committee.models.ensemble import Ensemble, folds_member
from committee.models.ensemble import load as load_saved
from committee.pipeline.shared.records import common_inference, deployed_folds, ensemble_facts, member_facts
from committee.store.layout import Store
from committee.store.manifest import read_whole


def load_model(
    store: Store, name: str, *, inference: str | None = None, trusted: bool | Collection[str] = ()
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
        return _ensemble(store, full, inference, trusted)
    return _member(store, full, inference, trusted)


def _member(
    store: Store, name: str, inference: str | None, trusted: bool | Collection[str]
) -> tuple[nn.Module, dict[str, Any]]:
    facts = member_facts(store, name)
    inference = inference or str(facts.get("inference", "refit"))
    networks = [
        load_network(store.checkpoint(name, fold), trusted) for fold in deployed_folds(store, name, inference)
    ]
    module = networks[0] if inference == "refit" else folds_member(networks, name)
    return module.eval(), {
        **facts,
        "name": name,
        "kind": "member",
        "inference": inference,
        "class_names": list(networks[0].class_names),
    }


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
    store: Store, name: str, inference: str | None, trusted: bool | Collection[str]
) -> tuple[nn.Module, dict[str, Any]]:
    facts = ensemble_facts(store, name)
    deployed: Mapping[str, str] = {member: inference or own for member, own in facts["inference"].items()}
    modules = [_member(store, member, deployed[member], trusted)[0] for member in facts["members"]]
    combiner = read_whole(store.ensemble(name), load_combiner)
    # The rule was fitted on classes in this order; a member that was adopted may have another.
    ensemble = Ensemble(
        modules, combiner, names=facts["members"], class_names=facts["class_names"], name=name
    )
    return ensemble.eval(), {
        **facts,
        "name": name,
        "kind": "ensemble",
        "inference": common_inference(deployed),
        "class_names": list(ensemble.class_names),
    }

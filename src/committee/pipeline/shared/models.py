"""Loading of stored members and ensembles as PyTorch modules."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from committee.combiners.base import load as load_combiner
from committee.models.ensemble import Ensemble, folds_member
from committee.models.stored import load_network
from committee.pipeline.shared.records import (
    common_inference,
    deployed_folds,
    ensemble_facts,
    inference_of,
    member_facts,
)
from committee.store.layout import Store
from committee.store.manifest import read_whole


def load_model(
    store: Store | str | Path,
    name: str,
    *,
    inference: str | None = None,
    trusted: bool | Collection[str] = (),
) -> tuple[nn.Module, dict[str, Any]]:
    """Load a stored member or ensemble.

    Parameters
    ----------
    store : Store, str or Path
        The store, or its folder.
    name : str
        Full or short name of a member or an ensemble.
    inference : {"refit", "folds"} or name of a fit, optional
        The deployed networks of each member, or one fit of each, such as `fold_0`. The default is that of the
        ensemble, or of the recipe that trained the member.
    trusted : bool or collection of str
        The `python:` backbones that may be built; True allows all of them.

    Returns
    -------
    module : torch.nn.Module
        Images uint8 `[B, c, H, W]` -> logits `[B, C]`; in evaluation mode.
    facts : dict
        `name`, `kind` (`member` or `ensemble`), `inference`, `class_names`; the `backbone` of a member; the
        `method`, `members`, `calibrate` and `rows` of an ensemble.

    Raises
    ------
    UnknownNameError
        The store has no such name.
    StoreError
        A file is damaged, or a member was trained again after the ensemble was built.
    """
    store = Store.of(store)
    full = store.resolve(name)
    if full in store.ensembles():
        return _ensemble(store, full, inference, trusted)
    return _member(store, full, inference, trusted, {})


def _member(
    store: Store,
    name: str,
    inference: str | None,
    trusted: bool | Collection[str],
    known: dict[str, nn.Module],
) -> tuple[nn.Module, dict[str, Any]]:
    facts = member_facts(store, name)
    inference = inference or inference_of(facts)
    networks = [
        load_network(store.checkpoint(name, fold), trusted, known)
        for fold in deployed_folds(store, name, inference)
    ]
    module = folds_member(networks, name) if inference == "folds" else networks[0]
    return module.eval(), {
        **facts,
        "name": name,
        "kind": "member",
        "inference": inference,
        "class_names": list(networks[0].class_names),
    }


def _ensemble(
    store: Store, name: str, inference: str | None, trusted: bool | Collection[str]
) -> tuple[nn.Module, dict[str, Any]]:
    facts = ensemble_facts(store, name)
    deployed: Mapping[str, str] = {
        member: inference or stored for member, stored in facts["inference"].items()
    }
    known: dict[str, nn.Module] = {}
    modules = [_member(store, member, deployed[member], trusted, known)[0] for member in facts["members"]]
    combiner = read_whole(store.ensemble(name), load_combiner)
    # The combiner was fitted on this order of classes; adopted members may have another one.
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

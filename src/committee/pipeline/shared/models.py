"""Loading of stored members and ensembles as PyTorch modules."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import nn

from committee.base.free_memory import free_memory
from committee.combiners.base import load as load_combiner
from committee.models.ensemble import Ensemble, folds_member
from committee.models.member import WEIGHTS
from committee.models.stored import load_network
from committee.models.streamed import Shelf, Streamed
from committee.pipeline.shared.records import (
    common_inference,
    deployed_folds,
    ensemble_facts,
    inference_of,
    member_facts,
)
from committee.store.layout import Store
from committee.store.manifest import read_manifest, read_whole

log = logging.getLogger(__name__)


def load_model(
    store: Store | str | Path,
    name: str,
    *,
    inference: str | None = None,
    trusted: bool | Collection[str] = (),
    stream: bool = False,
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
    stream : bool
        Whether the networks are loaded when they run, one after the other, and released afterwards, so that
        an ensemble may be larger than memory. `predict` then runs each network on many images before the next
        one, which is loaded meanwhile. Each is loaded once here, to verify its files.

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

    Examples
    --------
    >>> import committee
    >>> model, facts = committee.load_model("store", "soft_voting")  # doctest: +SKIP
    >>> probabilities = model.predict(["cat.jpg"])  # doctest: +SKIP
    >>> facts["class_names"][probabilities[0].argmax()]  # doctest: +SKIP
    'cat'
    """
    store = Store.of(store)
    full, known, shelf = store.resolve(name), dict[str, nn.Module](), Shelf()

    def load(folder: Path) -> nn.Module:
        if stream:
            return Streamed(partial(load_network, folder, trusted), shelf)
        found: nn.Module = load_network(folder, trusted, known)
        return found

    if full in store.ensembles():
        return _ensemble(store, full, inference, load)
    module, facts = _member(store, full, inference, load)
    return shelf.get(0) if isinstance(module, Streamed) else module, facts  # one network stays in memory


def weights_bytes(store: Store, name: str) -> int:
    """Return the size of the files of the deployed networks of a stored member or ensemble."""
    full = store.resolve(name)
    if full in store.ensembles():
        deployed: Mapping[str, str] = ensemble_facts(store, full)["inference"]
    else:
        deployed = {full: inference_of(member_facts(store, full))}
    folders = (
        store.checkpoint(member, fold)
        for member, inference in deployed.items()
        for fold in deployed_folds(store, member, inference)
    )
    files = (item for folder in folders for item in read_manifest(folder, verify=False).files.items())
    return sum(facts["size"] for name, facts in files if PurePosixPath(name).name == WEIGHTS)


def is_too_large(store: Store, name: str, device: torch.device) -> bool:
    """Return whether the networks of a stored model do not fit in free memory; the log says so."""
    is_cuda = device.type == "cuda"
    free = torch.cuda.mem_get_info(device)[0] if is_cuda else free_memory()
    if free is None or (size := weights_bytes(store, name)) < free:
        return False
    log.warning(
        "%s: its networks have %.1f GB, and %.1f GB of memory are free: they are loaded one after the other",
        *(name, size / 1e9, free / 1e9),
    )
    return True


def _member(
    store: Store, name: str, inference: str | None, load: Callable[[Path], nn.Module]
) -> tuple[nn.Module, dict[str, Any]]:
    facts = member_facts(store, name)
    inference = inference or inference_of(facts)
    networks: list[Any] = [
        load(store.checkpoint(name, fold)) for fold in deployed_folds(store, name, inference)
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
    store: Store, name: str, inference: str | None, load: Callable[[Path], nn.Module]
) -> tuple[nn.Module, dict[str, Any]]:
    facts = ensemble_facts(store, name)
    deployed: Mapping[str, str] = {
        member: inference or stored for member, stored in facts["inference"].items()
    }
    modules = [_member(store, member, deployed[member], load)[0] for member in facts["members"]]
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

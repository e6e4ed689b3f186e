"""Whether the disk has room for what a run is about to write: a night is long, and a full disk ends it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from committee.models.member import Member
from committee.store.disk import free_bytes, in_words
from committee.store.layout import Store
from committee.training.crossfit.crossfit import fit_names
from committee.training.plans._of_backbone import OfBackbone

log = logging.getLogger(__name__)

STATES = 8
"""Copies of the weights that an unfinished fit keeps: two states, each with optimizer and average."""


def warn_of_room(plans: Sequence[OfBackbone], store: Store) -> None:
    """Say at the start when the weights that are missing will hardly fit on the store's disk."""
    needed = sum(_bytes_missing(plan) for plan in plans)
    free = free_bytes(store.root)
    if needed > free:
        log.warning(
            "%s: about %s will be written, and its disk has %s free",
            store.root,
            in_words(needed),
            in_words(free),
        )


def _bytes_missing(plan: OfBackbone) -> int:
    missing = max(0, len(fit_names(plan)) - len(plan.store.folds(plan.name)))
    networks = plan.networks + len(plan.others)
    return _weights_bytes(plan) * (missing * networks + STATES) if missing else 0


def _weights_bytes(plan: OfBackbone) -> int:
    """Return the size of a network, built without memory; 0 where that fails, which the fit will explain."""
    spec, dataset = plan.spec, plan.dataset
    try:
        with torch.device("meta"):
            member = Member.build(
                spec.backbone,
                classes=dataset.class_names,
                size=spec.img_size,
                channels=dataset.channels,
                name=spec.name,
                trusted=True,
            )
    except Exception:
        return 0
    tensors = [*member.parameters(), *member.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

"""Check of the free disk space before a run."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from committee.backbones.stored_weights import WithoutValues
from committee.store.disk import free_bytes, in_words
from committee.store.layout import Store
from committee.training.crossfit.crossfit import fit_names
from committee.training.fit.start import untrained
from committee.training.plans.shared.of_backbone import OfBackbone

log = logging.getLogger(__name__)

STATES = 8
"""Size of the state of an unfinished fit, in copies of the weights: two states with optimizer and average."""


def warn_of_disk_space(plans: Sequence[OfBackbone], store: Store) -> None:
    """Log a warning if the weights that are still to be trained exceed the free space on the disk."""
    needed = sum(_bytes_missing(plan) for plan in plans)
    free = free_bytes(store.root)
    if needed > free:
        log.warning(
            "%s: about %s will be written, but the disk has only %s free",
            store,
            in_words(needed),
            in_words(free),
        )


def _bytes_missing(plan: OfBackbone) -> int:
    missing = max(0, len(fit_names(plan)) - len(plan.store.folds(plan.name)))
    networks = plan.networks + len(plan.others)
    return _weights_bytes(plan) * (missing * networks + STATES) if missing else 0


def _weights_bytes(plan: OfBackbone) -> int:
    """Return the size of a network; 0 if it cannot be built, since its fit reports the reason."""
    try:
        with torch.device("meta"), WithoutValues():
            member = untrained(plan.spec, plan.dataset)
    except Exception:
        return 0
    tensors = [*member.parameters(), *member.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

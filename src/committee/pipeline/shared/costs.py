"""What models cost: each network is timed alone, with no other in memory, and the times are added up."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.combiners.base import Combiner
from committee.combiners.soft_voting import SoftVoting
from committee.images.view import View, canvas_size
from committee.models.ensemble import views_of
from committee.models.measure import call_times, parameters, size_mb
from committee.pipeline.shared.models import load_network
from committee.pipeline.shared.records import deployed_folds
from committee.store.layout import Store


@dataclass(frozen=True, eq=False)
class _Part:
    """One network, or one combiner."""

    times: NDArray[np.float64]
    size_mb: float
    parameters: int
    classes: int


class Costs:
    """Time, size and parameters of members and ensembles, as they answer one call.

    Networks of an ensemble run one after the other. So each is loaded, timed and let go, and the k-th call of
    the whole is the sum of the k-th calls of its parts: an ensemble of any number of members needs the memory
    of one. A network that takes part in several models is timed once for each size of image.

    Parameters
    ----------
    store : Store
    batch : int
        Images a call.
    device : torch.device
        Where the networks run.
    trusted : collection of str
        The `python:` backbones that may be built.
    """

    def __init__(self, store: Store, batch: int, device: torch.device, trusted: Collection[str]) -> None:
        self.store, self.batch, self.device, self.trusted = store, batch, device, trusted
        self._networks: dict[tuple[Path, tuple[int, ...]], _Part] = {}

    def of(self, deployed: Mapping[str, str], combiner: Combiner | None = None) -> dict[str, Any]:
        """Return `latency_ms`, `size_mb` and `parameters` of members, and of the combiner of their answers.

        Parameters
        ----------
        voices : mapping of str to str
            Which networks of each member answer: `refit` or `folds`.
        combiner : Combiner, optional
            Left out: of the one member alone.

        Raises
        ------
        StoreError
            A network is gone or damaged.
        """
        networks = {
            name: [self.store.checkpoint(name, fold) for fold in deployed_folds(self.store, name, inference)]
            for name, inference in deployed.items()
        }
        folders = [folder for each in networks.values() for folder in each]
        views = [view for folder in folders for view in views_of(folder)]
        shape = _image_shape(views)
        parts = [self._network(folder, shape) for folder in folders]
        pools = [(SoftVoting(), len(networks[name])) for name in deployed if deployed[name] == "folds"]
        classes = parts[0].classes
        parts += [self._vote(rule, answers, classes) for rule, answers in pools]
        if combiner is not None:
            parts.append(self._vote(combiner, len(deployed), classes))
        times = np.sum([part.times for part in parts], axis=0)
        return {
            "latency_ms": {
                "median": float(np.median(times)),
                "p95": float(np.percentile(times, 95)),
                "batch": self.batch,
                "image": list(shape),
                "networks": len(views),
                "device": self.device.type,
                "threads": torch.get_num_threads(),
            },
            "size_mb": sum(part.size_mb for part in parts),
            "parameters": sum(part.parameters for part in parts),
        }

    def _network(self, folder: Path, shape: tuple[int, int, int]) -> _Part:
        key = folder, shape
        if key not in self._networks:
            generator = torch.Generator().manual_seed(0)
            images = torch.randint(0, 256, (self.batch, *shape), dtype=torch.uint8, generator=generator)
            network = load_network(folder, self.trusted).to(self.device)
            times = call_times(network, images.to(self.device))
            self._networks[key] = _Part(
                times, size_mb(network), parameters(network), len(network.class_names)
            )
        return self._networks[key]

    def _vote(self, combiner: Combiner, answers: int, classes: int) -> _Part:
        rule = copy.deepcopy(combiner).to(self.device)  # the caller's own goes on where it is
        logits = torch.zeros(answers, self.batch, classes, device=self.device)
        return _Part(call_times(rule, logits), size_mb(rule), parameters(rule), classes)


def _image_shape(views: Sequence[View]) -> tuple[int, int, int]:
    """Return `(c, S, S)` of images as large as the cached ones of the largest network."""
    side = max(canvas_size(view.size, view.fit) for view in views)
    return views[0].channels, side, side

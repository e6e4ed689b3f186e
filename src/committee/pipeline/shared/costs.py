"""Latency, size and number of parameters of models, as sums over networks that are measured one by one."""

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
from committee.models.stored import load_network
from committee.pipeline.shared.records import deployed_folds
from committee.store.layout import Store


@dataclass(frozen=True, eq=False)
class _Part:
    """Measurements of one network or one combiner."""

    times: NDArray[np.float64]
    size_mb: float
    parameters: int
    classes: int


class Costs:
    """Latency, size and number of parameters of members and ensembles.

    The networks of an ensemble run one after the other. Each is loaded, timed and released, and the k-th
    latency of an ensemble is the sum of the k-th latencies of its parts, so the measurement needs the memory
    of one network only. A network of several models is timed once for each image size.

    Parameters
    ----------
    store : Store
    batch : int
        Images per call.
    device : torch.device
        The device on which the networks run.
    trusted : collection of str
        The `python:` backbones that may be built.
    """

    def __init__(self, store: Store, batch: int, device: torch.device, trusted: Collection[str]) -> None:
        self.store, self.batch, self.device, self.trusted = store, batch, device, trusted
        self._networks: dict[tuple[Path, tuple[int, ...]], _Part] = {}

    def of(self, deployed: Mapping[str, str], combiner: Combiner | None = None) -> dict[str, Any]:
        """Return `latency_ms`, `size_mb` and `parameters` of members together with their combiner.

        Parameters
        ----------
        deployed : mapping of str to str
            The deployed networks of each member: `refit` or `folds`.
        combiner : Combiner, optional
            The combiner of the members; None for a single member.

        Raises
        ------
        StoreError
            A network does not exist or is damaged.
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
        parts += [self._combiner(pool, members, classes) for pool, members in pools]
        if combiner is not None:
            parts.append(self._combiner(combiner, len(deployed), classes))
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

    def _combiner(self, combiner: Combiner, members: int, classes: int) -> _Part:
        moved = copy.deepcopy(combiner).to(self.device)  # `to` would move the caller's combiner
        logits = torch.zeros(members, self.batch, classes, device=self.device)
        return _Part(call_times(moved, logits), size_mb(moved), parameters(moved), classes)


def _image_shape(views: Sequence[View]) -> tuple[int, int, int]:
    """Return the shape `(c, S, S)` of the cached images of the network with the largest input."""
    side = max(canvas_size(view.size, view.fit) for view in views)
    return views[0].channels, side, side

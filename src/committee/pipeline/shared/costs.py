"""Latency, size and number of parameters of models, as sums over parts that are measured one by one."""

from __future__ import annotations

import copy
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.combiners.base import Combiner
from committee.combiners.soft_voting import SoftVoting
from committee.images.view import View, canvas_size
from committee.models.batch import Batch, resizing
from committee.models.ensemble import views_of
from committee.models.measure import call_times, parameters, size_mb
from committee.models.stored import load_network
from committee.pipeline.shared.photo import Photo, photo_of
from committee.pipeline.shared.records import deployed_folds
from committee.store.layout import Store

Times = NDArray[np.float64]
Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class _Part:
    """Measurements of one network or one combiner, without the resizing of images."""

    times: Times
    size_mb: float
    parameters: int
    classes: int
    views: tuple[View, ...] = ()


class Costs:
    """Latency, size and number of parameters of members and ensembles.

    The networks of an ensemble run one after the other, and those with the same `View` share the resized
    images. So the k-th latency of an ensemble is the sum of the k-th latencies of its distinct resizings, its
    networks and its combiners. Each part is loaded, timed and released, so the measurement needs the memory
    of one network only.

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
        self._networks: dict[Path, _Part] = {}
        self._resized: dict[tuple[Hashable, Shape], Times] = {}

    @cached_property
    def photo(self) -> Photo:
        """The size of the images that are timed."""
        return photo_of(self.store)

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
        parts = [self._network(folder) for folder in folders]
        views = {resizing(view): view for part in parts for view in part.views}
        pools = [(SoftVoting(), len(networks[name])) for name in deployed if deployed[name] == "folds"]
        classes = parts[0].classes
        parts += [self._combiner(pool, members, classes) for pool, members in pools]
        if combiner is not None:
            parts.append(self._combiner(combiner, len(deployed), classes))
        times = np.sum([part.times for part in parts], axis=0)
        count = sum(len(views_of(folder)) for folder in folders)
        return {
            "latency_ms": {**self._latency(times, list(views.values())), "networks": count},
            "size_mb": sum(part.size_mb for part in parts),
            "parameters": sum(part.parameters for part in parts),
        }

    def _latency(self, times: Times, views: Sequence[View]) -> dict[str, Any]:
        """Return the latency for photos and for images of the size of the networks' inputs."""
        channels = views[0].channels
        side = max(canvas_size(view.size, view.fit) for view in views)
        return {
            **self._for_shape((channels, self.photo.height, self.photo.width), times, views),
            "image_of": self.photo.origin,
            "network_sized": self._for_shape((channels, side, side), times, views),
            "batch": self.batch,
            "device": self.device.type,
            "threads": torch.get_num_threads(),
        }

    def _for_shape(self, shape: Shape, times: Times, views: Sequence[View]) -> dict[str, Any]:
        resized = [self._resizing(view, shape) for view in views]
        total = np.sum([times, *resized], axis=0)
        return {
            "median": float(np.median(total)),
            "p95": float(np.percentile(total, 95)),
            "image": list(shape),
            "resizing": {
                f"{view.size} px {view.fit}": float(np.median(each))
                for view, each in zip(views, resized, strict=True)
            },
        }

    def _resizing(self, view: View, shape: Shape) -> Times:
        """Return the times in which a view resizes a batch of images: those of one image, times the batch."""
        key = resizing(view), shape
        if key not in self._resized:
            self._resized[key] = self.batch * call_times(_Resize(view), self._images(1, shape), warmup=1)
        return self._resized[key]

    def _network(self, folder: Path) -> _Part:
        if folder not in self._networks:
            network = load_network(folder, self.trusted).to(self.device)
            views = tuple(part for part in network.modules() if isinstance(part, View))
            # The size of the images does not matter, since they are resized before the measurement.
            side = max(view.size for view in views)
            batch = Batch(self._images(self.batch, (views[0].channels, side, side)))
            times = call_times(network, batch if network.takes_batches else batch.images)
            self._networks[folder] = _Part(
                times, size_mb(network), parameters(network), len(network.class_names), views
            )
        return self._networks[folder]

    def _combiner(self, combiner: Combiner, members: int, classes: int) -> _Part:
        moved = copy.deepcopy(combiner).to(self.device)  # `to` would move the caller's combiner
        logits = torch.zeros(members, self.batch, classes, device=self.device)
        return _Part(call_times(moved, logits), size_mb(moved), parameters(moved), classes)

    def _images(self, count: int, shape: Shape) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
        return images.to(self.device)


class _Resize(nn.Module):
    """The part of a view that networks share."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def forward(self, images: Tensor) -> Tensor:
        return self.view.cut(images)

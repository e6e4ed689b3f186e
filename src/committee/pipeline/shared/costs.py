"""Latency, size and number of parameters of models, as sums over parts that are measured one by one."""

from __future__ import annotations

import copy
import logging
import os
import platform
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from committee.combiners.base import Combiner
from committee.combiners.soft_voting import SoftVoting
from committee.errors import CommitteeError
from committee.images.view import View
from committee.models.batch import Batch, resizing
from committee.models.ensemble import views_of
from committee.models.measure import call_times, parameters, size_mb
from committee.models.predictor import Images
from committee.models.stored import load_network
from committee.models.timing import STEADY, Times, Timing, interleaved, quantiles
from committee.pipeline.shared.network_files import (
    CALLS,
    FORMAT,
    RUNTIMES,
    can_run_files,
    measure_file,
    network_file,
)
from committee.pipeline.shared.photo import Photo, photo_of
from committee.pipeline.shared.records import deployed_folds, member_facts
from committee.store.layout import Store

log = logging.getLogger(__name__)

Shape = tuple[int, int, int]
EAGER = "torch"
EXPECTED = "median: each network times the share of the images that need it; p95: all networks run"
CROPS = "crops as in training"
"""What images of networks of maps are, which take the longer the larger an image is."""
AGAIN, PARTS = 3, 4
"""Largest number of rounds of calls of a part that torch runs, and parts of these calls that are compared."""


@dataclass(frozen=True, eq=False)
class _Part:
    """Measurements of one network or one combiner, without the resizing of images."""

    times: Times
    size_mb: float
    parameters: int
    classes: int
    views: tuple[View, ...] = ()
    spread: float = 0.0
    runtime: str = EAGER


class Costs:
    """Latency, size and number of parameters of members and ensembles.

    The networks of an ensemble run one after the other, and those with the same `View` share the resized
    images. So the latency of an ensemble is the sum of the latencies of its distinct resizings, its networks
    and its combiners, quantile by quantile. Each part is loaded, timed and released, so the measurement needs
    the memory of one network only. Several views by one network are timed one by one, and its weights count
    once.

    Parameters
    ----------
    store : Store
    batch : int
        Images per call.
    device : torch.device
        The device on which the networks run.
    trusted : collection of str
        The `python:` backbones that may be built.
    files : bool
        Whether networks are timed as exported files, in turns, and again if their rounds differ. Each is
        exported once and kept in the cache of the store; a damaged file is written again. Combiners are timed
        in torch. A network whose file cannot be written or run is timed in torch: the log gives the reason,
        and the latency of its models names it (`in_torch`).

    See Also
    --------
    committee.models.timing.interleaved : The rounds of measurements.
    """

    def __init__(
        self,
        store: Store,
        batch: int,
        device: torch.device,
        trusted: Collection[str],
        files: bool = False,
    ) -> None:
        self.store, self.batch, self.device, self.trusted = store, batch, device, trusted
        self.runtime = RUNTIMES[FORMAT] if files and can_run_files() else EAGER
        if files and self.runtime == EAGER:
            log.warning(
                "Latencies are those of torch, since files cannot be timed without onnxruntime. "
                "Install it with: pip install 'committee[onnx]'"
            )
        self.setting = [batch, str(device), self.runtime, platform.node(), torch.get_num_threads()]
        """What determines the measurements, beside the models."""
        self._networks: dict[Path, _Part] = {}
        self._resized: dict[tuple[Hashable, Shape], Times] = {}
        self._of_files = set[Hashable]()

    @cached_property
    def photo(self) -> Photo:
        """The size of the images that are timed."""
        return photo_of(self.store)

    def measure(self, models: Iterable[Mapping[str, str]]) -> None:
        """Measure the networks of several models together, in turns; `of` measures those that are left.

        Parameters
        ----------
        models : iterable of mappings of str to str
            The deployed networks of the members of each model, as for `of`.
        """
        if self.runtime == EAGER:
            return
        found = [
            folder for deployed in models for each in self._folders(deployed).values() for folder in each
        ]
        folders = [folder for folder in dict.fromkeys(found) if folder not in self._networks]
        files = dict[Path, Path]()
        for folder in folders:
            try:
                files[folder] = network_file(self.store, folder, self.trusted)
            except CommitteeError as error:
                _warn(folder, error)
        self._time_files(files)

    def of(
        self,
        deployed: Mapping[str, str],
        combiner: Combiner | None = None,
        used: Mapping[str, float] | None = None,
    ) -> dict[str, Any]:
        """Return `latency_ms`, `size_mb` and `parameters` of members together with their combiner.

        Parameters
        ----------
        deployed : mapping of str to str
            The deployed networks of each member: `refit` or `folds`.
        combiner : Combiner, optional
            The combiner of the members; None for a single member.
        used : mapping of str to float, optional
            The share of the images for which each member is evaluated. `median` is then the expected latency:
            each network counts with its share. `p95` is that of an image that needs all networks.

        Raises
        ------
        StoreError
            A network does not exist or is damaged.
        """
        self.measure([deployed])
        networks = self._folders(deployed)
        folders = [folder for each in networks.values() for folder in each]
        parts = [self._network(folder) for folder in folders]
        shared = self._sharing(deployed)
        views = {resizing(view): view for part in parts for view in part.views}
        shares = [
            1.0 if used is None else used.get(name, 1.0) for name, each in networks.items() for _ in each
        ]
        skipped = sum((1 - share) * part.times for share, part in zip(shares, parts, strict=True))
        pools = [(SoftVoting(), len(networks[name])) for name in deployed if deployed[name] == "folds"]
        classes, rows = parts[0].classes, self.batch * _rows(list(views.values()))
        parts += [self._combiner(pool, members, rows, classes) for pool, members in pools]
        if combiner is not None:
            parts.append(self._combiner(combiner, len(deployed), rows, classes))
        times = np.sum([part.times for part in parts], axis=0)
        count = sum(len(views_of(folder)) for folder in folders if folder not in shared)
        spread = max(part.spread for part in parts)
        in_torch = [
            "/".join(folder.parts[-2:]) for folder in folders if self._networks[folder].runtime == EAGER
        ]
        return {
            "latency_ms": {
                **self._latency(times, float(np.median(skipped)), list(views.values())),
                "networks": count,
                "runtime": self.runtime if len(in_torch) < len(folders) else EAGER,
                **({"in_torch": in_torch} if self.runtime != EAGER and in_torch else {}),
                **({} if used is None else {"expected": EXPECTED}),
                "spread": round(spread, 3),
                "steady": spread <= STEADY,
            },
            "size_mb": sum(part.size_mb for part in parts) - sum(part.size_mb for part in shared.values()),
            "parameters": sum(part.parameters for part in parts)
            - sum(part.parameters for part in shared.values()),
        }

    def _sharing(self, deployed: Mapping[str, str]) -> dict[Path, _Part]:
        """Return the networks whose weights are those of another network of the model: views of it."""
        found, known = dict[Path, _Part](), set[tuple[str, str]]()
        for name, folders in self._folders(deployed).items():
            of = str(member_facts(self.store, name).get("shares", name))
            for folder in folders:
                if (of, folder.name) in known:
                    found[folder] = self._network(folder)
                known.add((of, folder.name))
        return found

    def _folders(self, deployed: Mapping[str, str]) -> dict[str, list[Path]]:
        return {
            name: [self.store.checkpoint(name, fold) for fold in deployed_folds(self.store, name, inference)]
            for name, inference in deployed.items()
        }

    def _latency(self, times: Times, skipped: float, views: Sequence[View]) -> dict[str, Any]:
        """Return the latency for photos and for images of the size of the networks' inputs.

        Networks of maps do not resize photos, so that both are the latency for crops as in training.
        """
        sized, resized = _input_shape(views), [view for view in views if view.canvas.size]
        photo = (sized[0], self.photo.height, self.photo.width) if resized else sized
        return {
            **self._for_shape(photo, times, skipped, resized),
            "image_of": self.photo.origin if resized else CROPS,
            "network_sized": self._for_shape(sized, times, skipped, resized),
            "batch": self.batch,
            "device": self.device.type,
            "threads": torch.get_num_threads() if self.runtime == EAGER else os.cpu_count(),
        }

    def _for_shape(self, shape: Shape, times: Times, skipped: float, views: Sequence[View]) -> dict[str, Any]:
        resized = [self._resizing(view, shape) for view in views]
        total = np.sum([times, *resized], axis=0)
        return {
            "median": float(np.median(total)) - skipped,
            "p95": float(np.percentile(total, 95)),
            "image": list(shape),
            "resizing": {
                f"{view.size} px {view.fit}": float(np.median(each))
                for view, each in zip(views, resized, strict=True)
            },
        }

    def _resizing(self, view: View, shape: Shape) -> Times:
        """Return the times in which a view resizes a batch of images: those of one image, times the batch.

        The times of files for images of the size of their inputs include the resizing.
        """
        key = resizing(view), shape
        if key not in self._resized:
            if resizing(view) in self._of_files:
                return np.zeros(CALLS)
            self._resized[key] = self.batch * _steady(_Resize(view), self._images(1, shape), warmup=1)[0]
        return self._resized[key]

    def _network(self, folder: Path) -> _Part:
        if folder not in self._networks:
            network = load_network(folder, self.trusted).to(self.device)
            # The size of the images does not matter, since they are resized before the measurement.
            batch = Batch(self._images(self.batch, _input_shape(_views(network))))
            self._networks[folder] = _part(
                network, *_steady(network, batch if network.takes_batches else batch.images)
            )
        return self._networks[folder]

    def _time_files(self, files: Mapping[Path, Path]) -> None:
        """Time the files of networks in turns, for images of the size of their inputs and for photos.

        The difference is the time in which photos are resized, which networks with the same view share.
        """
        parts = {folder: _part(load_network(folder, self.trusted), np.zeros(CALLS), 0.0) for folder in files}
        failed = set[Path]()

        def measure(folder: Path) -> dict[str, Times]:
            if folder in failed:
                return {}
            try:
                return measure_file(files[folder], self.device.type, self._batches(parts[folder].views))
            except CommitteeError as error:
                _warn(folder, error)
                failed.add(folder)
                return {}

        found = interleaved({str(folder): partial(measure, folder) for folder in files})
        for folder in sorted(files.keys() - failed, key=lambda each: (len(parts[each].views), each)):
            rounds, views = found[str(folder)], parts[folder].views
            self._of_files |= {resizing(view) for view in views}
            times = {kind: quantiles(each, CALLS) for kind, each in rounds.items()}
            more = np.maximum(times["photo"] - times["one"], 0.0) * self.batch / len(views)
            for view in views:
                shape = (view.channels, self.photo.height, self.photo.width)
                self._resized.setdefault((resizing(view), shape), more)
            spread = max(Timing.of(each).spread for each in rounds.values())
            self._networks[folder] = replace(
                parts[folder], times=times["sized"], spread=spread, runtime=self.runtime
            )

    def _batches(self, views: Sequence[View]) -> dict[str, list[Images]]:
        """Return images of the size of the networks' inputs, one of them, and one photo."""
        shape = _input_shape(views)
        images = self._images(self.batch, shape).cpu().numpy()
        photo = self._images(1, (shape[0], self.photo.height, self.photo.width)).cpu().numpy()
        return {"sized": [images], "one": [images[:1]], "photo": [photo]}

    def _combiner(self, combiner: Combiner, members: int, rows: int, classes: int) -> _Part:
        moved = copy.deepcopy(combiner).to(self.device)  # `to` would move the caller's combiner
        logits = torch.zeros(members, rows, classes, device=self.device)
        return _Part(_steady(moved, logits)[0], size_mb(moved), parameters(moved), classes)

    def _images(self, count: int, shape: Shape) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=generator)
        return images.to(self.device)


def _warn(folder: Path, error: CommitteeError) -> None:
    name = "/".join(folder.parts[-2:])
    log.warning("The latency of %s is that of torch, since its file cannot be timed: %s", name, error)


def _views(network: nn.Module) -> tuple[View, ...]:
    return tuple(part for part in network.modules() if isinstance(part, View))


def _input_shape(views: Sequence[View]) -> Shape:
    """Return the shape of an image that the networks behind some views need not enlarge."""
    side = max(view.canvas.size or view.size for view in views)
    return views[0].channels, side, side


def _rows(views: Sequence[View]) -> int:
    """Return the number of rows that a combiner gets of an image: one, or its pixels."""
    _, height, width = _input_shape(views)
    return 1 if views[0].canvas.size else height * width


def _part(network: Any, times: Times, spread: float) -> _Part:
    return _Part(
        times,
        size_mb(network),
        parameters(network),
        len(network.class_names),
        _views(network),
        spread,
    )


def _steady(module: nn.Module, batch: Tensor | Batch, **options: int) -> tuple[Times, float]:
    """Return quantiles of the times of a module, and their spread; calls are repeated while it is wide."""
    rounds = list[Times]()
    while True:
        rounds.append(call_times(module, batch, **options))
        calls = np.concatenate(rounds)
        spread = Timing.of(np.array_split(calls, min(PARTS, len(calls)))).spread
        if spread <= STEADY or len(rounds) == AGAIN:
            return quantiles(rounds, CALLS), spread


class _Resize(nn.Module):
    """The part of a view that networks share."""

    def __init__(self, view: View) -> None:
        super().__init__()
        self.view = view

    def forward(self, images: Tensor) -> Tensor:
        return self.view.cut(images)

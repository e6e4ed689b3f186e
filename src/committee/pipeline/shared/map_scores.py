"""Scores of models on whole images of maps, in one pass over the images of a split."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base.progress import track
from committee.combiners.base import Combiner
from committee.images.dataset import Dataset
from committee.models.stored import load_network
from committee.models.tiling import tiled
from committee.pipeline.shared.records import deployed_folds
from committee.store.layout import Store
from committee.store.manifest import read_manifest
from committee.tasks.base import Task
from committee.training.crossfit.map_files import SUFFIX, MapFile, writing

VALUES_AT_ONCE = 2**22
"""Outputs of all members that are combined at a time: 16 MB."""
COMPARED = 2**16
"""Pixels of an image on which the disagreement of its members is computed, at most."""


@dataclass(frozen=True)
class Scored:
    """A model that is scored: a combiner of members.

    Attributes
    ----------
    combiner : Combiner
    deployed : mapping of str to str
        Member, in the order of the combiner -> `refit` or `folds`.
    """

    combiner: Combiner
    deployed: Mapping[str, str]


@dataclass
class MapsOfMembers:
    """The outputs of members for whole images: stored ones, or computed where none are stored.

    Attributes
    ----------
    store, dataset : Store, Dataset
    split : str
        "test" or "val".
    device : torch.device
    trusted : bool or collection of str
        The `python:` backbones that may be built.
    """

    store: Store
    dataset: Dataset
    split: str
    device: torch.device
    trusted: bool | Collection[str] = ()
    _networks: dict[Path, torch.nn.Module] = field(default_factory=dict)

    def checked(self, model: Scored) -> Scored:
        """Return a model; raise a StoreError if a file of its networks is damaged."""
        for member, inference in model.deployed.items():
            for folder in self._folders(member, inference):
                read_manifest(folder)
        return model

    def of(self, number: int, row: int, member: str, inference: str, scratch: Path) -> list[MapFile]:
        """Return files with the outputs of the deployed networks of a member for an image, as one entry each.

        Parameters
        ----------
        number : int
            Place of the image in the split.
        row : int
            Row of the data set.
        member, inference : str
        scratch : Path
            Folder for outputs that are computed.
        """
        return [self._file(number, row, folder, scratch) for folder in self._folders(member, inference)]

    def stored(self, number: int, member: str, inference: str) -> list[MapFile]:
        """Return stored outputs of the networks of a member for an image; none if some are not stored."""
        paths = [folder / f"{self.split}{SUFFIX}" for folder in self._folders(member, inference)]
        if self.dataset.maps is None or not all(path.exists() for path in paths):
            return []
        sizes, outputs = self.dataset.maps.sizes[self.rows], len(self.dataset.class_names)
        return [MapFile(path, sizes, outputs, number) for path in paths]

    def _folders(self, member: str, inference: str) -> list[Path]:
        return [self.store.checkpoint(member, fit) for fit in deployed_folds(self.store, member, inference)]

    def _file(self, number: int, row: int, folder: Path, scratch: Path) -> MapFile:
        stored, maps = folder / f"{self.split}{SUFFIX}", self.dataset.maps
        assert maps is not None
        outputs = len(self.dataset.class_names)
        if stored.exists():
            return MapFile(stored, maps.sizes[self.rows], outputs, number)
        path = scratch / f"{folder.parent.name}-{folder.name}{SUFFIX}"
        if not path.exists():
            image = torch.from_numpy(np.array(maps.image(row))).permute(2, 0, 1).to(self.device)
            with writing(path, maps.sizes[[row]], outputs) as keep, torch.inference_mode():
                keep(tiled(self._network(folder), image, task=self.dataset.task))
        return MapFile(path, maps.sizes[[row]], outputs)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows of the split."""
        return np.flatnonzero(self.dataset.splits == self.split)

    def _network(self, folder: Path) -> torch.nn.Module:
        if folder not in self._networks:
            self._networks[folder] = load_network(folder, self.trusted).to(self.device).eval()
        return self._networks[folder]


def score_maps(models: Mapping[str, Scored], maps: MapsOfMembers, seed: int) -> dict[str, dict[str, Any]]:
    """Return the report of each model on the whole images of a split; see `ImageScores.report`.

    Members and their files are read once for all models, some rows of pixels at a time, so that memory does
    not grow with the number of members.

    Parameters
    ----------
    models : mapping of str to Scored
    maps : MapsOfMembers
    seed : int
        Seed of the resamples.
    """
    dataset = maps.dataset
    assert dataset.maps is not None
    scores = {name: dataset.task.images(dataset.class_names) for name in models}
    for number, row in enumerate(track(maps.rows.tolist(), what="images")):
        group = None if dataset.groups is None else int(dataset.groups[row])
        labels = np.array(dataset.maps.map(row))
        with ExitStack() as stack:
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            find = partial(maps.of, number, row, scratch=scratch)
            for name, model in models.items():
                files = [find(member=member, inference=kind) for member, kind in model.deployed.items()]
                images = scores[name]
                assert images is not None
                images.add(
                    str(dataset.sample_ids[row]),
                    _combined(model.combiner, files, dataset.task),
                    labels,
                    group=group,
                    members=_compared(files, dataset.task) if len(files) > 1 else None,
                )
    return {name: images.report(seed=seed) for name, images in scores.items() if images is not None}


def map_from_files(model: Scored, maps: MapsOfMembers, row: int) -> NDArray[np.float32] | None:
    """Return the outputs `[C, H, W]` of a model for an image, or None if those of a network are not stored.

    No network runs.

    Parameters
    ----------
    model : Scored
    maps : MapsOfMembers
    row : int
        Row of the data set, in the split of `maps`.
    """
    number = int(np.searchsorted(maps.rows, row))
    files = [maps.stored(number, member, kind) for member, kind in model.deployed.items()]
    if not all(files):
        return None
    return _combined(model.combiner, files, maps.dataset.task)


def _combined(combiner: Combiner, files: Sequence[Sequence[MapFile]], task: Task) -> NDArray[np.float32]:
    """Return the outputs `[C, H, W]` of a combiner for one image."""
    result = np.empty(files[0][0].shape, np.float32)
    for lines, outputs in _parts(files, task):
        members, names, height, width = outputs.shape
        pixels = outputs.transpose(0, 2, 3, 1).reshape(members, -1, names)
        result[:, lines] = combiner.combine(pixels).reshape(height, width, names).transpose(2, 0, 1)
    return result


def _parts(files: Sequence[Sequence[MapFile]], task: Task) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield lines of pixels of an image, each with the outputs of all members `[M, C, h, W]`."""
    names, height, width = files[0][0].shape
    step = max(1, VALUES_AT_ONCE // (len(files) * names * width))
    for start in range(0, height, step):
        lines = slice(start, start + step)
        yield lines, np.stack([_mean([file.lines(lines) for file in own], task) for own in files])


def _mean(outputs: Sequence[NDArray[np.float32]], task: Task) -> NDArray[np.float32]:
    """Return the mean of the outputs `[C, h, W]` of the networks of one member."""
    if len(outputs) == 1:
        return outputs[0]
    names, height, width = outputs[0].shape
    pixels = torch.from_numpy(np.stack(outputs)).permute(0, 2, 3, 1).reshape(len(outputs), -1, names)
    return task.mean(pixels).reshape(height, width, names).permute(2, 0, 1).numpy()


def _compared(files: Sequence[Sequence[MapFile]], task: Task) -> NDArray[np.float32]:
    """Return the outputs of members for some pixels of an image at regular distances, `[M, C, h, w]`."""
    _, height, width = files[0][0].shape
    step = max(1, round(np.sqrt(height * width / COMPARED)))
    parts = [
        outputs[:, :, (-lines.start) % step :: step, ::step].copy() for lines, outputs in _parts(files, task)
    ]
    return np.concatenate(parts, axis=2)

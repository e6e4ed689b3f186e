"""Weights that a stored model gives to its members on single images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from committee.base.tables import for_notebook, to_frame
from committee.combiners.base import Combiner
from committee.combiners.base import load as load_combiner
from committee.pipeline.shared.records import deployed_of, ensemble_facts
from committee.pipeline.shared.splits import oof_rows, split_folder, split_rows
from committee.predictions.table import Predictions
from committee.store.layout import Store
from committee.store.manifest import read_manifest, read_whole
from committee.untrusted.npy import load_npy

FILE, NAMES = "weights.npy", "weights_of"
"""Array of the weights beside the predictions of a member, and the names of its columns in the manifest."""


@dataclass(frozen=True, eq=False, repr=False)
class SampleWeights:
    """The weights of members on single images.

    Attributes
    ----------
    name : str
        The model that weights them.
    members : tuple of str
        Names of the columns.
    sample_ids : str array [N]
    weights : float32 array [N, M]
        Each row has the sum 1. A member with the weight 0 does not run on the image.
    split : str
        `test`, `val` or `oof`.

    See Also
    --------
    sample_weights : Read the weights of a stored model.
    """

    name: str
    members: tuple[str, ...]
    sample_ids: NDArray[np.str_]
    weights: NDArray[np.float32]
    split: str

    def __repr__(self) -> str:
        rows, members = self.weights.shape
        return f"SampleWeights({self.name!r}, {self.split}, {rows} images x {members} members)"

    def _repr_html_(self) -> str:
        """Return the spread of the weights of each member as HTML, for notebooks."""
        columns = ["member", "mean", "smallest", "median", "largest", "images with a weight"]
        rows = [
            [
                member,
                *(f"{found:.3f}" for found in (each.mean(), each.min(), np.median(each), each.max())),
                f"{(each > 0).mean():.1%}",
            ]
            for member, each in zip(self.members, self.weights.T, strict=True)
        ]
        return for_notebook(columns, rows, repr(self))

    def to_frame(self) -> Any:
        """Return a `pandas.DataFrame` with a row for each image and a column for each member.

        Raises
        ------
        DependencyError
            pandas is not installed.
        """
        return to_frame(self.members, self.weights, "weights", self.sample_ids)


def sample_weights(
    store: Store | str | Path, name: str, split: str = "test", most: int | None = None
) -> SampleWeights | None:
    """Return the weights that a stored model gives to its members on each image of a split.

    Parameters
    ----------
    store : Store, str or Path
        The store, or its folder.
    name : str
        A mixture of experts, or an ensemble that contains attention, by its full or short name.
    split : {"test", "val", "oof"}
        `oof` are the training rows, each by the mixture that was trained without it. An ensemble was fitted
        on them.
    most : int, optional
        Largest number of images, which are spread evenly over the split; all by default.

    Returns
    -------
    SampleWeights or None
        None for a model whose weights are the same for all images, and for a mixture that was trained by a
        version that did not store them.

    Raises
    ------
    UnknownNameError
        The store has no such model.
    StoreError
        A file is damaged, or the store has no predictions of the split.

    See Also
    --------
    committee.combiners.Attention, committee.models.composites.Moe : Models with such weights.

    Examples
    --------
    >>> import committee
    >>> weights = committee.sample_weights("store", "moe")  # doctest: +SKIP
    >>> weights.to_frame().head()  # doctest: +SKIP
    """
    store = Store.of(store)
    name = store.resolve(name)
    if name in store.ensembles():
        return _of_ensemble(store, name, split, most)
    deployed = deployed_of(store, name)
    folder = store.kfold(name) / "oof" if split == "oof" else split_folder(store, name, split, deployed[name])
    names = read_manifest(folder, verify=False).facts.get(NAMES)
    if names is None:
        return None
    rows = _rows(store, [name], split, deployed)
    places = _places(len(rows), most)
    found = read_whole(folder, lambda whole: load_npy(whole / FILE))[places]
    used = np.flatnonzero(found.any(axis=0))
    return SampleWeights(
        name, tuple(names[place] for place in used), rows.sample_ids[places], found[:, used], split
    )


def attending(rule: Combiner) -> Any:
    """Return the part of a combiner that has weights for each image, or None."""
    return next((part for part in rule.modules() if hasattr(part, "attend")), None)


def attention_weights(rule: Combiner, rows: Predictions) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return the names of the inputs of the attention inside a combiner, and their weights `[N, M]` on rows.

    Inputs are members, or ensembles where attention combines these.
    """
    part, found = attending(rule), list[Tensor]()
    hook = part.register_forward_pre_hook(lambda module, inputs: found.append(module.attend(inputs[0])))
    try:
        rule.combine(np.asarray(rows.logits))
    finally:
        hook.remove()
    return part.member_names, torch.cat(found).numpy()


def _of_ensemble(store: Store, name: str, split: str, most: int | None) -> SampleWeights | None:
    rule = load_combiner(store.ensemble(name))
    if attending(rule) is None:
        return None
    rows = _rows(store, rule.member_names, split, ensemble_facts(store, name)["inference"])
    rows = rows.rows(_places(len(rows), most))
    names, weights = attention_weights(rule, rows)
    return SampleWeights(name, names, rows.sample_ids, weights, split)


def _rows(store: Store, members: Sequence[str], split: str, deployed: Mapping[str, str]) -> Predictions:
    return oof_rows(store, members) if split == "oof" else split_rows(store, members, split, deployed)


def _places(rows: int, most: int | None) -> NDArray[np.int64]:
    return np.linspace(0, rows - 1, min(rows, most or rows)).astype(np.int64)

"""Forests as tensors: trees of XGBoost and scikit-learn as arrays of nodes, evaluated together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.errors import UsageError

MOST_NUMBERS = 2**24
"""Most leaf values and nodes of a forest. An exported file of this size has about 200 MB."""
GRID = 2.0**-8
BLOCK = 256

Floats = NDArray[np.float32]


def on_grid(features: Floats) -> Floats:
    """Return features for fitting trees, rounded down to multiples of `GRID`.

    XGBoost places thresholds at feature values of the rows that it is fitted on. Such a row is exactly at a
    threshold, and a rounding error in another runtime sends it to another leaf. If the trees are fitted on
    rounded features, their thresholds are multiples of `GRID`. Unrounded features give the same decisions,
    because rounding down to a multiple of `GRID` does not move a value across such a threshold.
    """
    return np.floor(features / GRID) * np.float32(GRID)


@dataclass(frozen=True, eq=False)
class Forest:
    """T trees with P nodes in total. The root of tree t is node t, and the children of a node are adjacent.

    Attributes
    ----------
    feature : int64 [P]
        The feature that a node compares; 0 in a leaf.
    threshold : float32 [P]
        A row goes to the right child if its feature is larger than this; infinity in a leaf.
    left : int64 [P]
        The left child; the right child follows it. The left child of a leaf is the leaf itself.
    value : float32 [P, V]
        The values of a leaf.
    depth : int
        Steps from a root to the deepest leaf.

    See Also
    --------
    from_xgboost, from_sklearn : Convert fitted trees.
    leaves : Evaluate a forest.
    """

    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    value: Floats
    depth: int

    def tensors(self) -> dict[str, Tensor]:
        """Return the nodes and the values as tensors, for buffers of a module."""
        arrays = {
            "feature": self.feature,
            "threshold": self.threshold,
            "left": self.left,
            "value": self.value,
        }
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}


def leaves(features: Tensor, nodes: tuple[Tensor, Tensor, Tensor], trees: int, depth: int) -> Tensor:
    """Return the leaf of each row in each tree, int64 `[T, B]`.

    Parameters
    ----------
    features : tensor `[B, F]`
    nodes : tuple of tensors
        `feature`, `threshold` and `left` of a forest.
    trees, depth : int
        The number of trees, T, and the depth of the deepest one.
    """
    feature, threshold, left = nodes
    columns, bounds = features.t().contiguous(), threshold.to(features.dtype)
    # All rows start at the roots, so the first step compares whole columns without a look-up for each row.
    node = left[:trees, None] + (columns.index_select(0, feature[:trees]) > bounds[:trees, None])
    for _ in range(depth - 1):
        # Selecting by a flat index and gathering along columns is twice as fast as indexing single elements.
        flat, shape = node.reshape(-1), node.shape
        value = columns.gather(0, feature.index_select(0, flat).reshape(shape))
        right = value > bounds.index_select(0, flat).reshape(shape)
        node = left.index_select(0, flat).reshape(shape) + right
    return node


def in_blocks(rule: nn.Module, logits: Tensor) -> Tensor:
    """Apply a rule to logits `[M, B, C]` in blocks of rows, so that the nodes stay in the cache."""
    return torch.cat([rule(part) for part in logits.split(BLOCK, dim=1)])


def from_xgboost(raw: bytes | bytearray) -> Forest:
    """Convert the JSON of a booster, `booster.save_raw("json")`; a leaf has one value.

    Trees are ordered by round and, within a round, by class.
    """
    trees = json.loads(bytes(raw))["learner"]["gradient_booster"]["model"]["trees"]
    parts = []
    for tree in trees:
        condition = np.array(tree["split_conditions"], np.float32)
        left, right = (np.array(tree[f"{side}_children"], np.int64) for side in ("left", "right"))
        # XGBoost goes left below the condition. That is going right above the next smaller float.
        below = np.nextafter(condition, np.float32(-np.inf))
        parts.append((np.array(tree["split_indices"], np.int64), below, left, right, condition[:, None]))
    return _joined(parts)


def from_sklearn(
    estimators: Sequence[Any], values: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Forest:
    """Convert the trees of a random forest fitted `on_grid`; `values` reads those of the nodes, `[P, V]`."""
    parts = []
    for estimator in estimators:
        tree = estimator.tree_
        # scikit-learn goes left up to the middle of two grid points: the upper one gives the same decisions.
        upper = (np.floor(tree.threshold / GRID) + 1) * GRID
        threshold = np.nextafter(upper.astype(np.float32), np.float32(-np.inf))
        value = values(tree.value).astype(np.float32)
        parts.append((tree.feature, threshold, tree.children_left, tree.children_right, value))
    return _joined(parts)


def check_forest(who: str, numbers: int, setting: str) -> None:
    """Raise a UsageError if a forest may get too large to export, before it is fitted."""
    if numbers > MOST_NUMBERS:
        raise UsageError(
            who,
            expected=f"a forest with at most {MOST_NUMBERS:,} values, which an exported file can hold",
            got=f"up to {numbers:,}",
            todo=f"Lower {setting}.",
        )


def _joined(parts: Sequence[tuple[NDArray[Any], ...]]) -> Forest:
    """Join trees, renumbering the nodes by level: first the roots, then pairs of children."""
    offsets = np.cumsum([0, *(len(part[0]) for part in parts)])
    feature, threshold, left, right, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    leaf = left < 0
    shift = np.repeat(offsets[:-1], np.diff(offsets))
    left, right = left + shift, right + shift
    level, levels = offsets[:-1], []
    while len(level):
        levels.append(level)
        inner = level[~leaf[level]]
        level = np.stack([left[inner], right[inner]], axis=1).reshape(-1)
    order = np.concatenate(levels)
    number = np.empty(len(feature), np.int64)
    number[order] = np.arange(len(order))
    end, own = leaf[order], np.arange(len(order))
    # A tree without a split still takes one step, from its root to its root.
    return Forest(
        feature=np.where(end, 0, feature[order]).astype(np.int64),
        threshold=np.where(end, np.float32(np.inf), threshold[order]).astype(np.float32),
        left=np.where(end, own, number[np.where(leaf, 0, left)[order]]),
        value=np.where(end[:, None], value[order], 0).astype(np.float32),
        depth=max(1, len(levels) - 1),
    )

"""Forests as tensors: trees of XGBoost and scikit-learn as arrays of nodes, walked for all trees at once"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.errors import UsageError

MOST_NUMBERS = 2**24
"""Leaf values and nodes of a forest that still makes a graph of a size that people ship: about 200 MB."""
GRID = 2.0**-8
BLOCK = 256

Floats = NDArray[np.float32]


def on_grid(features: Floats) -> Floats:
    """Return features for fitting trees, rounded down to a grid.

    XGBoost splits at values of the rows that it is fitted on. Then such a row stands exactly at a threshold,
    and a rounding error of another runtime sends it to another leaf. Thresholds fitted on a grid are points
    of it, and decide unrounded rows alike: what lies below a point does so before and after rounding down.
    """
    return np.floor(features / GRID) * np.float32(GRID)


@dataclass(frozen=True, eq=False)
class Forest:
    """T trees with P nodes together; the root of tree t is node t, and brothers stand side by side.

    Attributes
    ----------
    feature : int64 [P]
        What a node looks at; 0 in a leaf.
    threshold : float32 [P]
        A row goes to the right child if its feature is larger; infinity in a leaf.
    left : int64 [P]
        The left child; the right one follows it. A leaf is its own.
    value : float32 [P, V]
        What a leaf says.
    depth : int
        Steps from a root to the deepest leaf.
    """

    feature: NDArray[np.int64]
    threshold: Floats
    left: NDArray[np.int64]
    value: Floats
    depth: int

    def tensors(self) -> dict[str, Tensor]:
        """Return what `leaves` needs, and the values, as tensors to keep."""
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
        Its trees, T, and how deep they are.
    """
    feature, threshold, left = nodes
    columns, bounds = features.t().contiguous(), threshold.to(features.dtype)
    # All rows are at the roots: a whole column each, and no look-up a row.
    node = left[:trees, None] + (columns.index_select(0, feature[:trees]) > bounds[:trees, None])
    for _ in range(depth - 1):
        # Selecting from a flat index, and gathering along columns, is twice as fast as taking single numbers.
        flat, shape = node.reshape(-1), node.shape
        value = columns.gather(0, feature.index_select(0, flat).reshape(shape))
        right = value > bounds.index_select(0, flat).reshape(shape)
        node = left.index_select(0, flat).reshape(shape) + right
    return node


def in_blocks(rule: nn.Module, logits: Tensor) -> Tensor:
    """Return what a rule says of logits `[M, B, C]`, some rows at a time: the nodes stay in the cache."""
    return torch.cat([rule(part) for part in logits.split(BLOCK, dim=1)])


def from_xgboost(raw: bytes | bytearray) -> Forest:
    """Return the trees in a booster's JSON, `booster.save_raw("json")`; `V` is 1.

    Trees follow each other round by round, class by class.
    """
    trees = json.loads(bytes(raw))["learner"]["gradient_booster"]["model"]["trees"]
    parts = []
    for tree in trees:
        condition = np.array(tree["split_conditions"], np.float32)
        left, right = (np.array(tree[f"{side}_children"], np.int64) for side in ("left", "right"))
        # XGBoost goes left below the condition; we go right above the number before it: the same.
        below = np.nextafter(condition, np.float32(-np.inf))
        parts.append((np.array(tree["split_indices"], np.int64), below, left, right, condition[:, None]))
    return _joined(parts)


def from_sklearn(estimators: Sequence[Any]) -> Forest:
    """Return the trees of a `RandomForestClassifier` fitted `on_grid`; values are shares of the classes."""
    parts = []
    for estimator in estimators:
        tree = estimator.tree_
        # scikit-learn goes left up to the middle between two points of the grid; the upper one decides alike.
        upper = (np.floor(tree.threshold / GRID) + 1) * GRID
        threshold = np.nextafter(upper.astype(np.float32), np.float32(-np.inf))
        shares = tree.value[:, 0] / tree.value[:, 0].sum(axis=1, keepdims=True)
        parts.append(
            (tree.feature, threshold, tree.children_left, tree.children_right, shares.astype(np.float32))
        )
    return _joined(parts)


def check_forest(who: str, numbers: int, setting: str) -> None:
    """Refuse a forest that may have more than so many numbers, before it is fitted."""
    if numbers > MOST_NUMBERS:
        raise UsageError(
            who,
            expected=f"a forest of at most {MOST_NUMBERS:,} numbers, which an exported file can hold",
            got=f"up to {numbers:,}",
            todo=f"Lower {setting}.",
        )


def _joined(parts: Sequence[tuple[NDArray[Any], ...]]) -> Forest:
    """Number the nodes of all trees anew, level by level: the roots first, then brothers side by side."""
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
    # A tree that never split still takes one step, which leads from its root to the root.
    return Forest(
        feature=np.where(end, 0, feature[order]).astype(np.int64),
        threshold=np.where(end, np.float32(np.inf), threshold[order]).astype(np.float32),
        left=np.where(end, own, number[np.where(leaf, 0, left)[order]]),
        value=np.where(end[:, None], value[order], 0).astype(np.float32),
        depth=max(1, len(levels) - 1),
    )

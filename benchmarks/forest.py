"""Prediction of a boosted forest as tensors, compared with XGBoost: 1,000 trees, 4,000 rows, 150 features.

XGBoost predicts a numpy array (`inplace_predict`); the tensors walk all trees at once, from features to
probabilities, as in an ensemble. The results are compared before the measurement. One thread each.

Implementations that were tried at this size on two cores of an AMD EPYC, as the ratio of their time to
XGBoost's: indexing single numbers by a flat index, all rows at once, 6.8; in blocks of 256 rows, 4.6; the
same on perfect trees (children by arithmetic, without pointers), 4.0; `index_select` and `gather` on
perfect trees, 2.2, and on trees with pointers, which need no padding and also represent unbalanced trees,
2.4. The function `leaves` uses the last one.
"""

from __future__ import annotations

import numpy as np
import torch
from harness import Row, absent, compare, installed, main

from committee.solvers.forest import BLOCK, from_xgboost, leaves, on_grid

QUESTION, PEER, TARGET = "a forest of XGBoost as tensors", "XGBoost's own predict", 0.2


def measure(quick: bool) -> list[Row]:
    """Fit a booster, check that its tensors agree with it, and compare the times."""
    rounds, rows = (5, 200) if quick else (100, 4000)
    work = f"{rounds} rounds x 10 classes, depth 6, {rows:,} rows x 150, 1 thread"
    if not installed("xgboost"):
        return [absent(QUESTION, work, PEER, TARGET, "xgboost")]
    import xgboost

    random = np.random.default_rng(0)
    shown = random.standard_normal((5 * rows, 150), np.float32)
    labels = (shown[:, :10] + random.standard_normal((5 * rows, 10))).argmax(axis=1)
    settings = {
        "objective": "multi:softprob",
        "num_class": 10,
        "max_depth": 6,
        "eta": 0.1,
        "nthread": 1,
        "base_score": 0.5,
    }
    table = xgboost.DMatrix(on_grid(shown), label=labels, nthread=1)
    booster = xgboost.train(settings, table, rounds)
    forest = from_xgboost(booster.save_raw("json"))
    tensors = forest.tensors()
    nodes, value = (tensors["feature"], tensors["threshold"], tensors["left"]), tensors["value"][:, 0]
    fresh = random.standard_normal((rows, 150), np.float32)

    def walk(part: torch.Tensor) -> torch.Tensor:
        leaf = leaves(part, nodes, rounds * 10, forest.depth)
        return value.index_select(0, leaf.reshape(-1)).reshape(rounds, 10, -1).sum(dim=0).t().softmax(dim=1)

    def ours() -> torch.Tensor:
        return torch.cat([walk(part) for part in torch.from_numpy(fresh).split(BLOCK)])

    def theirs() -> np.ndarray:
        return booster.inplace_predict(fresh)

    largest = float(np.abs(ours().numpy() - theirs()).max())
    if not largest <= 1e-5:
        raise SystemExit(f"the tensors differ from XGBoost by {largest:.1e}")
    note = f"largest difference in probability {largest:.0e}; the tensors also export as a graph"
    return [Row(QUESTION, work, PEER, *compare(ours, theirs, 3 if quick else 15), TARGET, note)]


if __name__ == "__main__":
    main(measure, packages=("xgboost-cpu",))

"""Weights for the log-loss, compared with L-BFGS on the softmax of free parameters: 50,000 rows.

The members are simulated, some of them useless. The peer is torch's L-BFGS with strong Wolfe line search,
in float64, because it stops too early in float32. It is measured twice: from the log-probabilities of the
labels, which are sufficient and its fastest mode; and from the logits of 100 classes, as it is usually
written, with the mixture of all classes in each step. Both must reach the same loss, `committee` with a
certificate below 2e-6. One thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from greedy_selection import simulated
from harness import Row, compare, main
from numpy.typing import NDArray

from committee.combiners.weighted import Weighted
from committee.predictions.table import Predictions
from committee.solvers.pool_losses import LinearPool
from committee.solvers.simplex import TOLERANCE, minimize

QUESTION, PEER, TARGET = "weights for the log-loss", "softmax L-BFGS, float64", 20
Weights = NDArray[np.float64]


def labels_only(members: int, rows: int, spread: float = 2.0) -> NDArray[np.float32]:
    """Return log-probabilities of the labels `[M, N]`; some members are useless if `spread` is large."""
    random = np.random.default_rng(1)
    skill = np.linspace(1.5, 1.5 - spread, members)[:, None]
    scores = skill + random.normal(size=(1, rows)) + 0.8 * random.normal(size=(members, rows))
    return (-np.logaddexp(0, -2 * scores)).astype(np.float32)


def recipe(members: int, loss: Callable[[torch.Tensor], torch.Tensor]) -> Weights:
    """Return the weights that L-BFGS finds for a loss."""
    free = torch.zeros(members, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [free], max_iter=500, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        value = loss(free.softmax(dim=0))
        value.backward()
        return value

    optimizer.step(closure)
    return free.detach().softmax(dim=0).numpy()


def ours_from_labels(label: NDArray[np.float32]) -> Weights:
    """Return the weights of `committee` from the log-probabilities of the labels."""
    return minimize(LinearPool(label))[0]


def from_labels(label: NDArray[np.float32]) -> Weights:
    """Return the weights of L-BFGS from the log-probabilities of the labels."""
    probs = torch.from_numpy(label).double().exp()
    return recipe(len(label), lambda weights: -(weights @ probs).log().mean())


def from_logits(predictions: Predictions) -> Weights:
    """Return the weights of L-BFGS from logits, with the mixture of all classes in each step."""
    probs = torch.from_numpy(predictions.logits).double().softmax(dim=2)
    labels = torch.from_numpy(predictions.require_labels("benchmark"))

    def loss(weights: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.nll_loss(torch.tensordot(weights, probs, 1).log(), labels)

    return recipe(len(probs), loss)


def check(label: NDArray[np.float32], ours: Weights, theirs: Weights) -> str:
    """Fail unless both reach the optimum; return the difference of their losses."""
    probs = np.exp(label.astype(np.float64))
    mine, other = (-np.log(weights @ probs).mean() for weights in (ours, theirs))
    certificate = (probs / (ours @ probs)).mean(axis=1).max() - 1
    if certificate > 2 * TOLERANCE or abs(mine - other) > 2 * TOLERANCE:
        raise SystemExit(f"loss {mine:.9f} with certificate {certificate:.1e}, the recipe's {other:.9f}")
    return f"ours {mine - other:+.0e} from the loss of L-BFGS, certificate {certificate:.0e}"


def measure(quick: bool) -> list[Row]:
    """Compare from labels for some numbers of members, and from logits for 15."""
    rows, rounds, counts = (2000, 2, (3, 15)) if quick else (50_000, 7, (3, 15, 40))
    answers = []
    for members in counts:
        label = labels_only(members, rows)
        note = check(label, ours_from_labels(label), from_labels(label))
        compared = compare(partial(ours_from_labels, label), partial(from_labels, label), rounds)
        work = f"{members} x {rows:,} labels' log-probabilities, 1 thread"
        answers.append(Row(QUESTION, work, PEER, *compared, TARGET, note))
    predictions = simulated(3 if quick else 15, rows // 10, 100)
    ours = Weighted().fit(predictions)
    weights = ours.learned("weight").double().numpy()
    logs = torch.from_numpy(predictions.logits).log_softmax(dim=2).numpy()
    label = logs[:, np.arange(rows // 10), predictions.require_labels("benchmark")]
    note = check(label, weights / weights.sum(), from_logits(predictions))
    compared = compare(
        lambda: Weighted().fit(replace(predictions)), lambda: from_logits(predictions), max(2, rounds // 2)
    )
    work = f"{len(logs)} x {rows // 10:,} x 100 logits, 1 thread"
    return [*answers, Row(QUESTION, work, PEER, *compared, TARGET, note)]


if __name__ == "__main__":
    main(measure)

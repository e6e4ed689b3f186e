"""Regret of the choice: ten structures of ensembles, two numbers of rows each, 20 data sets each.

All programs get the same predictions of the members. What each returns is applied to 20,000 new rows of the
same problem. The regret is its log-loss there minus that of the best program or rule in hindsight; the rank
is among the programs. `committee` chooses among six rules, each with a temperature; "best score" chooses by
the cross-fitted log-loss alone. AutoGluon's greedy selection (Caruana et al. 2004) runs its default of 25
rounds, also with a temperature that is fitted on the same rows, as AutoGluon does if it calibrates. scikit-
learn's stack is a logistic regression with its default penalty on the log-probabilities, as in
`StackingClassifier` with prefit members. The brackets are the mean plus and minus one standard error over
data sets; times are medians. One thread.
"""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from harness import Row, absent, installed, main, seconds
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax
from scipy.stats import rankdata
from simulations.problems import STRUCTURES, sizes
from simulations.rows import mean
from sklearn.linear_model import LogisticRegression

from committee.combiners.temperature import Temperature
from committee.metrics.classification import evaluate
from committee.pipeline.combine import combine
from committee.predictions.table import Predictions
from committee.solvers.newton import best_temperature

METHODS = (
    "soft_voting",
    "logit_averaging",
    "weighted",
    {"combiner": "weighted", "space": "logit", "name": "weighted_logit"},
    "greedy_selection",
    "stacking_lr",
)
NEW, SEEDS = 20_000, 20
LogProbs = NDArray[np.floating]


@dataclass
class Results:
    """Log-losses of new rows, and seconds, by program, by other ways to choose, and by rule."""

    programs: dict[str, float] = field(default_factory=dict)
    choices: dict[str, float] = field(default_factory=dict)
    rules: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def regret(self, name: str) -> float:
        """Return the log-loss minus that of the best program or rule."""
        best = min([*self.programs.values(), *self.rules.values()])
        return {**self.rules, **self.choices, **self.programs}[name] - best


def loss(log_probs: LogProbs, rows: Predictions) -> float:
    """Return the log-loss."""
    return evaluate(log_probs, rows.require_labels("benchmark"), ["log_loss"])["log_loss"]


def ours(rows: Predictions, new: Predictions, found: Results) -> None:
    """Add the choice of `committee`, and each of its rules with and without its temperature."""
    start = time.perf_counter()
    made = combine(rows, methods=METHODS, calibrate="pooled")
    found.seconds["committee"] = time.perf_counter() - start
    plain = {}
    for each in made.methods:
        assert isinstance(each.combiner, Temperature) and each.calibration is not None
        found.rules[f"{each.method} + temperature"] = loss(each.combiner.combine(new.logits), new)
        found.rules[each.method] = loss(each.combiner.inner.combine(new.logits), new)
        plain[each.method] = each.calibration["log_loss"]["before"]
    found.programs["committee"] = found.rules[f"{made.best.method} + temperature"]
    found.choices["best score"] = found.rules[f"{made.methods[0].method} + temperature"]
    found.choices["best score without temperature"] = found.rules[min(plain, key=plain.__getitem__)]


def autogluon(rows: Predictions, new: Predictions) -> LogProbs:
    """Return log-probabilities of AutoGluon's greedy selection."""
    return _mixture(_selected(rows), new)


def autogluon_calibrated(rows: Predictions, new: Predictions) -> LogProbs:
    """Return the same with a temperature that is fitted on the rows of the selection."""
    weights = _selected(rows)
    by = best_temperature(_mixture(weights, rows), rows.require_labels("benchmark"))
    return log_softmax(_mixture(weights, new) / by, axis=1)


def _selected(rows: Predictions) -> NDArray[np.float64]:
    from autogluon.core.metrics import get_metric
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

    scorer = get_metric("log_loss", problem_type="multiclass")
    selection = EnsembleSelection(ensemble_size=25, problem_type="multiclass", metric=scorer)
    selection.fit(list(softmax(rows.logits, axis=2)), rows.require_labels("benchmark"))
    return selection.weights_


def _mixture(weights: NDArray[np.float64], rows: Predictions) -> NDArray[np.float32]:
    return np.log(np.tensordot(weights, softmax(rows.logits, axis=2), 1) + 1e-12).astype(np.float32)


def stack(rows: Predictions, new: Predictions) -> LogProbs:
    """Return log-probabilities of scikit-learn's logistic regression on log-probabilities."""
    known, others = (
        log_softmax(each.logits, axis=2).transpose(1, 0, 2).reshape(len(each), -1) for each in (rows, new)
    )
    return (
        LogisticRegression(max_iter=300)
        .fit(known, rows.require_labels("benchmark"))
        .predict_log_proba(others)
    )


def best_member(rows: Predictions, new: Predictions) -> LogProbs:
    """Return log-probabilities of the member with the least log-loss."""
    known = [loss(log_softmax(each, axis=1), rows) for each in rows.logits]
    return log_softmax(new.logits[int(np.argmin(known))], axis=1)


PEERS: dict[str, Callable[[Predictions, Predictions], LogProbs]] = {
    "scikit-learn stack": stack,
    "best member": best_member,
}
if installed("autogluon.core"):
    PEERS |= {"AutoGluon greedy": autogluon, "AutoGluon greedy + temperature": autogluon_calibrated}


def results(structure: str, rows: int, seed: int) -> Results:
    """Return the log-losses of one data set."""
    random = np.random.default_rng((11, list(STRUCTURES).index(structure), rows, seed))
    source, found = STRUCTURES[structure](random), Results()
    known, new = source.draw(rows, random, least=5), source.draw(NEW, random)
    ours(known, new, found)
    for name, peer in PEERS.items():
        made: list[LogProbs] = []
        found.seconds[name] = seconds(lambda peer=peer, made=made: made.append(peer(known, new)))
        found.programs[name] = loss(made[0], new)
    return found


def summaries(found: dict[tuple[str, int], list[Results]]) -> Iterable[Row]:
    """Yield regrets, ranks and seconds over all data sets, then the regrets of each structure."""
    every = [each for many in found.values() for each in many]
    programs, question = list(every[0].programs), f"choice, {len(every)} data sets"
    for name in [*programs, *every[0].choices, *every[0].rules]:
        yield mean(question, f"{name}, regret", [1000 * each.regret(name) for each in every], "millinats")
    ranks = [rankdata([each.programs[name] for name in programs], method="min") for each in every]
    for place, name in enumerate(programs):
        yield mean(question, f"{name}, rank", [each[place] for each in ranks], "")
        yield Row(question, f"{name}, time", "", median(each.seconds[name] for each in every))
    for structure in dict.fromkeys(key for key, _ in found):
        of = [each for key, many in found.items() for each in many if key[0] == structure]
        question = f"regret by structure, {len(of)} data sets each"
        for name in programs:
            regrets = [1000 * each.regret(name) for each in of]
            yield mean(question, f"{structure}, {name}", regrets, "millinats")


def measure(quick: bool) -> list[Row]:
    """Return regrets, ranks and times."""
    count, found = 2 if quick else SEEDS, defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for structure in ["few rows"] if quick else STRUCTURES:
            for rows in sizes(structure)[: 1 if quick else 2]:
                found[structure, rows] = [results(structure, rows, seed) for seed in range(count)]
    answers = list(summaries(found))
    if not installed("autogluon.core"):
        answers.append(absent("regret", "all", "AutoGluon greedy", None, "autogluon.core"))
    return answers


if __name__ == "__main__":
    main(measure, packages=("autogluon.core",))

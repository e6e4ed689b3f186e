"""Combiners of numbers against scikit-learn, scipy and xgboost; bad members and targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import trim_mean
from sklearn.ensemble import RandomForestRegressor, VotingRegressor
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from torch import nn

from committee.combiners.base import Combiner, build
from committee.combiners.shared.serving import serving
from committee.errors import UsageError
from committee.predictions.spread import spread_of
from committee.predictions.table import Predictions
from committee.solvers.cross_fit import cross_fit
from committee.solvers.evidence import evidence
from committee.solvers.forest import on_grid
from committee.tasks.regression import Regression

QUICK: dict[str, dict[str, Any]] = {
    "stacking_rf": {"n_estimators": 2},
    "stacking_xgb": {"n_estimators": 2, "max_depth": 2},
    "stacking_mlp": {"hidden_dims": [4], "epochs": 1},
    "subset": {"members": ["near"]},
    "compose": {"inputs": {"one": "weighted", "other": "median"}, "final": "stacking_ridge"},
    "fallback": {"inner": "soft_voting", "fallback": "weighted"},
}
SPECS = [{"combiner": key, **QUICK.get(key, {})} for key in serving(Regression())]
GRAPHS = ("median", "trimmed_mean", "stacking_ridge", "stacking_rf", "stacking_xgb", "stacking_mlp")
"""Rules with graphs of their own; the others are weighted means, and choices among these."""
every = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec["combiner"])


def features(rows: Predictions) -> np.ndarray:
    """Return the values by member, in the order of names, and target."""
    ordered = rows.select(sorted(rows.members)).logits.astype(float)
    return ordered.transpose(1, 0, 2).reshape(len(rows), -1)


def check(found: np.ndarray, expected: np.ndarray, rows: Predictions, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(found / rows.labels.std(0), expected / rows.labels.std(0), atol=tolerance)


def test_the_worked_examples() -> None:
    """Two of three vote for class 1; three bagged stumps predict 11, 11 and 10."""
    votes = np.eye(2)[[1, 0, 1]][:, None] * 4
    classes = Predictions.from_logits(votes, members=list("abc"), class_names=["0", "1"])
    assert build("hard_voting").fit(classes).combine(classes.logits).argmax(axis=1).tolist() == [1]
    stumps = Predictions.from_values([[[11.0]], [[11.0]], [[10.0]]], members=list("abc"))
    assert build("soft_voting").fit(stumps).combine(stumps.logits).round(2).tolist() == [
        [pytest.approx(10.67)]
    ]


def test_fixed_rules(numbers: Predictions) -> None:
    values = numbers.logits.astype(float)
    rules = {
        "median": np.median(values, axis=0),
        "trimmed_mean": trim_mean(values, 0.3, axis=0),
        "soft_voting": values.mean(axis=0),
    }
    for key, expected in rules.items():
        options = {"trim": 0.3} if key == "trimmed_mean" else {}
        check(build({"combiner": key, **options}).fit(numbers).combine(numbers.logits), expected, numbers)
    x, y = np.random.default_rng(0).normal(size=(2, 40))
    models = [("one", LinearRegression()), ("other", DecisionTreeRegressor(max_depth=2))]
    vote = VotingRegressor(models).fit(x[:, None], y)
    both = np.stack([model.predict(x[:, None]) for model in vote.estimators_])
    rows = Predictions.from_values(both, members=["one", "other"], labels=y)
    check(build("soft_voting").fit(rows).combine(rows.logits)[:, 0], vote.predict(x[:, None]), rows)


def test_weights_are_those_of_sequential_quadratic_programming(numbers: Predictions) -> None:
    errors = (numbers.logits - numbers.labels) / numbers.labels.std(axis=0)
    errors = errors.reshape(4, -1)

    def loss(weights: np.ndarray) -> float:
        return float(np.square(weights @ errors).mean())

    simplex = {"type": "eq", "fun": lambda weights: weights.sum() - 1}
    found = minimize(
        loss, np.full(4, 0.25), method="SLSQP", bounds=[(0, 1)] * 4, constraints=simplex, tol=1e-12
    )
    for metric in ("rmse", "r2"):
        fitted = build({"combiner": "weighted", "metric": metric}).fit(numbers)
        assert fitted.learned("weight").numpy() == pytest.approx(found.x, abs=2e-3)
        assert loss(fitted.learned("weight").double().numpy()) <= found.fun + 1e-6
        assert fitted.notes()["certificate"] < 1e-6


def test_ridge_is_that_of_scikit_learn(numbers: Predictions) -> None:
    reference = make_pipeline(StandardScaler(), Ridge(3.0))
    fitted = build({"combiner": "stacking_ridge", "alpha": 3.0}).fit(numbers)
    expected = reference.fit(features(numbers), numbers.labels).predict(features(numbers))
    check(fitted.combine(numbers.logits), expected, numbers, 1e-4)
    rule = build({"combiner": "stacking_ridge", "folds": 4})
    notes, pairs = rule.fit(numbers).notes(), rule.held_out(numbers)
    for alpha, loss in notes["mse_by_alpha"].items():
        model = make_pipeline(StandardScaler(), Ridge(float(alpha)))
        held_out = cross_val_predict(model, features(numbers), numbers.labels, cv=pairs)
        errors = (held_out - numbers.labels) / numbers.labels.std(axis=0)
        assert loss == pytest.approx(np.square(errors).mean(), rel=1e-4)
    assert notes["mse_by_alpha"][f"{notes['alpha']:g}"] == min(notes["mse_by_alpha"].values())
    with pytest.raises(UsageError) as caught:
        build({"combiner": "stacking_ridge", "alpha": 0.0}).fit(numbers)
    assert str(caught.value) == "stacking_ridge.alpha: expected a number above 0, got 0.0."


@pytest.mark.parametrize("targets", [1, 2])
def test_trees_are_those_of_their_libraries(targets: int, numbers: Predictions) -> None:
    rows = replace(
        numbers,
        logits=np.ascontiguousarray(numbers.logits[:, :, :targets]),
        labels=numbers.labels[:, :targets],
        class_names=numbers.class_names[:targets],
    )
    forest = build({"combiner": "stacking_rf", "n_estimators": 5, "max_depth": 4}).fit(rows)
    shown = on_grid(forest._all_features(rows, "value"))
    standardized = (rows.labels - rows.labels.mean(0)) / rows.labels.std(0)
    least = forest.notes()["least_rows_in_a_leaf"]
    model = RandomForestRegressor(5, max_depth=4, min_samples_leaf=least, random_state=0)
    model.fit(shown, np.squeeze(standardized.astype(np.float32)))
    expected = model.predict(shown).reshape(len(rows), -1) * rows.labels.std(0) + rows.labels.mean(0)
    check(forest.combine(rows.logits), expected, rows, 1e-4)
    xgboost = pytest.importorskip("xgboost")
    boosted = build({"combiner": "stacking_xgb", "n_estimators": 5, "max_depth": 3}).fit(rows)
    settings = {"max_depth": 3, "eta": 0.1, "tree_method": "hist", "base_score": 0.0, "nthread": 1}
    table = xgboost.DMatrix(shown, label=standardized)
    booster = xgboost.train(settings, table, boosted.notes()["rounds"])
    expected = booster.predict(table).reshape(len(rows), -1) * rows.labels.std(0) + rows.labels.mean(0)
    check(boosted.combine(rows.logits), expected, rows, 1e-4)


def test_a_network_starts_from_the_mean(numbers: Predictions) -> None:
    rule = build({"combiner": "stacking_mlp", "epochs": 0}).fit(numbers)
    check(rule.combine(numbers.logits), numbers.logits.mean(axis=0), numbers)
    assert rule.notes()["mse"] == rule.notes()["start"]


class Rules(nn.Module):
    """Several rules of the same members, as one graph."""

    def __init__(self, rules: list[Combiner]) -> None:
        super().__init__()
        self.rules = nn.ModuleList(rules)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the numbers of each rule, `[R, B, T]`."""
        return torch.stack([rule(values) for rule in self.rules])


@pytest.mark.slow
def test_the_onnx_file_of_rules(numbers: Predictions, tmp_path: Path) -> None:
    module = Rules([build(spec).fit(numbers) for spec in SPECS if spec["combiner"] in GRAPHS]).eval()
    example = torch.from_numpy(numbers.logits[:, :3].copy())
    batch = torch.export.Dim("batch", min=1, max=4096)
    path = str(tmp_path / "rules.onnx")
    torch.onnx.export(
        module,
        (example,),
        path,
        dynamo=True,
        dynamic_shapes=({1: batch},),
        verbose=False,
        external_data=False,
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 40):
        values = numbers.logits[:, :count].copy()
        found = session.run(None, {session.get_inputs()[0].name: values})[0]
        expected = module(torch.from_numpy(values)).numpy()
        np.testing.assert_allclose(found / numbers.labels.std(0), expected / numbers.labels.std(0), atol=1e-5)


@every
def test_bad_members_and_targets(spec: dict[str, Any], numbers: Predictions) -> None:
    """Huge errors, constant targets, more members than rows, and two rows: all outputs are finite."""
    huge = numbers.logits.copy()
    huge[0] = np.random.default_rng(0).normal(size=huge.shape[1:]) * 1e30
    constant = numbers.labels.copy()
    constant[:, 1] = 0.1
    many = np.concatenate([numbers.logits[:, :3]] * 3)
    names = [*numbers.members, *(f"m{place}" for place in range(8))]
    for rows in (
        replace(numbers, logits=huge),
        replace(numbers, labels=constant),
        replace(numbers, labels=np.zeros_like(constant)),
        numbers.rows([3, 9]),
        numbers.rows([3, 9, 50]).with_outputs(many, names),
    ):
        fitted = build(spec).fit(rows)
        assert np.isfinite(fitted.combine(rows.logits)).all()
        weights = fitted.member_weights()
        assert weights is None or sum(weights.values()) == pytest.approx(1)


def test_weights_without_a_member_of_huge_errors_are_the_same(numbers: Predictions) -> None:
    huge = numbers.logits.copy()
    huge[0] *= 1e20
    rest = numbers.select(numbers.members[1:])
    for spec in ("weighted", {"combiner": "weighted", "metric": "mae"}, "greedy_selection"):
        weights = build(spec).fit(replace(numbers, logits=huge)).member_weights()
        assert weights.pop(numbers.members[0]) == 0
        assert weights == pytest.approx(build(spec).fit(rest).member_weights(), abs=1e-4)


def test_the_spread_of_a_constant_is_not_that_of_rounding() -> None:
    labels = np.column_stack([np.full(7, 0.1), np.zeros(7), np.arange(7.0)])
    assert spread_of(labels).tolist() == [0.1, 1.0, 2.0] and labels[:, 0].std() > 0


def test_stacks_of_members_that_know_nothing_are_not_better_than_the_mean() -> None:
    """Networks of the other folds have seen the labels of a fold, which a regression must not exploit."""
    random, squares = np.random.default_rng(0), []
    for _ in range(8):
        x, y = random.normal(size=(100, 6)), random.normal(size=100)
        folds = np.arange(100) % 5
        pairs = [(np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in range(5)]
        models = [LinearRegression(), Ridge(30.0)]
        values = [cross_val_predict(model, x, y, cv=pairs) for model in models]
        rows = Predictions.from_values(np.stack(values), members=["a", "b"], labels=y, folds=folds)
        assert evidence(rows).min() < 5
        held_out = cross_fit(build("stacking_ridge"), rows, folds)
        squares.append(np.square(held_out - rows.labels).mean() / rows.labels.var())
    assert np.mean(squares) > 1


def pinball_loss(labels: np.ndarray, values: np.ndarray) -> float:
    """A metric of a user: the loss of the 0.8 quantile, of one target as of several."""
    return float(np.maximum(0.8 * (labels - values), 0.2 * (values - labels)).mean())


def test_functions_of_the_user(numbers: Predictions, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    module = type(sys)("own_metrics")
    module.pinball_loss = pinball_loss
    monkeypatch.setitem(sys.modules, "own_metrics", module)
    name = "python:own_metrics.pinball_loss"
    equal = pinball_loss(numbers.labels, numbers.logits.mean(axis=0))
    for spec in (
        {"combiner": "weighted", "metric": name},
        {"combiner": "greedy_selection", "metric": name, "rounds": 5},
        {"combiner": "pruned", "metric": name, "folds": 2},
    ):
        fitted = build(spec).fit(numbers)
        assert pinball_loss(numbers.labels, fitted.combine(numbers.logits)) <= equal + 1e-9
    found = Regression().metric(name)
    assert not found.higher_is_better
    rows = Regression().read(numbers.logits[0], numbers.labels)
    interval = Regression().intervals(numbers.logits[0], numbers.labels, names=[name])[name]
    assert (
        interval.value
        == found.function(rows)
        == pinball_loss(numbers.labels, numbers.logits[0].astype(float))
    )
    assert interval.low < interval.value < interval.high
    one = Regression().evaluate([1.0, 3.0], [1.0, 2.0], ["python:sklearn.metrics.mean_absolute_error"])
    assert one == {"python:sklearn.metrics.mean_absolute_error": 0.5}
    with pytest.raises(UsageError) as caught:
        build({"combiner": "weighted", "metric": "python:sklearn.metrics.accuracy_score"}).fit(numbers)
    expected = "weighted.metric: expected a finite number from 'python:sklearn.metrics.accuracy_score', got "
    assert str(caught.value).startswith(f"{expected}ValueError")


def test_a_fallback_is_decided_by_the_squared_error(numbers: Predictions) -> None:
    random = np.random.default_rng(0)
    worse = numbers.labels + random.normal(size=numbers.labels.shape) * numbers.labels.std(axis=0) * 3
    rows = Predictions.from_values(
        np.stack([numbers.logits[1], worse]),
        members=["good", "bad"],
        target_names=numbers.target_names,
        labels=numbers.labels,
    )
    good, bad = ({"combiner": "subset", "members": [name]} for name in ("good", "bad"))
    used = [
        build({"combiner": "fallback", "inner": one, "fallback": other})
        for one, other in ((good, bad), (bad, good))
    ]
    for rule, expected in zip(used, ("inner", "fallback"), strict=True):
        notes = rule.fit(rows).notes()
        assert notes["used"] == expected and set(notes["gains"]) == {"rmse"}
        squares = np.square(rows.logits.astype(float) - rows.labels).mean(axis=1)
        errors = (np.sqrt(squares) / rows.labels.std(axis=0)).mean(axis=1)
        gain = abs(errors[0] - errors[1]) * (1 if expected == "inner" else -1)
        assert notes["gains"]["rmse"]["value"] == pytest.approx(gain, rel=1e-4)


@pytest.mark.parametrize("trim", [0.5, -0.1, float("nan")])
def test_a_trim_out_of_range(trim: float) -> None:
    with pytest.raises(UsageError) as caught:
        build({"combiner": "trimmed_mean", "trim": trim})
    assert str(caught.value) == f"trimmed_mean.trim: expected at least 0 and below 0.5, got {trim}."


@pytest.mark.parametrize("key", ["stacking_lr", "cascade", "hard_voting", "temperature", "attention"])
def test_what_does_not_apply_names_what_does(key: str, numbers: Predictions) -> None:
    with pytest.raises(UsageError) as caught:
        build(key).fit(numbers)
    assert str(caught.value) == (
        f"{key}: expected predictions of classes, got predictions of numbers. "
        f"Use one of {', '.join(serving(Regression()))}."
    )


@pytest.mark.parametrize("key", ["stacking_rf", "stacking_xgb", "stacking_mlp"])
def test_features_that_numbers_do_not_have(key: str, numbers: Predictions) -> None:
    with pytest.raises(UsageError) as caught:
        build({"combiner": key, "features": "probability"}).fit(numbers)
    assert str(caught.value) == f"{key}.features: expected one of auto, value, got 'probability'."

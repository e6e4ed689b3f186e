"""Combination of files: predictions on digits are joined by id, cross-fitted, and applied to test rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from committee.base.text import duration
from committee.combiners.base import COMBINERS
from committee.combiners.greedy_selection import GreedySelection
from committee.combiners.shared.serving import default_task
from committee.combiners.weighted import Weighted
from committee.errors import CommitteeError, DataError, UnknownNameError, UsageError
from committee.pipeline.combine import combine, plain_methods
from committee.pipeline.shared.budget import announce, estimates, within
from committee.predictions.simulation import simulate
from committee.predictions.table import Predictions

MODELS = {
    "bayes": GaussianNB(var_smoothing=1e-2),
    "linear": LinearDiscriminantAnalysis(),
    "neighbors": KNeighborsClassifier(7),
}
CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Out-of-fold predictions of three models on 600 digits and predictions of 200 others, in any order."""
    folder, random = tmp_path_factory.mktemp("digits"), np.random.default_rng(0)
    (folder / "test").mkdir()
    images, labels = load_digits(return_X_y=True)
    ids = np.array([f"scan {row:04d}" for row in range(len(labels))])
    train, test = np.arange(600), np.arange(600, 800)
    split = StratifiedKFold(5, shuffle=True, random_state=0)
    for name, model in MODELS.items():
        out_of_fold = cross_val_predict(model, images[train], labels[train], cv=split, method="predict_proba")
        later = model.fit(images[train], labels[train]).predict_proba(images[test])
        rows, classes = random.permutation(train), random.permutation(10)
        named = {"classes": np.array(CLASSES)[classes]}
        np.savez(folder / f"{name}.npz", probs=out_of_fold[rows][:, classes], ids=ids[rows], **named)
        np.savez(folder / "test" / f"{name}.npz", probs=later[:, classes], ids=ids[test], **named)
    lines = [f"{name},{CLASSES[label]}" for name, label in zip(ids, labels, strict=True)]
    (folder / "labels.csv").write_text("\n".join(["id,label", *lines]), encoding="utf-8")
    return folder


def files(folder: Path) -> list[Path]:
    return [folder / f"{name}.npz" for name in MODELS]


def sentence(error: type[CommitteeError], act: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        act()
    return str(caught.value)


def test_methods_are_ranked_by_their_cross_fitted_metric(digits: Path) -> None:
    methods = ["soft_voting", "hard_voting_ensemble", "logit_averaging", "weighted"]
    found = combine(files(digits), digits / "labels.csv", methods=methods)
    losses = [each.scores.cross_fitted["log_loss"].value for each in found.methods]
    assert losses == sorted(losses)
    assert {each.method for each in found.methods} == {
        "soft_voting",
        "hard_voting",
        "logit_averaging",
        "weighted",
    }
    assert found.best.scores.cross_fitted["log_loss"].value < min(
        scores["log_loss"] for scores in found.alone.values()
    )
    assert found.predictions.members == ("bayes", "linear", "neighbors")
    by_accuracy = combine(files(digits), digits / "labels.csv", methods=methods, metric="accuracy")
    scores = [each.scores.cross_fitted["accuracy"].value for each in by_accuracy.methods]
    assert scores == sorted(scores, reverse=True)
    assert by_accuracy.best.scores.gain["accuracy"].metric == "accuracy"


@pytest.mark.slow
def test_all_methods_by_default(digits: Path) -> None:
    found = combine([digits / "linear.npz", digits / "bayes.npz"], digits / "labels.csv")
    methods = {each.method for each in found.methods}
    assert {
        "soft_voting",
        "hard_voting",
        "logit_averaging",
        "weighted",
        "greedy_selection",
        "stacking_lr",
    } <= methods
    assert not methods & {"compose", "subset", "temperature", "member_temperature"}
    assert methods <= set(COMBINERS.names())


@pytest.mark.slow
def test_slow_methods_are_skipped_by_default(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.arange(1200) % 600
    logits = np.random.default_rng(0).normal(size=(1, 1200, 600)) + np.eye(600)[labels]
    made = Predictions.from_logits(
        logits, members=["a"], class_names=[f"class {index}" for index in range(600)], labels=labels
    )
    seconds = {name: 6 * COMBINERS.make(name).seconds(1, 1200, 600) for name in plain_methods(default_task())}
    with caplog.at_level("INFO", logger="committee"):
        found = combine(made)
    left_out = [name for name in plain_methods(default_task()) if seconds[name] > 10]
    assert set(left_out) == {*plain_methods(default_task())} - {each.method for each in found.methods}
    times = {name: f"about {duration(seconds[name] / 3600)}" for name in left_out if name != "stacking_rf"}
    assert seconds["stacking_rf"] == np.inf and times["stacking_lr"].endswith(" minutes")
    times["stacking_rf"] = "cannot be fitted"
    listed = ", ".join(f"{name} ({times[name]})" for name in left_out)
    assert caplog.messages == [
        f"Left out to stay within a budget of 10 seconds: {listed}. "
        "Run one with --method NAME, those within another budget with --budget SECONDS, or all with --slow."
    ]


def test_the_cheapest_methods_run_within_a_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Weighted, "seconds", lambda self, *sizes: 3.0)
    monkeypatch.setattr(GreedySelection, "seconds", lambda self, *sizes: 2.0)
    combiners = {name: COMBINERS.make(name) for name in ("weighted", "greedy_selection", "soft_voting")}
    rows = simulate({"a": 2.0, "b": 2.0}, rows=60)
    folds = np.arange(60) % 4
    seconds = estimates(combiners, rows, folds)
    assert seconds["weighted"] == 15 and seconds["greedy_selection"] == 10
    calibrated = estimates(combiners, rows, folds, "members")
    assert seconds["weighted"] < calibrated["weighted"] < 1.1 * seconds["weighted"]
    chosen = {budget: set(within(combiners, seconds, budget)) for budget in (1e-9, 11.0, 14.9, 26.0, None)}
    assert chosen == {
        1e-9: {"soft_voting"},
        11.0: {"greedy_selection", "soft_voting"},
        14.9: {"greedy_selection", "soft_voting"},
        26.0: set(combiners),
        None: set(combiners),
    }
    with pytest.raises(UsageError, match=r"^budget: expected a number above 0, got 0\.$"):
        within(combiners, seconds, 0)


def test_the_log_says_what_takes_long(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="committee"):
        announce({"weighted": 0.5, "greedy_selection": 1.5})
        announce({"weighted": 0.5, "stacking_xgb": 49.0, "stacking_mlp": 12.0})
    assert caplog.messages == [
        "Fitting 3 methods takes about 1 minute, most of it: stacking_xgb (about 49 seconds), "
        "stacking_mlp (about 12 seconds)."
    ]


def test_ranking_by_a_metric_that_no_method_optimizes(digits: Path) -> None:
    found = combine(files(digits), digits / "labels.csv", methods=["weighted", "soft_voting"], metric="ece")
    errors = [each.scores.cross_fitted["ece"].value for each in found.methods]
    assert errors == sorted(errors)


def test_the_order_of_files_does_not_matter(digits: Path) -> None:
    forward, reverse = (
        combine(order, digits / "labels.csv", methods=["weighted"], folds=4, calibrate="none").best
        for order in (files(digits), files(digits)[::-1])
    )
    first, second = forward.combiner.member_weights(), reverse.combiner.member_weights()
    assert first == pytest.approx(second, abs=1e-4)
    # Folds are drawn over rows in the order of the first file, so the estimates are equal but for that draw.
    values = [each.scores.cross_fitted["log_loss"].value for each in (forward, reverse)]
    assert values[0] == pytest.approx(values[1], abs=0.01)


def test_test_rows_are_combined_by_the_best(digits: Path) -> None:
    labels = digits / "labels.csv"
    by_name = [digits / "test" / f"{name}.npz" for name in reversed(MODELS)]
    found = combine(files(digits), labels, methods=["weighted", "soft_voting"], test=by_name)
    assert found.test is not None and found.test.members == found.predictions.members
    probabilities = found.test_probabilities()
    assert probabilities.shape == (200, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    truth = found.test.with_labels(*_table(labels)).labels
    assert (probabilities.argmax(axis=1) == truth).mean() > 0.85
    assert sentence(
        UsageError, combine(files(digits), labels, methods=["soft_voting"]).test_probabilities
    ) == ("combine: expected test files, got none.")


def _table(labels: Path) -> tuple[list[str], list[str]]:
    rows = [line.split(",") for line in labels.read_text(encoding="utf-8").splitlines()[1:]]
    return [row[0] for row in rows], [row[1] for row in rows]


def test_test_files_are_matched_by_the_differing_parts_of_their_names(
    digits: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    by_alphabet, by_order = [], []
    for place, name in enumerate(MODELS):
        content = (digits / "test" / f"{name}.npz").read_bytes()
        by_alphabet.append(tmp_path / f"{name}_test.npz")
        by_order.append(tmp_path / f"{'zyx'[place]}.npz")
        by_alphabet[-1].write_bytes(content)
        by_order[-1].write_bytes(content)
    renamed = sorted(by_alphabet, reverse=True)
    first, second, third = (
        combine(files(digits), digits / "labels.csv", methods=["weighted"], test=test).test_probabilities()
        for test in ([digits / "test" / f"{name}.npz" for name in MODELS], renamed, by_order)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    pairs = ", ".join(f"{new} is {old}" for new, old in zip("zyx", MODELS, strict=True))
    assert caplog.messages == [
        f"The names of the test files do not match, so the files are matched by order: {pairs}"
    ]
    too_few = sentence(
        UsageError,
        lambda: combine(files(digits), digits / "labels.csv", methods=["weighted"], test=by_alphabet[:2]),
    )
    assert too_few == (
        "--test: expected the members 'bayes', 'linear', 'neighbors', got 'bayes_test', 'linear_test'. "
        "Give one test file per member, with the same name or in the same order."
    )


def test_one_file_works(digits: Path) -> None:
    found = combine([digits / "linear.npz"], digits / "labels.csv", methods=["weighted", "soft_voting"])
    for each in found.methods:
        assert each.scores.gain["log_loss"].text == "no proven gain"
        assert each.scores.cross_fitted["accuracy"].value == found.alone["linear"]["accuracy"]


@pytest.mark.parametrize("calibrate", ["pooled", "vector", "members"])
def test_calibration_is_measured(digits: Path, calibrate: str) -> None:
    found = combine(files(digits), digits / "labels.csv", methods=["soft_voting"], calibrate=calibrate).best
    assert found.method == "soft_voting" and found.calibration is not None
    assert found.calibration["method"] == calibrate
    plain = combine(files(digits), digits / "labels.csv", methods=["soft_voting"], calibrate="none").best
    assert plain.calibration is None
    for name in ("log_loss", "ece"):
        change = found.calibration[name]
        assert change["before"] == plain.scores.cross_fitted[name].value
        assert change["after"] == found.scores.cross_fitted[name].value


def test_calibration_helps_overconfident_members() -> None:
    random, labels = np.random.default_rng(0), np.arange(900) % 3
    logits = 4 * (random.normal(size=(2, 900, 3)) + np.eye(3)[labels])
    made = Predictions.from_logits(logits, members=["a", "b"], class_names="xyz", labels=labels)
    found = combine(made, methods=["logit_averaging"]).best  # pooled, by default
    assert found.calibration is not None
    for name in ("log_loss", "ece"):
        assert found.calibration[name]["after"] < 0.9 * found.calibration[name]["before"]
    assert 1.5 < found.to_json()["notes"]["temperature"] < 3


def test_given_weights(digits: Path) -> None:
    given = {"linear": 3.0, "bayes": 1.0}
    found = combine(
        files(digits), digits / "labels.csv", methods=["weighted"], weights=given, space="logit"
    ).best
    assert found.combiner.member_weights() == pytest.approx({"bayes": 0.25, "linear": 0.75, "neighbors": 0})
    assert found.to_json()["weights"]["linear"] == pytest.approx(0.75)


@pytest.mark.slow
def test_methods_with_options_as_in_a_recipe(digits: Path) -> None:
    methods = [
        "weighted",
        {"combiner": "weighted", "name": "given", "weights": {"linear": 3, "bayes": 1}, "space": "logit"},
        {"combiner": "compose", "inputs": {"a": "hard_voting", "b": "weighted"}, "final": "stacking_lr"},
        {"combiner": "greedy_selection_ensemble", "bags": 3},
    ]
    found = combine(files(digits), digits / "labels.csv", methods=methods, metric="accuracy")
    rules = {each.method: each.combiner for each in found.methods}
    assert set(rules) == {"weighted", "given", "compose", "greedy_selection"}
    assert rules["given"].member_weights() == pytest.approx({"bayes": 0.25, "linear": 0.75, "neighbors": 0})
    assert rules["given"].options()["inner"]["metric"] == "accuracy"
    assert rules["greedy_selection"].options()["inner"]["bags"] == 3


def test_arrays_instead_of_files() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(90) % 3
    logits = random.normal(size=(2, 90, 3)) + 2 * np.eye(3)[labels]
    made = Predictions.from_logits(logits, members=["a", "b"], class_names="xyz", labels=labels)
    found = combine(made, methods=["soft_voting"], test=made)
    assert found.test_probabilities().shape == (90, 3)


def test_folds_come_from_the_files_or_are_drawn(digits: Path, tmp_path: Path) -> None:
    ids, labels = _table(digits / "labels.csv")
    lines = [f"{name},{label},{row % 2}" for row, (name, label) in enumerate(zip(ids, labels, strict=True))]
    (tmp_path / "y.csv").write_text("\n".join(["id,label,fold", *lines]), encoding="utf-8")
    own = combine(files(digits), tmp_path / "y.csv", methods=["weighted"])
    assert own.predictions.folds is not None and set(own.predictions.folds.tolist()) == {0, 1}
    drawn = combine(files(digits), tmp_path / "y.csv", methods=["weighted"], folds=3)
    other = combine(files(digits), digits / "labels.csv", methods=["weighted"], folds=3)
    losses = [each.best.scores.cross_fitted["log_loss"].value for each in (own, drawn, other)]
    assert losses[1] == losses[2] != losses[0]


def test_folds_that_do_not_fit(digits: Path, tmp_path: Path) -> None:
    assert sentence(DataError, lambda: combine(files(digits), digits / "labels.csv", folds=900)) == (
        "folds: expected at least 900 rows, got 600. Use fewer folds."
    )
    assert sentence(UsageError, lambda: combine(files(digits), digits / "labels.csv", folds=1)) == (
        "folds: expected at least 2, got 1."
    )
    ids, labels = _table(digits / "labels.csv")
    lines = [f"{name},{label},{int(label == 'one')}" for name, label in zip(ids, labels, strict=True)]
    (tmp_path / "y.csv").write_text("\n".join(["id,label,fold", *lines]), encoding="utf-8")
    assert sentence(DataError, lambda: combine(files(digits), tmp_path / "y.csv", methods=["weighted"])) == (
        "folds: class 'two': expected rows in at least 2 folds, got all in fold 0. "
        "Correct the fold column, or leave it out."
    )


def test_a_class_of_one_row_is_named_and_changes_nothing_else(digits: Path, tmp_path: Path, caplog) -> None:
    ids, labels = _table(digits / "labels.csv")
    labels = [label if row else "ten" for row, label in enumerate(labels)]
    rows = zip(ids, labels, np.arange(len(ids)) % 5, strict=True)
    lines = [f"{name},{label},{fold}" for name, label, fold in rows]
    (tmp_path / "y.csv").write_text("\n".join(["id,label,fold", *lines]), encoding="utf-8")
    with pytest.raises(DataError, match="ten"):  # the members do not have this class
        combine(files(digits), tmp_path / "y.csv", methods=["weighted"])
    labels = ["one" if label in ("one", "two") and row else label for row, label in enumerate(labels)]
    labels[0], labels[7] = "one", "two"
    lines = [f"{name},{label}" for name, label in zip(ids, labels, strict=True)]
    (tmp_path / "z.csv").write_text("\n".join(["id,label", *lines]), encoding="utf-8")
    for folds in (None, 5):
        caplog.clear()
        found = combine(files(digits), tmp_path / "z.csv", methods=["weighted"], folds=folds)
        assert np.isfinite(found.best.scores.cross_fitted["log_loss"].value)
    assert caplog.messages == [
        "All rows of 'two' are in one fold: what is fitted for that fold has not seen the class"
    ]


def test_groups_widen_intervals(digits: Path, tmp_path: Path) -> None:
    ids, labels = _table(digits / "labels.csv")
    lines = [
        f"{name},{label},g{row // 20}" for row, (name, label) in enumerate(zip(ids, labels, strict=True))
    ]
    (tmp_path / "y.csv").write_text("\n".join(["id,label,group", *lines]), encoding="utf-8")
    found = combine(files(digits), tmp_path / "y.csv", methods=["soft_voting"])
    assert found.predictions.groups is not None and len(np.unique(found.predictions.groups)) == 30
    plain = combine(files(digits), digits / "labels.csv", methods=["soft_voting"])
    assert found.best.scores.cross_fitted["accuracy"] != plain.best.scores.cross_fitted["accuracy"]


def test_missing_arguments_and_unknown_names(digits: Path) -> None:
    labels = digits / "labels.csv"
    assert sentence(UsageError, lambda: combine(files(digits))) == (
        "combine: expected labels of the samples, got none. "
        "Name a file with the columns id and label: --labels FILE"
    )
    assert sentence(UsageError, lambda: combine([], labels)) == (
        "combine: expected at least one file of predictions, got none."
    )
    unknown = sentence(UnknownNameError, lambda: combine(files(digits), labels, methods=["weigthed"]))
    assert unknown.startswith("combiner: expected one of ")
    assert unknown.endswith(", got 'weigthed'. Did you mean 'weighted'?")
    assert sentence(UsageError, lambda: combine(files(digits), labels, methods=["subset"])) == (
        "combiner subset: expected the option 'members', got none."
    )
    unknown = sentence(UnknownNameError, lambda: combine(files(digits), labels, metric="acuracy"))
    assert unknown.endswith(", got 'acuracy'. Did you mean 'accuracy'?")
    assert sentence(UsageError, lambda: combine(files(digits), labels, calibrate="poold")) == (
        "calibrate: expected one of pooled, vector, members, none, got 'poold'. Did you mean 'pooled'?"
    )
    twice = ["weighted", {"combiner": "weighted", "space": "logit"}]
    assert sentence(UsageError, lambda: combine(files(digits), labels, methods=twice)) == (
        "methods: expected a different name for each method, got 'weighted' twice. "
        "Name one of them: {combiner: ..., name: ...}."
    )
    assert sentence(UsageError, lambda: combine(files(digits), labels, methods=["compose"])) == (
        "combiner compose: expected the option 'inputs', got none."
    )
    no_weighted = sentence(
        UsageError, lambda: combine(files(digits), labels, methods=["soft_voting"], weights={"linear": 1.0})
    )
    assert no_weighted == (
        "weights: expected the method 'weighted', got 'soft_voting'. Add --method weighted."
    )


def test_predictions_that_do_not_fit(digits: Path, tmp_path: Path) -> None:
    labels = digits / "labels.csv"
    with np.load(digits / "linear.npz") as archive:
        good = {name: archive[name] for name in archive.files}
    fewer = tmp_path / "fewer.npz"
    np.savez(fewer, probs=good["probs"][2:], ids=good["ids"][2:], classes=good["classes"])
    two = ", ".join(f"'{name}'" for name in np.load(digits / "bayes.npz")["ids"] if name in good["ids"][:2])
    assert sentence(DataError, lambda: combine([digits / "bayes.npz", fewer], labels)) == (
        f"predictions of 'fewer': expected the samples of 'bayes', got none for {two}."
    )
    renamed = tmp_path / "renamed.npz"
    np.savez(
        renamed,
        probs=good["probs"],
        ids=good["ids"],
        classes=np.char.replace(good["classes"], "seven", "sevn"),
    )
    assert sentence(DataError, lambda: combine([digits / "bayes.npz", renamed], labels)) == (
        "predictions of 'renamed': expected the classes of 'bayes', got 'sevn'. Did you mean 'seven'?"
    )
    sums = tmp_path / "sums.npz"
    np.savez(sums, **{**good, "probs": good["probs"] * 1.5})
    assert sentence(DataError, lambda: combine([digits / "bayes.npz", sums], labels)).startswith(
        f"{sums}: expected non-negative probabilities that sum to 1, "
        "got a sum of 1.5 in the first of 600 invalid rows, "
    )
    nameless = tmp_path / "nameless.npz"
    np.savez(nameless, probs=good["probs"], ids=good["ids"])
    assert sentence(DataError, lambda: combine([nameless], labels)) == (
        f"{labels}: expected classes among '0', '1', '2', '3', '4' and 5 more, "
        "got 'eight', 'five', 'four', 'nine', 'one' and 5 more. Name the classes in the predictions."
    )


def test_ranking_by_a_function(digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_metrics.py").write_text(
        "def squares(labels, probs):\n    return (probs[range(len(labels)), labels] ** 2).mean()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    metric = "python:own_metrics.squares"
    found = combine(files(digits), digits / "labels.csv", methods=["soft_voting", "weighted"], metric=metric)
    values = [each.scores.cross_fitted[metric].value for each in found.methods]
    assert values == sorted(values, reverse=True) and 0.3 < values[0] < 1
    assert (
        found.methods[0].scores.cross_fitted[metric].low
        < values[0]
        < found.methods[0].scores.fit[metric] + 0.1
    )
    weighted = next(each for each in found.methods if each.method == "weighted")
    assert weighted.combiner.options()["inner"]["metric"] == metric
    assert set(found.alone) == {"bayes", "linear", "neighbors"}
    assert sentence(
        UsageError, lambda: combine(files(digits), digits / "labels.csv", metric="python:own.f")
    ) == (
        "metric: expected 'python:own.f' with a module that can be imported, got ModuleNotFoundError: "
        "No module named 'own'. Install it, or put its folder on PYTHONPATH."
    )


def test_every_metric_that_ranks_has_its_own_gain() -> None:
    rows = simulate({"a": 2.0, "b": 2.0, "c": 2.0}, rows=300)
    for metric in ("brier", "auroc", "balanced_accuracy", "ece"):
        found = combine(rows, methods=["soft_voting", "weighted"], metric=metric)
        assert found.best.scores.gain[metric].metric == metric


def test_the_winner_uses_fewer_networks_within_noise() -> None:
    """Two of three members are the same: the pair predicts what all three predict."""
    rows = simulate({"a": 2.0, "b": 2.0}, rows=300)
    random = np.random.default_rng(0)
    third = rows.logits[1] + random.normal(size=rows.logits[1].shape).astype(np.float32) / 50
    three = Predictions.from_logits(
        np.stack([*rows.logits, third]),
        members=["a", "b", "c"],
        class_names=rows.class_names,
        labels=rows.labels,
    )
    given = {"combiner": "weighted", "weights": {"a": 0.5, "b": 0.25, "c": 0.25}}
    pair = {"combiner": "subset", "members": ["a", "b"]}
    found = combine(three, methods=[given, pair])
    losses = {each.method: each.scores.cross_fitted["log_loss"].value for each in found.methods}
    assert losses["weighted"] == pytest.approx(losses["subset"], abs=0.01)
    assert found.best.method == "subset"
    assert found.methods[0].method == min(losses, key=lambda name: losses[name])


def test_a_metric_that_is_not_defined_is_refused() -> None:
    rows = simulate({"a": 2.0, "b": 2.0}, rows=100)
    labels = np.zeros(100, np.int64)
    assert sentence(
        UsageError, lambda: combine(replace(rows, labels=labels), methods=["soft_voting"], metric="auroc")
    ) == ("metric: expected one that is defined on these rows, got 'auroc', which is not.")

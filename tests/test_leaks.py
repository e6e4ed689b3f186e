"""No combiner is fitted on rows that a member has seen, and no gain is found on random labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import binom, t
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GroupKFold, PredefinedSplit, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from committee.base.folds import make_folds
from committee.combiners.base import Combiner, build
from committee.combiners.member_temperature import MemberTemperature
from committee.combiners.shared.serving import default_task, serving
from committee.combiners.stacking_lr import StackingLr
from committee.combiners.temperature import Temperature
from committee.errors import LeakError
from committee.metrics.classification import evaluate
from committee.pipeline.combine import combine
from committee.pipeline.run import run, run_verb
from committee.pipeline.shared import build as build_module
from committee.pipeline.shared.records import ensemble_facts
from committee.predictions.table import Predictions
from committee.recipe.load import load_recipe
from committee.report.leaderboard import leaderboard
from committee.scoring.gains import gain
from committee.scoring.leave_one_out import contributions
from committee.scoring.scores import cross_fit, score, score_all
from committee.scoring.singles import best_single
from committee.solvers.cross_fit import ENOUGH_EVIDENCE, redraw_folds, ways_to_split
from committee.solvers.evidence import evidence
from committee.store import commit as store_commit
from committee.store.commit import commit
from committee.store.layout import Store

SENTENCE = (
    "{who}: expected rows that no member was trained on, got {count} rows that 'near' was trained on. "
    "Use out-of-fold predictions or held-out rows."
)


@pytest.fixture(scope="module")
def rows() -> Predictions:
    """Out-of-fold probabilities of two classifiers on 400 digits, with groups that share folds."""
    images, labels = load_digits(return_X_y=True)
    images, labels = images[:400] / 16, labels[:400]
    groups = np.arange(400) // 2
    splits = list(GroupKFold(4).split(images, labels, groups))
    folds = np.empty(400, np.int64)
    for fold, (_, held_out) in enumerate(splits):
        folds[held_out] = fold
    models = {"near": KNeighborsClassifier(5), "bayes": GaussianNB(var_smoothing=1e-2)}
    probs = [cross_val_predict(m, images, labels, cv=splits, method="predict_proba") for m in models.values()]
    return Predictions.from_probabilities(
        np.stack(probs) * 0.97 + 0.003,
        members=list(models),
        class_names=list("0123456789"),
        labels=labels,
        folds=folds,
        groups=groups,
    )


@pytest.fixture(scope="module")
def stained(rows: Predictions) -> Predictions:
    """The same, with 7 rows on which `near` was trained."""
    seen = np.zeros((2, 400), bool)
    seen[0, 100:107] = True
    return replace(rows, seen=seen)


def refusal(act: Callable[[], object]) -> str:
    with pytest.raises(LeakError) as error:
        act()
    return str(error.value)


NEEDED: dict[str, dict[str, Any]] = {
    "subset": {"members": ["near"]},
    "fallback": {"inner": "weighted", "fallback": "soft_voting"},
    "compose": {"inputs": {"a": "weighted", "b": "soft_voting"}, "final": "stacking_lr"},
}


@pytest.mark.parametrize("key", serving(default_task()))
def test_every_fit_of_every_combiner_refuses_rows_that_were_seen(key: str, stained: Predictions) -> None:
    rule = build({"combiner": key, **NEEDED.get(key, {})})
    assert refusal(lambda: rule.fit(stained)) == SENTENCE.format(who=key, count="7 of 400")
    nested = build({"combiner": "compose", "inputs": {"near": rule}, "final": rule.clone()})
    for outer in (
        build({"combiner": "temperature", "inner": rule}),
        build({"combiner": "member_temperature", "inner": rule}),
        nested,
    ):
        assert refusal(lambda outer=outer: outer.fit(stained)) == SENTENCE.format(
            who=outer.key, count="7 of 400"
        )
    for attempt in (cross_fit, contributions, score):
        assert refusal(lambda attempt=attempt: attempt(rule, stained)) == SENTENCE.format(
            who=key, count="7 of 400"
        )


def test_a_temperature_and_a_baseline_are_fits_too(rows: Predictions, stained: Predictions) -> None:
    for rule in (Temperature(), MemberTemperature()):
        fitted = rule.fit(rows)
        assert refusal(lambda fitted=fitted: fitted.recalibrate(stained)) == SENTENCE.format(
            who=rule.key, count="7 of 400"
        )
    assert refusal(lambda: best_single(stained, rows.folds)) == SENTENCE.format(
        who="best_single", count="7 of 400"
    )


def test_no_way_of_handling_predictions_forgets_what_was_seen(stained: Predictions, tmp_path: Path) -> None:
    stained.save(tmp_path / "saved")
    other = Predictions.from_logits(
        stained.logits[1, ::-1],
        members=["other"],
        class_names=stained.class_names,
        sample_ids=stained.sample_ids[::-1],
    )
    turned = np.arange(400)[::-1]
    handled = {
        "loaded": Predictions.load(tmp_path / "saved"),
        "joined first": Predictions.join([stained, other]),
        "joined last": Predictions.join([other, stained]),
        "some rows": stained.rows(np.arange(100, 107)),
        "a mask": stained.rows(stained.sample_ids != "3"),
        "turned": stained.rows(turned).rows(turned),
        "members": stained.select(["bayes", "near"]),
        "classes": stained.with_classes(stained.class_names[::-1]),
        "labeled": stained.with_labels(stained.sample_ids, stained.labels),
    }
    for how, found in handled.items():
        mine = found.seen[found.members.index("near")]
        assert set(found.sample_ids[mine]) == {str(row) for row in range(100, 107)}, how
        assert found.seen.sum() == 7, how


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".csv", ".parquet"])
def test_files_say_what_was_seen(suffix: str, stained: Predictions, tmp_path: Path, cli: Any) -> None:
    file = tmp_path / f"near{suffix}"
    write(file, stained)
    clean = replace(stained.select(["bayes"]), members=("bayes",))
    write(tmp_path / "bayes.npz", clean)
    said = cli("combine", file, tmp_path / "bayes.npz", "--method", "soft_voting")
    assert said.code == 1
    assert said.err.splitlines()[-1] == f"committee: {SENTENCE.format(who='temperature', count='7 of 400')}"
    assert cli("combine", tmp_path / "bayes.npz", "--method", "soft_voting").code == 0


def write(path: Path, rows: Predictions) -> None:
    """Write the first member's logits and its seen rows in any format."""
    probs, seen = softmax(rows.logits[0].astype(np.float64), axis=1), rows.seen[0]
    if path.suffix == ".npz":
        np.savez(path, ids=rows.sample_ids, probs=probs, labels=rows.labels, seen=seen)
    elif path.suffix == ".safetensors":
        from safetensors.numpy import save_file

        arrays = {"probs": probs.astype(np.float32), "labels": rows.labels, "seen": seen}
        save_file(arrays, path, {"ids": json.dumps(rows.sample_ids.tolist())})
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        columns = {
            "id": rows.sample_ids.tolist(),
            "label": rows.labels.tolist(),
            "seen": seen.astype(int).tolist(),
        }
        parquet.write_table(pyarrow.table(columns | {f"p{k}": probs[:, k] for k in range(10)}), path)
    else:
        lines = ["id," + ",".join(f"p{k}" for k in range(10)) + ",label,seen"]
        for name, values, label, mark in zip(rows.sample_ids, probs, rows.labels, seen, strict=True):
            lines.append(f"{name},{','.join(map(str, values))},{label},{int(mark)}")
        path.write_text("\n".join(lines), encoding="utf-8")


def test_a_build_leaves_out_stored_rows_that_were_seen(trained: Store, tiny_settings: list[str]) -> None:
    folder = trained.kfold("test_vit") / "oof"
    stored = Predictions.load(folder, mmap=False)
    seen = np.zeros_like(stored.seen)
    seen[0, :5] = True
    with commit(folder, kind="predictions", fingerprint="the rows of the fit") as new:
        replace(stored, seen=seen).save(new)
    outcome = run_verb(
        "build-ensemble", load_recipe(None, tiny_settings), trained, methods=["soft_voting", "weighted"]
    )
    assert outcome.exit_code == 0, outcome.failed
    assert ensemble_facts(trained, "weighted_ensemble")["n"] == len(stored) - 5
    joined = Predictions.load(trained.oof_predictions())
    assert not joined.seen.any() and not set(joined.sample_ids) & set(stored.sample_ids[:5])
    with pytest.raises(LeakError):
        combine(Predictions.load(folder), methods=["soft_voting"])


# --- equal to scikit-learn's cross-validation -----------------------------------------------------------


def features(rows: Predictions) -> np.ndarray:
    order = np.argsort(rows.members)
    return np.concatenate(list(log_softmax(rows.logits[order].astype(np.float64), axis=2)), axis=1)


def splits_of(rows: Predictions) -> Any:
    """Return the folds in scikit-learn's form; no group is in two of them."""
    for _, held_out in PredefinedSplit(rows.folds).split():
        rest = np.setdiff1d(np.arange(len(rows)), held_out)
        assert not set(rows.groups[held_out]) & set(rows.groups[rest])
    return PredefinedSplit(rows.folds)


def regression_of(rows: Predictions, splits: Any) -> np.ndarray:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000, tol=1e-8))
    return cross_val_predict(model, features(rows), rows.labels, cv=splits, method="predict_proba")


def test_stacking_is_scikit_learns_cross_validated_regression(rows: Predictions) -> None:
    rule = build({"combiner": "stacking_lr", "C": 0.1, "features": "log_probability"})
    expected = regression_of(rows, splits_of(rows))
    np.testing.assert_allclose(np.exp(cross_fit(rule, rows)), expected, atol=2e-3)
    _, scores = score_all({"it": rule}, rows)["it"]
    assert scores.cross_fitted["log_loss"].value == pytest.approx(log_loss(rows.labels, expected), abs=5e-4)


def test_stacking_of_members_that_know_nothing_stays_within_the_folds_of_the_networks(
    rows: Predictions,
) -> None:
    """With members that predict at random, a regression must not score better than chance."""
    labels = np.random.default_rng(0).permutation(rows.labels)
    nothing = replace(rows, labels=labels, groups=None)
    assert evidence(nothing).max() < ENOUGH_EVIDENCE < evidence(rows).min()
    inside = []
    for fold in np.unique(nothing.folds):
        held_out = np.flatnonzero(nothing.folds == fold)
        parts = redraw_folds(nothing.rows(held_out))
        inside += [(held_out[parts != part], held_out[parts == part]) for part in np.unique(parts)]
    rule = build({"combiner": "stacking_lr", "C": 0.1, "features": "log_probability"})
    np.testing.assert_allclose(np.exp(cross_fit(rule, nothing)), regression_of(nothing, inside), atol=2e-3)
    apart = replace(nothing, folds=None)
    plain = regression_of(nothing, PredefinedSplit(rows.folds))
    np.testing.assert_allclose(np.exp(cross_fit(rule, apart, folds=rows.folds)), plain, atol=2e-3)


def test_a_fold_that_cannot_be_split_again_is_said(
    rows: Predictions, caplog: pytest.LogCaptureFixture
) -> None:
    labels = np.random.default_rng(0).permutation(rows.labels)
    nothing = replace(rows, labels=labels, groups=rows.folds)
    pairs = ways_to_split(nothing, nothing.folds, allows_negative_weights=True)[-1]
    assert [len(held_out) for _, held_out in pairs] == np.bincount(rows.folds).tolist()
    assert "may be too good: a fold cannot be split" in caplog.text


def test_a_vote_is_the_mean_of_the_cross_validated_probabilities(rows: Predictions) -> None:
    expected = softmax(rows.logits.astype(np.float64), axis=2).mean(axis=0)
    _, scores = score_all({"it": build("soft_voting")}, rows)["it"]
    assert scores.cross_fitted["log_loss"].value == pytest.approx(log_loss(rows.labels, expected), abs=1e-6)
    assert scores.cross_fitted["accuracy"].value == np.mean(expected.argmax(1) == rows.labels)


def test_a_temperature_is_the_best_of_the_other_folds(rows: Predictions) -> None:
    pooled = np.log(softmax(rows.logits.astype(np.float64), axis=2).mean(axis=0))
    expected = np.empty_like(pooled)
    for others, held_out in splits_of(rows).split():

        def loss(log_temperature: float, others: Any = others) -> float:
            logits = pooled[others]
            probs = softmax(logits / np.exp(log_temperature), axis=1)
            variance = (probs * logits**2).sum(axis=1) - (probs * logits).sum(axis=1) ** 2
            total = log_loss(rows.labels[others], probs, labels=range(10), normalize=False)
            return float(total - np.log(variance.sum()) / 2)  # with Firth's penalty

        best = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
        expected[held_out] = softmax(pooled[held_out] / np.exp(best.x), axis=1)
    found = np.exp(cross_fit(build("temperature"), rows))
    np.testing.assert_allclose(found, expected, atol=1e-5)


# --- no gain is found on random labels ---------------------------------------------------------------

SEEDS = 20
METHODS = (
    "[soft_voting, hard_voting, logit_averaging, weighted, greedy_selection, "
    "{combiner: weighted, name: by_accuracy, metric: accuracy}, {combiner: stacking_lr, C: 0.01}, "
    "{combiner: compose, name: nested, inputs: {a: weighted, b: soft_voting}, final: greedy_selection}]"
)
NETS = """
from torch import nn

def linear(classes, channels):
    return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64 * channels, classes))

def layers(classes, channels):
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64 * channels, 32), nn.ReLU(), nn.Linear(32, classes)
    )
"""


HeldOut = list[tuple[Predictions, np.ndarray]]


@pytest.fixture(scope="module")
def stacked() -> HeldOut:
    """The rows and the cross-fitted log-probabilities of the ensemble stacking_lr, one pair per seed."""
    return []


@pytest.fixture(scope="module")
def shuffled(
    tmp_path_factory: pytest.TempPathFactory, stacked: HeldOut
) -> Iterator[list[list[dict[str, Any]]]]:
    """The leaderboards of the whole pipeline on digits with random labels, one per seed."""
    folder = tmp_path_factory.mktemp("shuffled")
    (folder / "leak_nets.py").write_text(NETS, encoding="utf-8")

    def recorded(rule: Combiner, rows: Predictions, **options: Any) -> Any:
        fitted, scores = score(rule, rows, **options)
        if any(isinstance(part, StackingLr) for part in rule.modules()):
            stacked.append((rows, scores.held_out))
        return fitted, scores

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_module, "score", recorded)
        patch.syspath_prepend(folder)
        # Neither flushing to disk nor the contributions of members are tested here.
        patch.setattr(store_commit, "_flush", lambda path: None)
        patch.setattr(build_module, "contributions", lambda *given, **named: {})
        yield [_leaderboard(folder / str(seed), seed) for seed in range(SEEDS)]


def _leaderboard(folder: Path, seed: int) -> list[dict[str, Any]]:
    digits, random = load_digits(), np.random.default_rng(seed)
    picked = np.concatenate([np.flatnonzero(digits.target == each)[:90] for each in range(4)])
    labels, splits = digits.target[picked], np.tile(["train"] * 60 + ["test"] * 30, 4)
    for split in ("train", "test"):
        labels[splits == split] = random.permutation(labels[splits == split])
    folder.mkdir()
    images = (digits.images[picked] * 15.9).astype(np.uint8)
    # In another order for each seed: the parts of a fold are drawn by the rank of a row within its class. In
    # rows that are sorted by digit, the same ranks are the same digits, and labels would not be exchangeable.
    order = random.permutation(len(picked))
    np.savez(folder / "data.npz", images=images[order], labels=labels[order], splits=splits[order])
    recipe = load_recipe(
        None,
        [
            f"dataset.path={folder / 'data.npz'}",
            "dataset.channels=1",
            "dataset.img_size=8",
            "device=cpu",
            "dataset.batch_size=64",
            "backbones.include=['python:leak_nets:linear', 'python:leak_nets:layers']",
            "training.pretrained=false",
            "training.epochs=3",
            "training.folds=3",
            "training.lr=0.02",
            f"seed={seed}",
            f"runs.score_ensemble.methods={METHODS}",
            "exports.enable=false",
        ],
    )
    store = Store(folder / "store")
    assert run(recipe, store).failed == {}
    return leaderboard(store)


def _within_parts(rows: Predictions, log_probs: np.ndarray) -> float:
    """Return the mean AUROC of the rows that one fit has combined, over these parts of the folds.

    An AUROC over all rows also compares rows of different fits. The row that is left out of one is a training
    row of the other, with a score that its own label has raised, so that such pairs are in the wrong order
    more often than not if there is nothing to learn (Parker, Guenter and Bedo 2007). Within a part, labels
    are exchangeable: the expectation is 0.5.
    """
    parts = [held_out for _, held_out in ways_to_split(rows, rows.folds, allows_negative_weights=True)[-1]]
    assert len(parts) > len(np.unique(rows.folds)), "the folds are not split again"
    return float(
        np.mean([evaluate(log_probs[part], rows.labels[part], ("auroc",))["auroc"] for part in parts])
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_shuffled_labels_give_nothing_to_any_row_of_the_leaderboard(
    shuffled: list[list[dict[str, Any]]], stacked: HeldOut
) -> None:
    """The mean over the seeds is within 4.5 standard errors of 0.5.

    Were all means 0.5, one of 20 normal draws would lie outside of that with probability 0.00025; of the ten
    rows, twice each, some with 0.005 at most.
    """
    limit = 4.5
    assert SEEDS >= 20 and 2 * t.sf(limit, SEEDS - 1) * 20 < 0.006
    table: dict[tuple[str, str], list[float]] = {}
    for board in shuffled:
        for row in board:
            for part in ("cross_fitted", "metrics"):
                table.setdefault((row["name"], part), []).append(row[part]["auroc"]["value"])
    # The one row that is fitted within folds.
    pooled = table["stacking_lr", "cross_fitted"]
    found = [evaluate(each, rows.labels, ("auroc",))["auroc"] for rows, each in stacked]
    assert pooled == pytest.approx(found, abs=1e-6)
    assert np.mean(pooled) - 0.5 < limit * np.std(pooled, ddof=1) / SEEDS**0.5
    table["stacking_lr", "cross_fitted"] = [_within_parts(rows, each) for rows, each in stacked]
    assert len(table) == 20 and {len(values) for values in table.values()} == {SEEDS}
    for (name, part), values in table.items():
        mean, error = np.mean(values), np.std(values, ddof=1) / SEEDS**0.5
        assert abs(mean - 0.5) < limit * error, f"{name}: {part} {mean:.4f} +- {error:.4f}"
        assert error < 0.015, f"{name}: {part} varies too much to show a leak"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_shuffled_labels_prove_a_gain_as_rarely_as_they_may(shuffled: list[list[dict[str, Any]]]) -> None:
    """A gain is proven if its 95% interval is above zero, which happens by chance in 1 of 40 cases.

    In each of the 24 rows (8 ensembles, 3 metrics), 5 or more of 20 have probability 0.0001 then.
    """
    most, level = 4, 0.025
    assert binom.sf(most, SEEDS, level) * 24 < 0.005
    for name in {row["name"] for row in shuffled[0] if row["gain"]}:
        for metric in ("accuracy", "f1_macro", "log_loss"):
            found = [row["gain"][metric] for board in shuffled for row in board if row["name"] == name]
            assert sum(each["proven"] for each in found) <= most, (name, metric)


def test_the_interval_of_a_gain_has_its_nominal_coverage() -> None:
    """For two equally good members on 300 rows, the interval excludes zero on each side as often as allowed.

    Each side is missed with probability 0.025 then: 13 or more of 200 have probability 0.002.
    """
    assert binom.sf(12, 200, 0.025) < 0.002
    random, above, below = np.random.default_rng(0), {}, {}
    for _ in range(200):
        labels = random.integers(0, 4, 300)
        logits = random.normal(size=(2, 300, 4)) + 1.5 * np.eye(4)[labels]
        one, other = log_softmax(logits, axis=2).astype(np.float32)
        for metric in ("accuracy", "log_loss", "auroc"):
            found = gain(one, other, labels, metric=metric)
            above[metric] = above.get(metric, 0) + (found.low > 0)
            below[metric] = below.get(metric, 0) + (found.high < 0)
            assert found.proven == (found.low > 0)
    for side in (above, below):
        assert all(count <= 12 for count in side.values()), (above, below)
    # The interval must not be so wide that no gain is ever proven.
    assert all(above[metric] + below[metric] >= 2 for metric in above), (above, below)


def test_copies_that_share_a_wrong_label_leak_only_across_folds() -> None:
    """Each image four times with one random label: groups reveal that a member memorizes images."""
    images, random = np.repeat(load_digits().data[:60], 4, axis=0), np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 4)
    labels = np.repeat(random.permutation(np.arange(60) % 4), 4)
    found = {}
    for name, known in (("apart", None), ("together", groups)):
        folds = make_folds(labels, 3, groups=known, seed=0)
        probs = cross_val_predict(
            KNeighborsClassifier(1), images, labels, cv=PredefinedSplit(folds), method="predict_proba"
        )
        rows = Predictions.from_probabilities(
            probs * 0.9 + 0.025,
            members=["memory"],
            class_names=list("abcd"),
            labels=labels,
            folds=folds,
            groups=known,
        )
        found[name] = score_all({"it": build("soft_voting")}, rows)["it"][1].cross_fitted["auroc"]
    assert found["apart"].value > 0.8
    assert found["together"].low < 0.5 < found["together"].high

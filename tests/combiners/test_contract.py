"""The contract of combiners, tested for every entry of the family, on classes and on numbers."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from committee.combiners.base import COMBINERS, Combiner, build, from_json, load, save, to_json
from committee.combiners.shared.serving import serving
from committee.errors import DataError, LeakError, UsageError
from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASSES
from committee.tasks.classification import Classification
from committee.tasks.regression import Regression

FURTHER: dict[str, list[dict[str, Any]]] = {
    "weighted": [
        {"metric": "accuracy"},
        {"metric": "f1_macro"},
        {"space": "logit"},
        {"metric": "accuracy", "space": "logit"},
        {"weights": {"near": 2, "tree": 1}},
    ],
    "greedy_selection": [{"metric": "accuracy"}, {"metric": "f1_macro"}, {"bags": 3}],
    "stacking_lr": [{"C": 0.01, "features": "probability", "extras": True}],
    "temperature": [{"inner": "weighted"}, {"inner": "cascade"}],
    "vector_scaling": [{"inner": "greedy_selection", "spread": 0.5}],
    "member_temperature": [{"inner": "greedy_selection"}],
    "pruned": [
        {"target_size": 1, "folds": 2},
        {"method": "greedy_backward", "folds": 2, "inner": "weighted"},
        {"method": "clustering", "folds": 2, "metric": "accuracy"},
    ],
    "cascade": [{"keep": 0.95}, {"members": ["near", "tree"], "mean_cost": 1.2}],
    "compose": [
        {"inputs": {"a": {"combiner": "subset", "members": ["near"]}, "b": "greedy_selection"}},
        {"inputs": {"meta": "weighted", "b.c": {"combiner": "stacking_lr", "C": 0.1}}, "final": "weighted"},
        {
            "inputs": {"a": {"combiner": "subset", "members": ["near"]}, "b": "logit_averaging"},
            "final": "temperature",
        },
    ],
}
"""Options of single entries, beside the `examples` of each, on classes."""
OF_NUMBERS: dict[str, list[dict[str, Any]]] = {
    "weighted": [{"metric": "mae"}, {"metric": "r2"}, {"weights": {"near": 2, "tree": 1}}],
    "greedy_selection": [{"metric": "mae"}, {"bags": 3}],
    "trimmed_mean": [{"trim": 0.3}],
    "stacking_ridge": [{"alpha": 0.1, "extras": True}],
    "pruned": [
        {"target_size": 1, "folds": 2},
        {"method": "greedy_backward", "folds": 2, "inner": "median"},
        {"method": "clustering", "folds": 2, "metric": "mae"},
    ],
    "compose": [
        {
            "inputs": {"a": {"combiner": "subset", "members": ["near"]}, "b": "median"},
            "final": "weighted",
        },
    ],
}
"""The same on numbers."""
TASKS_OF = {"classes": Classification(), "numbers": Regression()}
EXAMPLES_OF: dict[str, dict[str, list[dict[str, Any]]]] = {
    "classes": {},
    "numbers": {
        "stacking_rf": [{"n_estimators": 3, "extras": True}],
        "stacking_xgb": [{"n_estimators": 3, "max_depth": 3}],
        "stacking_mlp": [{"hidden_dims": [8], "epochs": 2}],
    },
}
"""Replacements of the `examples` of single entries, which take less time."""
FURTHER_OF = {"classes": FURTHER, "numbers": OF_NUMBERS}


def specs(kind: str) -> list[dict[str, Any]]:
    """Return the tested options of each combiner that serves such predictions, as a rule states them."""
    known = [
        {"combiner": key, **options}
        for key in serving(TASKS_OF[kind])
        for options in [
            *EXAMPLES_OF[kind].get(key, COMBINERS.load(key).examples(("near", "tree"))),
            *FURTHER_OF[kind].get(key, []),
        ]
    ]
    names = serving(TASKS_OF[kind])
    return [
        spec for spec in known if not any(f"'{key}'" in str(spec) for key in {*COMBINERS.names()} - {*names})
    ]


def over(*kinds: str) -> pytest.MarkDecorator:
    cases = [(spec, kind) for kind in kinds for spec in specs(kind)]
    named = [f"{kind}-{'-'.join(map(str, spec.values()))[:60]}" for spec, kind in cases]
    return pytest.mark.parametrize(("spec", "rows"), cases, indirect=["rows"], ids=named)


POOLS = [key for key in serving(TASKS_OF["classes"]) if not COMBINERS.options(key)]
"""Combiners without options, which do not learn, and apply to dense outputs too."""
every, of_classes, of_numbers = over("classes", "numbers"), over("classes"), over("numbers")
# An L-BFGS fit stops at a gradient of 1e-4, so its result depends on the order of classes; others do not.
CLOSE = {"stacking_lr": 0.02, "compose": 0.02}


@pytest.fixture
def rows(request: pytest.FixtureRequest, digits: Predictions, numbers: Predictions) -> Predictions:
    return {"classes": digits, "numbers": numbers}[request.param].rows(np.arange(300))


def usual(spec: dict[str, Any], members: tuple[str, ...], rows: Predictions) -> Predictions:
    named = str(spec)
    if any(name not in members and f"'{name}'" in named for name in rows.members):
        pytest.skip("names a member that is left out")
    return rows.select(members)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "members", [("near",), ("tree", "near", "bayes"), ("tree", "bayes", "near", "linear")]
)
def test_outputs(spec, members, dtype, rows):
    rows = usual(spec, members, rows)
    combiner = build(spec).fit(rows)
    logits = torch.from_numpy(rows.logits).to(dtype)
    output = combiner(logits)
    assert output.dtype == dtype and output.shape == rows.logits.shape[1:]
    assert torch.isfinite(output).all()
    torch.testing.assert_close(combiner.task.normalized(output), output, atol=2e-6, rtol=2e-6)
    torch.testing.assert_close(combiner.infer(logits), output)
    torch.testing.assert_close(combiner(logits[:, :1]), output[:1], atol=1e-5, rtol=1e-5)
    weights = combiner.member_weights()
    assert weights is None or (set(weights) == set(members) and sum(weights.values()) == pytest.approx(1))
    assert json.loads(json.dumps(combiner.notes())) == combiner.notes()


@every
def test_the_order_of_members_does_not_matter(spec, rows):
    turned = rows.select(("near", "linear", "tree", "bayes"))
    one, other = (build(spec).fit(part).combine(part.logits) for part in (rows, turned))
    np.testing.assert_allclose(one, other, atol=2e-5)


@of_classes
def test_the_names_of_classes_do_not_matter(spec, rows):
    order = np.random.default_rng(5).permutation(10)
    renumbered = replace(
        rows, logits=np.ascontiguousarray(rows.logits[:, :, order]), labels=np.argsort(order)[rows.labels]
    )
    one = build(spec).fit(rows).combine(rows.logits)[:, order]
    other = build(spec).fit(renumbered).combine(renumbered.logits)
    np.testing.assert_allclose(np.exp(one), np.exp(other), atol=CLOSE.get(spec["combiner"], 2e-5))


@of_classes
def test_logits_have_a_free_constant(spec, rows):
    constant = np.random.default_rng(2).normal(size=(4, 300, 1)).astype(np.float32) * 3
    shifted = replace(rows, logits=rows.logits + constant)
    one, other = (build(spec).fit(part).combine(part.logits) for part in (rows, shifted))
    tolerance = 5e-3 if "stacking_lr" in str(spec) else 1e-4
    np.testing.assert_allclose(np.exp(one), np.exp(other), atol=tolerance)


@every
def test_save_and_load(spec, rows, tmp_path):
    combiner = build(spec).fit(rows)
    save(combiner, tmp_path)
    again = load(tmp_path)
    assert type(again) is type(combiner) and again.options() == combiner.options()
    assert again.member_names == rows.members and again.member_weights() == combiner.member_weights()
    assert again.notes() == combiner.notes()
    np.testing.assert_array_equal(again.combine(rows.logits), combiner.combine(rows.logits))
    assert not any("pickle" in path.name or path.suffix in {".pt", ".pkl"} for path in tmp_path.iterdir())


@every
def test_a_clone_is_unfitted_and_the_same_fit_gives_the_same_bytes(spec, rows):
    combiner = build(spec).fit(rows)
    clone = combiner.clone()
    assert clone.options() == combiner.options() and not clone.state_dict() and not clone.member_names
    np.testing.assert_array_equal(clone.fit(rows).combine(rows.logits), combiner.combine(rows.logits))


@every
def test_memory_mapped(spec, rows, tmp_path):
    rows.save(tmp_path)
    mapped = Predictions.load(tmp_path)
    assert isinstance(mapped.logits, np.memmap)
    one, other = (build(spec).fit(part).combine(part.logits) for part in (rows, mapped))
    np.testing.assert_array_equal(one, other)


@of_classes
def test_exports(spec, rows):
    combiner = build(spec).fit(rows)
    example = torch.from_numpy(rows.logits[:, :3].copy())
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(combiner, (example,), dynamic_shapes=({1: batch},))
    logits = torch.from_numpy(rows.logits[:, :40].copy())
    torch.testing.assert_close(program.module()(logits), combiner(logits), atol=1e-6, rtol=1e-6)


@every
def test_consulting_members_one_by_one_says_the_same(spec, rows):
    """Also where outputs are huge, -inf or NaN: no member that cannot change the result changes it."""
    combiner = build(spec).fit(rows)
    logits = torch.from_numpy(rows.logits.copy())
    logits[:, 0], logits[:, 1] = 1e4 * logits[:, 0].sign(), -1e4 * logits[:, 1].sign()
    if rows.target_type is CLASSES:
        logits[:, 2:4] = -torch.inf
        logits[:, 2, 3] = 0.0  # every member is certain of the same class
        logits[torch.arange(4), 3, torch.arange(4)] = 0.0  # each is certain of another class
    for member in range(4):
        logits[member, 4 + member] = torch.nan
    lazy = combiner.forward_lazy(
        lambda member, some: logits[member] if some is None else logits[member][some]
    )
    dense = combiner(logits)
    for output in (lazy, combiner.infer(logits)):
        torch.testing.assert_close(output, dense, atol=1e-5, rtol=1e-5, equal_nan=True)
    assert dense[:2].isfinite().all() and dense[8:].isfinite().all()


@every
def test_the_members_that_are_heard_say_the_same_alone(spec, rows, tmp_path):
    combiner = build(spec).fit(rows)
    narrow = combiner.restrict_to_used()
    assert set(narrow.member_names) <= set(rows.members)
    save(narrow, tmp_path)
    used = rows.select(narrow.member_names)
    np.testing.assert_allclose(
        load(tmp_path).combine(used.logits), combiner.combine(rows.logits), atol=1e-5, rtol=1e-5
    )


@every
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(spec, rows):
    combiner = build(spec).fit(rows)
    logits = torch.from_numpy(rows.logits)
    expected, moved = combiner(logits), logits.cuda()
    combiner.cuda()
    for output in (
        combiner(moved),
        combiner.infer(moved),
        combiner.forward_lazy(lambda member, some: moved[member] if some is None else moved[member][some]),
    ):
        assert output.is_cuda
        torch.testing.assert_close(output.cpu(), expected, atol=1e-4, rtol=1e-4)


@every
def test_rows_that_a_member_has_seen_are_refused(spec, rows):
    seen = np.zeros((4, 300), bool)
    seen[1, :7] = True
    with pytest.raises(LeakError) as error:
        build(spec).fit(replace(rows, seen=seen))
    assert str(error.value) == (
        f"{spec['combiner']}: expected rows that no member was trained on, "
        "got 7 of 300 rows that 'bayes' was trained on. Use out-of-fold predictions or held-out rows."
    )


@every
def test_labels_are_needed_only_to_learn(spec, rows):
    combiner, bare = build(spec), replace(rows, labels=None)
    if not combiner.learns:
        assert combiner.fit(bare).combine(bare.logits).shape == rows.logits.shape[1:]
        return
    with pytest.raises(DataError) as error:
        combiner.fit(bare)
    assert str(error.value) == (
        f"{spec['combiner']}: expected labeled predictions, got none. "
        "Attach labels: predictions.with_labels(ids, labels)."
    )
    with pytest.raises(UsageError, match=r"expected a fitted combiner, got an unfitted one"):
        build(spec)(torch.from_numpy(rows.logits))


@of_numbers
@pytest.mark.parametrize("unit", [1e6, 1e-6])
def test_units_do_not_matter(spec, unit, rows):
    scaled = replace(rows, logits=rows.logits * np.float32(unit), labels=rows.labels * unit)
    one, other = (build(spec).fit(part) for part in (rows, scaled))
    first, second = one.member_weights() or {}, other.member_weights() or {}
    assert first == pytest.approx(second, abs=1e-5)
    outputs = one.combine(rows.logits), other.combine(scaled.logits) / unit
    np.testing.assert_allclose(*(each / rows.labels.std(axis=0) for each in outputs), rtol=0, atol=1e-4)


@of_numbers
def test_a_constant_moves_the_outputs(spec, rows):
    """The numbers are rounded, so that their sum with the constant is exact."""
    constant = np.array([64.0, 2.0])
    coarse = replace(rows, logits=np.round(rows.logits * 2**12) / np.float32(2**12))
    moved = replace(coarse, logits=coarse.logits + constant.astype(np.float32), labels=rows.labels + constant)
    one, other = (build(spec).fit(part).combine(part.logits) for part in (coarse, moved))
    np.testing.assert_allclose((other - constant - one) / rows.labels.std(axis=0), 0, atol=1e-4)


@of_classes
def test_a_class_without_rows(spec, rows):
    part = rows.rows(rows.labels < 8)
    output = build(spec).fit(part).combine(part.logits)
    assert np.isfinite(output).all()
    assert (output.argmax(axis=1) == part.labels).mean() > 0.8


@every
def test_another_number_of_members_is_refused(spec, rows):
    with pytest.raises(DataError) as error:
        build(spec).fit(rows).combine(rows.logits[:3])
    assert str(error.value) == (
        f"{spec['combiner']}: expected logits of 4 members, as in fit, got 3. "
        "Select the members of the fit: predictions.select(...)."
    )


@pytest.mark.parametrize("key", POOLS)
def test_trailing_axes(key):
    logits = torch.randn(3, 2, 5, 4, 6, generator=torch.Generator().manual_seed(0))
    combiner = build(key)
    output = combiner(logits)
    assert output.shape == (2, 5, 4, 6)
    torch.testing.assert_close(output[:, :, 1, 2], combiner(logits[:, :, :, 1, 2]))
    np.testing.assert_allclose(combiner.combine(logits.numpy()), output.numpy(), atol=1e-6)


@every
def test_json_and_tensors_are_the_whole_state(spec, rows):
    combiner = build(spec).fit(rows)
    description = json.loads(json.dumps(to_json(combiner)))
    again = from_json(description, combiner.state_dict())
    assert isinstance(again, Combiner)
    assert to_json(again) == to_json(combiner)

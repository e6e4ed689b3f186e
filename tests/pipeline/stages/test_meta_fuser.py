"""The meta-fuser: an ensemble of ensembles, fitted on outputs of its inputs for unseen rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from committee.combiners.base import build as build_combiner
from committee.combiners.base import load
from committee.errors import RecipeError, StoreError, UsageError
from committee.exporters.base import EXPORTERS, Card
from committee.images.dataset import open_dataset
from committee.models.ensemble import Ensemble
from committee.pipeline.run import run_verb
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.meta_fuser import MetaFuser
from committee.predictions.table import Predictions
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store.layout import Store

INPUTS = "runs.meta_fuser.input_ensembles=[soft_voting, weighted, test_vit]"


def recipe(*overrides: str) -> Recipe:
    return load_recipe(None, ["device=cpu", "runs.score_ensemble.contributions_budget=0", *overrides])


PLAIN = "runs.score_ensemble.calibrate=none"
"""Fusers of fusers are fitted within fits within fits; calibration would multiply these again."""
SMALL = ("runs.meta_fuser.fuser_type=mlp", "runs.meta_fuser.mlp_config={epochs: 1, hidden_dims: [8]}")
"""The fuser that is fitted in the shortest time."""


@pytest.fixture
def built(trained_with: Callable[..., Store]) -> Store:
    def build(store: Store) -> None:
        outcome = run_verb("build-ensemble", recipe(), store, methods=["soft_voting", "weighted"])
        assert outcome.exit_code == 0

    return trained_with("fused", build)


def test_it_reads_ensembles_and_members_by_full_and_short_name(built: Store) -> None:
    outcome = MetaFuser().run(recipe(INPUTS), built)
    assert (outcome.done, outcome.exit_code) == (["meta_fuser"], 0)
    facts = ensemble_facts(built, "meta_fuser")
    assert list(facts["notes"]["inputs"]) == ["soft_voting_ensemble", "weighted_ensemble", "test_vit"]
    assert (facts["method"], facts["members"]) == ("compose", ["test_resnet", "test_vit"])
    assert facts["spec"]["inner"]["final"]["combiner"] == "stacking_lr"
    assert {"fit", "cross_fitted", "gain"} <= set(facts["scores"])


def test_missing_inputs_are_reported_by_name(built: Store) -> None:
    with_missing = recipe("runs.meta_fuser.input_ensembles=[soft_voting, fusion_concat_mlp]")
    plan = MetaFuser().plan(with_missing, built).facts
    assert (plan["inputs"], list(plan["set_aside"])) == (["soft_voting_ensemble"], ["fusion_concat_mlp"])
    outcome = MetaFuser().run(with_missing, built)
    assert (outcome.done, outcome.exit_code) == (["meta_fuser"], 3)
    assert list(outcome.failed) == ["meta_fuser without fusion_concat_mlp"]
    assert "got 'fusion_concat_mlp'" in outcome.failed["meta_fuser without fusion_concat_mlp"]


def test_without_any_input(trained: Store) -> None:
    with pytest.raises(StoreError) as caught:
        MetaFuser().run(recipe("runs.meta_fuser.input_ensembles=[hard_voting, moe]"), trained)
    assert str(caught.value) == (
        "meta_fuser: expected at least one of the inputs hard_voting, moe in the store, got none. "
        "Run: committee build-ensemble RECIPE, or name others in runs.meta_fuser.input_ensembles."
    )


def test_without_a_section(trained: Store) -> None:
    with pytest.raises(UsageError) as caught:
        MetaFuser().run(recipe(), trained)
    assert str(caught.value) == (
        "runs.meta_fuser: expected an enabled section, got none. "
        "Add the section to the recipe, or: --set runs.meta_fuser.fuser_type=lr"
    )


def test_a_fuser_that_names_itself(built: Store) -> None:
    with pytest.raises(RecipeError) as caught:
        MetaFuser().run(recipe("runs.meta_fuser.input_ensembles=[soft_voting, meta_fuser]"), built)
    assert str(caught.value) == (
        "runs.meta_fuser.input_ensembles[1]: expected ensembles other than meta_fuser itself, got "
        "'meta_fuser'. Remove it, or set another runs.meta_fuser.name."
    )


def test_a_fuser_that_is_an_input_of_its_input(built: Store) -> None:
    one = recipe(PLAIN, *SMALL, "runs.meta_fuser.name=one", "runs.meta_fuser.input_ensembles=[soft_voting]")
    two = recipe(PLAIN, *SMALL, "runs.meta_fuser.name=two", "runs.meta_fuser.input_ensembles=[one, weighted]")
    MetaFuser().run(one, built)
    MetaFuser().run(two, built)
    assert ensemble_facts(built, "two")["notes"]["inputs"]["one"]["inputs"]
    with pytest.raises(RecipeError) as caught:
        MetaFuser().run(recipe("runs.meta_fuser.name=one", "runs.meta_fuser.input_ensembles=[two]"), built)
    assert "got 'two', which has the input 'one'." in str(caught.value)


def test_nested_ensembles_run_shared_members_once_and_export_as_one_graph(
    built: Store, tmp_path: Path
) -> None:
    MetaFuser().run(recipe(PLAIN, *SMALL, "runs.meta_fuser.name=inner", INPUTS), built)
    MetaFuser().run(recipe(PLAIN, *SMALL, "runs.meta_fuser.input_ensembles=[inner, weighted]"), built)
    module, facts = load_model(built, "meta_fuser")
    assert isinstance(module, Ensemble) and len(module.members) == 2
    runs = []
    for member in module.members:
        member.register_forward_hook(lambda *_: runs.append(1))
    dataset = open_dataset(None, built, img_sizes=[32], folds=0, seed=0)
    images = dataset.images(dataset.rows("test")[:5])
    with torch.inference_mode():
        dense, lazy = module(images), module.infer(images)
    assert len(runs) == 4
    torch.testing.assert_close(dense, lazy, atol=1e-5, rtol=1e-5)
    exporter = EXPORTERS.make("onnx")
    package = tmp_path / "package"
    package.mkdir()
    file = exporter.export(module, images, package, Card("meta_fuser", tuple(facts["class_names"])))
    assert sorted(path.name for path in package.iterdir()) == ["model.onnx", "predict.py"]
    np.testing.assert_allclose(
        exporter.load(file, module)(images.numpy()), dense.softmax(1).numpy(), atol=1e-5
    )


def test_it_is_evaluated_like_any_other(built: Store) -> None:
    MetaFuser().run(recipe(INPUTS), built)
    assert "meta_fuser" in Evaluate().run(recipe(), built).done


def noisy(rows: int, seed: int, members: int = 12) -> Predictions:
    """Return weak members with independent noise, on which a stack overfits."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, rows)
    logits = rng.normal(size=(members, rows, 3)) * 1.5
    logits[:, np.arange(rows), labels] += 0.5
    return Predictions.from_logits(
        logits.astype(np.float32),
        members=[f"m{k}" for k in range(members)],
        class_names=list("abc"),
        labels=labels,
    )


@pytest.mark.slow
def test_a_naive_fuser_is_better_on_its_own_rows_and_worse_on_new_ones() -> None:
    """The learner of a naive fuser is fitted on outputs for the rows on which the inputs were fitted."""
    inputs = {"stack": {"combiner": "stacking_lr", "C": 100.0}, "soft": "soft_voting"}

    def loss(log_probs: np.ndarray, rows: Predictions) -> float:
        return -float(log_probs[np.arange(len(rows)), rows.labels].mean())

    naive_own, naive_fresh, ours_own, ours_fresh = [], [], [], []
    for seed in range(5):
        rows, fresh = noisy(150, seed), noisy(4000, 1000 + seed)
        ours = build_combiner({"combiner": "compose", "inputs": inputs, "final": "stacking_lr"}).fit(rows)
        parts = [build_combiner(spec).fit(rows) for spec in inputs.values()]
        final = build_combiner("stacking_lr").fit(_outputs(parts, rows))
        naive_own.append(loss(final.combine(_outputs(parts, rows).logits), rows))
        naive_fresh.append(loss(final.combine(_outputs(parts, fresh).logits), fresh))
        ours_own.append(loss(ours.combine(rows.logits), rows))
        ours_fresh.append(loss(ours.combine(fresh.logits), fresh))
    assert np.mean(naive_own) < np.mean(ours_own) - 0.05
    assert np.mean(naive_fresh) > np.mean(ours_fresh) + 0.05
    assert all(naive > our for naive, our in zip(naive_fresh, ours_fresh, strict=True))


def _outputs(parts: list, rows: Predictions) -> Predictions:
    return Predictions.from_logits(
        np.stack([part.combine(rows.logits) for part in parts]),
        members=["stack", "soft"],
        class_names=rows.class_names,
        labels=rows.labels,
    )


def test_the_stored_combiner_is_for_the_members_that_it_uses(built: Store) -> None:
    MetaFuser().run(recipe("runs.meta_fuser.input_ensembles=[test_vit]"), built)
    facts = ensemble_facts(built, "meta_fuser")
    assert facts["members"] == ["test_vit"]
    assert load(built.ensemble("meta_fuser")).member_names == ("test_vit",)

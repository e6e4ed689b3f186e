"""Distillation in a store: the student as a member, its comparison, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from committee.errors import CommitteeError, DataError, RecipeError, UnknownNameError, UsageError
from committee.pipeline.discover import discover
from committee.pipeline.run import run_verb
from committee.pipeline.shared.teachers import teacher_of
from committee.pipeline.stages.distillation import Distillation
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.recipe.unused import unused
from committee.store.layout import Store

Make = Callable[..., Recipe]


@pytest.fixture
def recipe(tiny_settings: list[str], own_nets: str) -> Make:
    def make(*overrides: str) -> Recipe:
        student = [f"distillation.student={own_nets}:small", "distillation.epochs=2", "distillation.lr=0.01"]
        return load_recipe(None, [*tiny_settings, *student, *overrides])

    return make


@pytest.fixture
def taught(trained: Store, recipe: Make) -> Store:
    """A store with a teacher."""
    run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"])
    return trained


def test_a_student_is_a_member_that_is_compared_combined_and_exported(taught: Store, recipe: Make) -> None:
    assert run_verb("distill", recipe(), taught).done == ["distilled_own_nets_small"]
    (entry,) = [each for each in discover(taught)["members"] if each["name"] == "distilled_own_nets_small"]
    assert entry["of"] == ["test_resnet", "test_vit"] and entry["fits"] == [
        *("fold_0", "fold_1", "fold_2", "refit")
    ]
    assert taught.members() == ("distilled_own_nets_small", "test_resnet", "test_vit")
    assert "distilled_own_nets_small" in run_verb("evaluate", recipe(), taught).done
    report = json.loads(
        (taught.ensemble_metrics("distilled_own_nets_small") / "metrics.json").read_text("utf-8")
    )
    found = report["distillation"]
    assert (found["seeds"], found["teacher"]["name"]) == (3, "soft_voting_ensemble")
    for metric in ("accuracy", "log_loss"):
        alone, own = (found[kind]["metrics"][metric] for kind in ("scratch", "distilled"))
        sign = 1 if metric == "accuracy" else -1
        assert len(set(own["seeds"])) > 1 and own["low"] <= own["value"] <= own["high"]
        assert found["gain"][metric]["value"] == pytest.approx(sign * (own["value"] - alone["value"]))
        whole = sign * (found["teacher"]["metrics"][metric] - alone["value"])
        assert found["teacher_gain"][metric]["value"] == pytest.approx(whole)
    assert found["distilled"]["metrics"]["accuracy"]["seeds"][0] == report["metrics"]["accuracy"]["value"]
    assert found["compression"] > 100 and found["speed_up"] > 1
    assert found["scratch"]["training_seconds"] > 0 and found["teacher"]["training_seconds"] > 0
    assert report["gain"]["log_loss"]["against"]
    members = recipe("runs.members=[distilled_own_nets_small, test_resnet]", "exports.formats=[state_dict]")
    run_verb("build-ensemble", members, taught, methods=["soft_voting"])
    assert (
        run_verb("export", members, taught, models=["distilled_own_nets_small", "soft_voting"]).failed == {}
    )
    # The ensemble was replaced: it is no longer the teacher that was compared, and is made from the student.
    run_verb("evaluate", members, taught)
    report = json.loads(
        (taught.ensemble_metrics("distilled_own_nets_small") / "metrics.json").read_text("utf-8")
    )
    assert "distillation" not in report
    assert refused(RecipeError, lambda: run_verb("distill", members, taught)) == (
        "distillation.teacher: expected a model that is not made from the student distilled_own_nets_small, "
        "got 'soft_voting', which is made from distilled_own_nets_small. "
        "Name another teacher, or build it without the student: runs.members."
    )


def refused(kind: type[CommitteeError], act: Callable[[], object]) -> str:
    with pytest.raises(kind) as caught:
        act()
    return str(caught.value)


def test_what_is_refused(taught: Store, recipe: Make, tmp_path: Path) -> None:
    def run(*overrides: str) -> Callable[[], object]:
        return lambda: run_verb("distill", recipe(*overrides), taught)

    assert refused(UnknownNameError, run("distillation.teacher=soft_votin")) == (
        "distillation.teacher: expected a model of the store (soft_voting_ensemble, test_resnet, test_vit), "
        "got 'soft_votin'. Did you mean 'soft_voting_ensemble'?"
    )
    (tmp_path / "empty").mkdir()
    assert refused(DataError, run(f"distillation.unlabeled={tmp_path / 'empty'}")) == (
        f"distillation.unlabeled: expected JPEG, PNG or WebP images, got none in '{tmp_path / 'empty'}'. "
        "Name the folder that contains them."
    )
    assert refused(DataError, run(f"distillation.unlabeled={tmp_path / 'none'}")).startswith(
        f"distillation.unlabeled: expected a folder of images, got '{tmp_path / 'none'}': "
    )
    assert refused(UnknownNameError, run("distillation.student=timm:test_resnett")).startswith(
        "backbone timm:test_resnett: expected"
    )
    entries = discover(taught)["members"]
    assert refused(
        UsageError, lambda: teacher_of("soft_voting", "student", ["cat", "dog"], taught, entries, ())
    ) == (
        "distillation.teacher: expected a teacher of the classes 'cat', 'dog', "
        "got soft_voting_ensemble of '0', '1', '2', '3', '4' and 5 more. "
        "Name a teacher that was trained on the classes of this data set."
    )
    assert "distilled_own_nets_small" not in taught.members()


def test_a_plan_tells_the_cost_and_warns_of_a_large_student(
    taught: Store, recipe: Make, caplog: pytest.LogCaptureFixture
) -> None:
    summary = Distillation().plan(
        recipe("distillation.teacher=test_vit", "distillation.student=timm:test_resnet"), taught
    )
    facts: dict[str, Any] = dict(summary.facts)
    warning = (
        "distilled_test_resnet: the student has 373,370 parameters (1.5 MB), more than its teacher test_vit "
        "with 267,978 (1.1 MB)"
    )
    assert summary.blocks[-1] == warning
    assert facts["teacher"]["networks"] == 1 and facts["student"]["parameters"] == 373370
    assert sum(facts["missing"].values()) == 4 + 3 + 2 and facts["hours"] > 0
    small = Distillation().plan(recipe("distillation.seeds=0"), taught)
    assert small.facts["fits"] == {"distilled_own_nets_small": 4} and "more than its" not in str(small.blocks)


def test_teacher_rows_have_no_effect_without_fold_networks(
    taught: Store, recipe: Make, caplog: pytest.LogCaptureFixture
) -> None:
    own = ("distillation.teacher=test_vit", "distillation.teacher_rows=out_of_fold", "distillation.seeds=0")
    said = "distillation.teacher_rows has no effect: test_vit has no fold networks"
    Distillation().plan(recipe(*own), taught)
    assert said not in caplog.messages
    shutil.rmtree(taught.checkpoint("test_vit", "fold_0"))
    Distillation().plan(recipe(*own), taught)
    assert said in caplog.messages


def test_keys_without_effect_are_named(recipe: Make) -> None:
    folds = "distillation={teacher_rows: out_of_fold, loss: mse_logits, temperature: 2}"
    assert unused(load_recipe(None, [folds, "training.folds=0"])) == {
        "distillation.temperature": "none of mse_logits uses it",
        "distillation.teacher_rows": "there are no fold networks",
    }
    nothing = unused(load_recipe(None, ["distillation={alpha: 0, cached: 2}"]))
    assert nothing == {"distillation.cached": "alpha is 0, so that the teacher has no weight"}
    assert unused(recipe()) == {}


def test_a_debug_run_builds_its_teacher(trained: Store, recipe: Make) -> None:
    stage, small = Distillation(), recipe("distillation.teacher=meta_fuser", "distillation.seeds=0")
    assert stage.rehearse(small, trained).done == ["distilled_own_nets_small"]
    assert trained.ensembles() == ("soft_voting_ensemble",)

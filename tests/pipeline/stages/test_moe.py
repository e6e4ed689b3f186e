"""A mixture of experts in a store."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable

import pytest

from committee.errors import UsageError
from committee.pipeline.discover import discover
from committee.pipeline.run import run_verb
from committee.pipeline.shared.reports import read_reports
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.moe import Moe
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store.layout import Store

SMALL = "runs.moe={num_experts: 2, top_k: 1, gating_hidden_dim: 8, epochs: 3}"


def recipe(*overrides: str) -> Recipe:
    return load_recipe(None, ["device=cpu", "exports.formats=[onnx]", *overrides])


def test_it_is_a_conditional_member(trained: Store) -> None:
    assert Moe().run(recipe(SMALL), trained).done == ["moe"]
    assert "moe" in Evaluate().run(recipe(), trained).done
    report = json.loads((trained.ensemble_metrics("moe") / "metrics.json").read_text("utf-8"))
    assert set(report["conditional"]["used_members"]) == {"test_resnet", "test_vit"}
    assert sum(report["conditional"]["used_members"].values()) == pytest.approx(1, abs=1e-3)
    assert [each["batch"] for each in report["conditional"]["latency_ms"]] == [1, 32]
    assert report["cross_fitted"]["log_loss"]["value"] > 0
    assert not trained.member_metrics("moe").exists()
    trained.ensemble_metrics("moe").rename(trained.member_metrics("moe"))  # as an earlier version
    assert [each["name"] for each in read_reports(trained, "moe")] == ["moe"]
    assert next(each for each in discover(trained)["members"] if each["name"] == "moe")["evaluated"]
    Evaluate().run(recipe(), trained)
    assert trained.ensemble_metrics("moe").exists() and not trained.member_metrics("moe").exists()
    outcome = run_verb("export", recipe(), trained, models=["moe"])
    assert outcome.failed == {}
    status = json.loads((trained.deploy("moe") / "export_status.json").read_text("utf-8"))
    assert status["formats"]["onnx"]["status"] == "done" and "note" not in status["formats"]["onnx"]


def test_it_is_no_candidate_of_itself(trained: Store) -> None:
    names = "runs.members=[moe, test_resnet, test_vit]"
    Moe().run(recipe(SMALL), trained)
    assert Moe().plan(recipe(SMALL, names), trained).facts["members"] == ["test_resnet", "test_vit"]


def test_a_plan_trains_nothing(trained: Store, cli: Callable[..., object]) -> None:
    assert Moe().plan(recipe(SMALL), trained).facts == {
        "members": ["test_resnet", "test_vit"],
        "experts": 2,
        "method": "greedy_forward",
        "top_k": 1,
        "rows": "oof",
        "n": 191,
    }
    result = cli("moe-train", "--store", trained.root, "--set", SMALL, "--dry-run")
    assert result.code == 0 and " ".join(result.out.split()) == (
        "2 experts would be chosen by greedy_forward on 191 out-of-fold rows of test_resnet, test_vit, and a "
        "gate would be trained on them to send each image to 1."
    )
    assert "moe" not in trained.members()


def test_the_command_line(trained: Store, cli: Callable[..., object]) -> None:
    result = cli("moe-train", "--store", trained.root, "--set", SMALL, "--set", "device=cpu")
    assert result.code == 0
    assert "by greedy_forward: " in result.out and result.out.rstrip().endswith("of the experts' time saved")


def test_a_mixture_needs_two_members(trained: Store) -> None:
    with pytest.raises(UsageError, match=r"runs\.moe: expected at least 2 members"):
        Moe().run(recipe(SMALL, "backbones.include=[test_vit]"), trained)


def test_without_a_section(trained: Store) -> None:
    with pytest.raises(UsageError, match=r"runs\.moe: expected an enabled section, got none\."):
        Moe().run(recipe(), trained)


@pytest.mark.parametrize(("verb", "own"), [("moe-train", "moe"), ("fusion-train", "fusion_concat_mlp")])
@pytest.mark.parametrize("unfinished", ["moe", "fusion_concat_mlp"])
def test_what_was_interrupted_is_finished_without_a_complaint_about_it(
    trained: Store, verb: str, own: str, unfinished: str
) -> None:
    settings = ["runs.fusion.fusion_config={hidden_dims: [4], epochs: 1}", SMALL]
    for each in "test_resnet", "test_vit":  # one fit is stored, and the joined predictions are not
        shutil.copytree(trained.checkpoint(each, 0), trained.checkpoint(unfinished, 0), dirs_exist_ok=True)
    outcome = run_verb(verb, recipe(*settings), trained)
    if own == "moe" != unfinished:  # runs before it, and was not asked for here
        assert list(outcome.failed) == [f"checkpoints/{unfinished}"]
    else:
        assert (outcome.done, outcome.failed, outcome.exit_code) == ([own], {}, 0)

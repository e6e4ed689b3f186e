"""Test-time augmentation in a store: views that help, views that do not, and what is stored."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from committee.errors import RecipeError, StoreError, UsageError
from committee.models.composites.viewed import Viewed
from committee.pipeline.run import run_verb
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.train import Train
from committee.pipeline.stages.tta import Tta
from committee.predictions.table import Predictions
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store.layout import Store

pytestmark = pytest.mark.slow

NET = """
import torch
from torch import nn
class Left(nn.Module):
    def __init__(self, classes, channels):
        super().__init__()
        self.head = nn.Linear(1, classes)
        self.head.weight.data = torch.tensor([[-2.0], [2.0]])
        self.head.bias.data.zero_()
    def forward(self, images):
        return self.head(images[..., : images.shape[3] // 2].mean((1, 2, 3))[:, None])
"""
"""A network that sees the left half of an image: of the other half, a mirror image tells it as much again."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("halves")
    (folder / "half_nets.py").write_text(NET, encoding="utf-8")
    sys.path.insert(0, str(folder))
    random = np.random.default_rng(0)
    labels = np.arange(360) % 2
    evidence = (2 * labels[:, None] - 1) * 0.9 + random.normal(size=(360, 2))
    level = 255 * (0.449 + 0.08 * evidence).repeat(8, axis=1)[:, None, :]
    images = np.clip(level + random.normal(size=(360, 16, 16)), 0, 255).astype(np.uint8)
    np.savez(folder / "halves.npz", images=images, labels=labels)
    names = ", ".join(f"{{name: python:half_nets:Left, as: {name}}}" for name in ("one", "two"))
    return [
        "dataset={channels: 1, img_size: 16, fit: squash, test_size: 0.2}",
        f"dataset.path={folder / 'halves.npz'}",
        "device=cpu",
        f"models=[{names}]",
        "training={pretrained: false, epochs: 1, folds: 2, lr: 1.0e-9, augment: {preset: none}}",
        "exports.formats=[state_dict, checkpoint]",
        "runs.score_ensemble.contributions_budget=0",
    ]


@pytest.fixture(scope="module")
def root(settings: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(tmp_path_factory.mktemp("views") / "store")
    assert Train().run(load_recipe(None, settings), store).done == ["one", "two"]
    run_verb("build-ensemble", load_recipe(None, settings), store, methods=["soft_voting", "weighted"])
    return store.root


@pytest.fixture
def halves(root: Path, tmp_path: Path) -> Store:
    return Store(shutil.copytree(root, tmp_path / "halves"))


@pytest.fixture
def recipe(settings: list[str]) -> Callable[..., Recipe]:
    return lambda *overrides: load_recipe(None, [*settings, *overrides])


def test_views_that_help_are_used_stored_once_and_kept(halves, recipe, monkeypatch) -> None:
    stage, wanted = Tta(), recipe("tta.of=[one, soft_voting]")
    assert stage.names(wanted).ensembles == ("tta_one", "tta_soft_voting")
    outcome = stage.run(wanted, halves)
    assert (outcome.done, outcome.failed) == (["tta_one", "tta_soft_voting"], {})
    facts = ensemble_facts(halves, "tta_one")
    assert facts["members"] == ["one", "one_hflip"] and facts["notes"]["used"] == "inner"
    assert facts["notes"]["gains"]["log_loss"]["low"] > 0
    assert ensemble_facts(halves, "tta_soft_voting")["members"] == ["one", "one_hflip", "two", "two_hflip"]
    assert any("used" in str(block) for block in stage.report(outcome, halves).blocks)
    oof = Predictions.load(halves.kfold("one_hflip") / "oof")
    assert len(oof) == 288 and not oof.seen.any()
    monkeypatch.setattr(Viewed, "forward", lambda *_: pytest.fail("a view was predicted again"))
    assert stage.run(wanted, halves).done == ["tta_one", "tta_soft_voting"]
    monkeypatch.undo()
    _evaluated_and_exported(halves, recipe())


def _evaluated_and_exported(store: Store, recipe: Recipe) -> None:
    module, _ = load_model(store, "tta_soft_voting", trusted=True)
    assert len(module.members) == 2 and len(module.outputs) == 4
    done = Evaluate().run(recipe, store).done
    assert {"tta_one", "tta_soft_voting"} < set(done) and "one_hflip" not in done
    reports = {
        name: json.loads((folder / "metrics.json").read_text("utf-8"))
        for name, folder in {
            "one": store.member_metrics("one"),
            "tta": store.ensemble_metrics("tta_one"),
        }.items()
    }
    assert reports["tta"]["metrics"]["accuracy"]["value"] > reports["one"]["metrics"]["accuracy"]["value"]
    assert reports["tta"]["parameters"] == pytest.approx(reports["one"]["parameters"], abs=1)
    assert reports["tta"]["size_mb"] == pytest.approx(reports["one"]["size_mb"], abs=1e-3)
    assert reports["tta"]["latency_ms"]["networks"] == 1
    outcome = run_verb("export", recipe, store, models=["tta_soft_voting"])
    assert outcome.failed == {}
    files = list((store.deploy("tta_soft_voting") / "checkpoint").rglob("weights.safetensors"))
    assert len(files) == 2


def test_views_that_do_not_help_are_left_out_and_the_report_says_so(halves, recipe) -> None:
    wanted = recipe("tta={views: [{name: brightness, factors: [0.3]}], of: [one]}")
    outcome = Tta().run(wanted, halves)
    facts = ensemble_facts(halves, "tta_one")
    assert facts["members"] == ["one"] and facts["notes"]["used"] == "fallback"
    report = Tta().report(outcome, halves)
    assert report.blocks[0].rows[0][-1] == "no proven gain: left out"
    plain, without = (load_model(halves, name, trusted=True)[0] for name in ("one", "tta_one"))
    images = np.random.default_rng(0).integers(0, 256, (5, 1, 20, 20), dtype=np.uint8)
    assert (plain.predict(images).argmax(1) == without.predict(images).argmax(1)).all()


def test_learned_weights_keep_the_good_views(halves, recipe) -> None:
    views = "[hflip, {name: brightness, factors: [0.3]}]"
    Tta().run(recipe(f"tta={{views: {views}, of: [weighted], weights: learned}}"), halves)
    facts = ensemble_facts(halves, "tta_weighted")
    assert facts["notes"]["used"] == "inner"
    assert {"one_hflip", "two_hflip"} & set(facts["members"])
    assert not {"one_brightness_0.3", "two_brightness_0.3"} & set(facts["members"])


@pytest.mark.slow
def test_a_view_is_a_member_that_any_stage_combines(halves, recipe, cli, settings) -> None:
    words = [word for each in settings for word in ("--set", each)]
    said = cli("tta", "--views", "hflip", "--of", "one,weighted", "--store", halves.root, *words, "--json")
    assert said.code == 0 and set(json.loads(said.out)["ensembles"][0]) >= {"name", "scores"}
    wanted = recipe(
        "runs.members=[one, one_hflip]", "runs.meta_fuser={input_ensembles: [tta_one, soft_voting]}"
    )
    assert run_verb("build-ensemble", wanted, halves, methods=["stacking_lr"]).failed == {}
    assert ensemble_facts(halves, "stacking_lr")["members"] == ["one", "one_hflip"]
    assert run_verb("meta-fuse", wanted, halves).done == ["meta_fuser"]
    assert Evaluate().run(wanted, halves).failed == {}
    assert (halves.ensemble_metrics("one_hflip") / "metrics.json").is_file()


def test_the_best_model_and_a_dry_run(halves, recipe) -> None:
    before = sorted(halves.root.rglob("*"))
    facts = Tta().plan(recipe("tta={views: [d4]}"), halves).facts
    assert list(facts["ensembles"].values()) in (["soft_voting_ensemble"], ["weighted_ensemble"])
    assert len(facts["predicted"]) == 14 and facts["rows"] == "oof"
    assert sorted(halves.root.rglob("*")) == before
    shutil.rmtree(halves.root / "ensembles")
    assert Tta().plan(recipe("tta={}"), halves).facts["ensembles"] in ({"tta_one": "one"}, {"tta_two": "two"})


def test_models_that_cannot_have_views(halves, recipe) -> None:
    outcome = Tta().run(recipe("tta.of=[one, thre]"), halves)
    assert outcome.done == ["tta_one"] and outcome.exit_code == 3
    assert "got 'thre'" in outcome.failed["tta_thre"]
    with pytest.raises(
        UsageError, match="tta_one: expected a model without test-time views, got one with 'one_hflip'"
    ):
        Tta().run(recipe("tta.of=[tta_one]"), halves)
    with pytest.raises(
        StoreError, match=r"tta\.of: expected at least one of the models 'x', 'y' in the store, got none"
    ):
        Tta().run(recipe("tta.of=[x, y]"), halves)
    shutil.rmtree(halves.kfold("two") / "oof")
    outcome = Tta().run(recipe("tta.of=[one, two]"), halves)
    text = (
        "two: expected all of its members in the store, got no undamaged 'two'. Run: committee train RECIPE"
    )
    assert outcome.failed["tta_two"] == text


@pytest.mark.parametrize(
    ("section", "text"),
    [
        (
            "views: [hflp]",
            r"tta\.views\[0\]: expected one of brightness, d4, .* got 'hflp'\. Did you mean 'hflip'\?",
        ),
        (
            "views: [{name: shift, fractoin: 1.0}]",
            "expected an option of shift .fraction., got 1.0. Did you mean 'fraction'",
        ),
        (
            "views: [{name: shift, fraction: big}]",
            "tta.views.0..fraction: expected a number",
        ),
        ("weights: median", "tta.weights: expected"),
    ],
)
def test_a_section_that_is_wrong(section: str, text: str) -> None:
    with pytest.raises(RecipeError, match=text):
        load_recipe(None, [f"tta={{{section}}}"])


def test_an_option_out_of_range_is_refused_before_training() -> None:
    with pytest.raises(UsageError, match=r"shift\.fraction: expected a number above 0 and below 1, got 2"):
        Tta().names(load_recipe(None, ["tta={views: [{name: shift, fraction: 2}]}"]))


def test_without_out_of_fold_rows_nothing_is_predicted(halves, recipe) -> None:
    soup = recipe("runs.model_soup={over: [folds], barrier: 10}")
    assert "soup_uniform_one" in run_verb("build-ensemble", soup, halves, methods=["soup_uniform"]).done
    with pytest.raises(StoreError, match="No K-fold results for soup_uniform_one: train it with folds"):
        Tta().run(recipe("tta.of=[soup_uniform_one]"), halves)
    assert "soup_uniform_one_hflip" not in halves.members()

"""The stage that removes channels: its members are like any other."""

from __future__ import annotations

import shutil

import pytest

from committee.errors import StoreError, UsageError
from committee.models.measure import parameters
from committee.pipeline.run import run_verb
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.records import is_single_network
from committee.pipeline.shared.splits import load_predictions
from committee.pipeline.stages.channel_pruning import ChannelPruning
from committee.recipe.load import load_recipe


def test_pruned_member_is_cross_fitted_smaller_and_combined(trained, tiny_settings) -> None:
    recipe = load_recipe(None, [*tiny_settings, "channel_pruning={epochs: 1, of: [test_resnet, test_vit]}"])
    outcome = ChannelPruning().run(recipe, trained)
    assert outcome.done == ["channel_pruned_test_resnet"]
    assert outcome.failed["channel_pruned_test_vit"].startswith(
        "channel_pruned_test_vit (VisionTransformer): expected a convolutional network"
    )
    sizes = [
        parameters(load_model(trained, name)[0]) for name in ("test_resnet", "channel_pruned_test_resnet")
    ]
    assert sizes[1] < 0.6 * sizes[0]
    assert len(load_predictions(trained, ["channel_pruned_test_resnet"])) == len(load_predictions(trained))
    again = ChannelPruning(["test_resnet"]).run(recipe, trained)
    assert again.done == ["channel_pruned_test_resnet"]
    recipe = load_recipe(None, [*tiny_settings, "runs.members=[test_resnet, channel_pruned_test_resnet]"])
    assert run_verb("build-ensemble", recipe, trained, methods=["soft_voting"]).exit_code == 0
    with pytest.raises(UsageError) as caught:
        ChannelPruning(["soft_voting_ensemble"]).run(recipe, trained)
    assert str(caught.value) == (
        "soft_voting_ensemble: expected a member that is a single network, got several networks. "
        "Prune its members, and combine the results."
    )


def test_verb_lists_what_it_would_prune(cli, trained) -> None:
    given = ["--store", trained.root, "--member", "test_resnet", "--amount", "0.25", "--dry-run"]
    done = cli("prune-channels", *given)
    assert done.code == 0, done.err
    assert "channel_pruned_test_resnet" in done.out and "25%" in done.out


def test_an_unfinished_member_is_named(trained) -> None:
    shutil.rmtree(trained.checkpoint("test_vit", "refit"))
    shutil.rmtree(trained.kfold("test_vit"))
    with pytest.raises(StoreError) as caught:
        ChannelPruning(["test_vit"]).plan(load_recipe(None), trained)
    assert str(caught.value) == (
        "test_vit: expected a finished and undamaged member, got one that the catalog leaves out. "
        "Run: committee discover"
    )
    assert not is_single_network(trained, "without_fits")

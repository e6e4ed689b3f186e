"""The stage that removes channels: its members are like any other."""

from __future__ import annotations

import pytest

from committee.errors import UsageError
from committee.models.measure import parameters
from committee.pipeline.run import run_verb
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.splits import load_predictions
from committee.pipeline.stages.channel_pruning import ChannelPruning
from committee.recipe.load import load_recipe


def test_pruned_member_is_cross_fitted_smaller_and_combined(trained, tiny_settings) -> None:
    recipe = load_recipe(None, [*tiny_settings, "channel_pruning={epochs: 1, of: [test_resnet, test_vit]}"])
    outcome = ChannelPruning().run(recipe, trained)
    assert outcome.done == ["slim_test_resnet"]
    assert outcome.failed["slim_test_vit"].startswith(
        "slim_test_vit (VisionTransformer): expected a convolutional network"
    )
    sizes = [parameters(load_model(trained, name)[0]) for name in ("test_resnet", "slim_test_resnet")]
    assert sizes[1] < 0.6 * sizes[0]
    assert len(load_predictions(trained, ["slim_test_resnet"])) == len(load_predictions(trained))
    again = ChannelPruning(["test_resnet"]).run(recipe, trained)
    assert again.done == ["slim_test_resnet"]
    recipe = load_recipe(None, [*tiny_settings, "runs.members=[test_resnet, slim_test_resnet]"])
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
    assert "slim_test_resnet" in done.out and "25%" in done.out

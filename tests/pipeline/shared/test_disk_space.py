import dataclasses
import shutil
from collections import namedtuple

import pytest
import torch

from committee.pipeline.shared.disk_space import STATES, warn_of_disk_space
from committee.pipeline.shared.to_train import members_to_train, open_for
from committee.recipe.load import load_recipe
from committee.store.layout import Store
from committee.training.plans.single import Single

Usage = namedtuple("Usage", "total used free")


@pytest.mark.parametrize("free", [10**15, 1000])
def test_weights_that_will_not_fit_are_a_warning(
    trained: Store, tiny_settings, monkeypatch, caplog, free
) -> None:
    recipe = load_recipe(None, tiny_settings)
    specs = members_to_train(recipe)
    dataset = open_for(recipe, specs, trained)
    shutil.rmtree(trained.checkpoint("test_vit", 0))
    before = torch.random.get_rng_state()
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(0, 0, free))
    warn_of_disk_space([Single(spec, dataset, trained, torch.device("cpu")) for spec in specs], trained)
    weights = (trained.checkpoint("test_vit", "refit") / "weights.safetensors").stat().st_size
    warnings = [message for message in caplog.messages if "will be written" in message]
    if free > 1000:
        assert warnings == []
    else:
        assert len(warnings) == 1
        assert warnings[0].endswith(" MB will be written, but the disk has only 1000 bytes free")
        assert float(warnings[0].split(" about ")[1].split()[0]) == pytest.approx(
            (1 + STATES) * weights / 1e6, rel=0.05
        )
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_network_that_cannot_be_built_is_no_error(
    trained: Store, tiny_settings, monkeypatch, caplog
) -> None:
    recipe = load_recipe(None, tiny_settings)
    specs = members_to_train(recipe)
    dataset = open_for(recipe, specs, trained)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(0, 0, 0))
    spec = dataclasses.replace(specs[0], name="new", backbone="timm:none_such")
    warn_of_disk_space([Single(spec, dataset, trained, torch.device("cpu"))], trained)
    assert not caplog.messages

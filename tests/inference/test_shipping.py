"""Models that are sent to other machines answer as here, without the store and the files of this one."""

from __future__ import annotations

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from committee.errors import UsageError
from committee.exporters.base import Card
from committee.exporters.onnx import Onnx
from committee.inference.predict import open_model, predict
from committee.inference.shipping import ship
from committee.pipeline.shared.models import load_model
from committee.recipe.load import load_recipe


@pytest.mark.slow
def test_a_model_that_was_sent_answers_as_it_does_here(trained, tmp_path):
    import torch

    recipe = load_recipe(None, ["device=cpu"])
    photo = tmp_path / "a.png"
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(photo)
    module, facts = load_model(trained, "test_resnet")
    module.eval()
    file = Onnx().export(
        module, torch.zeros(2, 1, 32, 32, dtype=torch.uint8), tmp_path, Card.of(module, "sent", facts)
    )
    here, sent = [], []
    for name in ("test_resnet", str(file)):
        model = open_model(name, trained, recipe)
        here.append(next(predict(model, [photo])).probabilities)
        sent.append(pickle.dumps(ship(name, trained, recipe, model)))
    streamed = open_model("test_resnet", trained, recipe, stream=True)
    with pytest.raises(
        UsageError, match="--executor ray: expected a model that fits in memory, got test_resnet"
    ):
        ship("test_resnet", trained, recipe, streamed)
    file.unlink()
    shutil.rmtree(trained.root)
    for expected, text in zip(here, sent, strict=True):
        found = next(predict(pickle.loads(text).open("cpu"), [photo])).probabilities
        assert np.array_equal(found, expected)

import numpy as np
import pytest
import torch
from torch.nn import functional

from committee.training.fit.engine import make_fabric
from committee.training.fit.start import start_member
from committee.training.fit.steps import Step
from committee.training.losses import CrossEntropy

MODELS = "backbones.include=['python:hostile_nets:hungry']"


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("size", [1, 5, 16, 30, 31, 99])
def test_a_divided_batch_gives_the_gradients_of_the_whole(making, dataset, cpu, size, smoothing, weighted):
    member = start_member(making.make_spec(MODELS, net="hungry"), dataset, "fold_0")
    pixels = dataset.images(np.arange(31)).float() / 255
    labels = torch.from_numpy(dataset.labels[:31])
    weights = torch.linspace(0.1, 3.0, 10) if weighted else None
    fabric = make_fabric(cpu, "fp32")
    model = fabric.setup_module(member.network)
    logits = member.network(pixels)
    expected = functional.cross_entropy(logits, labels, weights, label_smoothing=smoothing)
    wanted = torch.autograd.grad(expected, list(member.network.parameters()))
    criterion = CrossEntropy().prepare(dataset.labels[:31], dataset.class_names)
    criterion.weights, criterion.smoothing = weights, smoothing
    learn = Step(fabric, lambda rows: (pixels[rows], labels[rows]), labels, criterion, who="m/fold_0")
    loss, accuracy = learn(model, np.arange(31), size)
    torch.testing.assert_close(loss, expected.detach())
    assert accuracy.item() == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    for one, other in zip(member.network.parameters(), wanted, strict=True):
        torch.testing.assert_close(one.grad, other, rtol=1e-4, atol=1e-6)

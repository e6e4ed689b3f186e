import pytest
import torch
from torch import nn

from committee.recipe.training import Training
from committee.training.fit.optimizer import learning_rate, make_optimizer


def test_the_rate_rises_then_falls_as_a_cosine():
    settings = Training(lr=1.0, warmup_epochs=2, epochs=12)
    rates = [learning_rate(settings, epoch, 12) for epoch in (0.5, 1, 2, 7, 12)]
    assert rates == pytest.approx([0.25, 0.5, 1.0, 0.5, 0.0])


def test_the_rate_stays_where_it_is_constant():
    settings = Training(lr=1.0, warmup_epochs=0, scheduler="constant")
    assert [learning_rate(settings, epoch, 5) for epoch in (0.1, 5)] == [1.0, 1.0]


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_warm_up_takes_a_fifth_of_a_short_fit(epochs):
    rates = [learning_rate(Training(lr=1.0), share * epochs, epochs) for share in (0.1, 0.2, 0.6)]
    assert rates == pytest.approx([0.5, 1.0, 0.5])


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_norms_and_biases_do_not_decay(name, kind):
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    net[2].requires_grad_(False)
    optimizer = make_optimizer(net.parameters(), Training(optimizer=name, weight_decay=0.1, momentum=0.8))
    assert isinstance(optimizer, kind)
    decays = {id(each): group["weight_decay"] for group in optimizer.param_groups for each in group["params"]}
    learned = [net[0].weight, net[0].bias, net[1].weight, net[1].bias]
    assert [decays.pop(id(each)) for each in learned] == [0.1, 0, 0, 0]
    assert decays == {}
    assert all(group["fused"] for group in optimizer.param_groups)
    if name == "sgd":
        assert all(group["momentum"] == 0.8 and group["nesterov"] for group in optimizer.param_groups)

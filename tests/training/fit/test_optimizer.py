import pytest
import torch
from torch import nn

from committee.recipe.training import Training
from committee.training.fit.optimizer import make_optimizer, set_rate


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


def test_the_rate_of_a_group_is_scaled():
    net = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    optimizer = make_optimizer(net.parameters(), Training(body_lr=0.1), net[1].parameters())
    set_rate(optimizer, 0.5)
    assert {group["lr_scale"]: group["lr"] for group in optimizer.param_groups} == {1.0: 0.5, 0.1: 0.05}

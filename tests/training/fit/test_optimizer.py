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


def test_the_steps_of_adamw_are_those_of_torch_to_the_last_bit():
    weights = []
    for fused in (True, False):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 2))
        optimizer = make_optimizer(net.parameters(), Training(weight_decay=0.1))
        if not fused:
            groups = [dict(group) for group in optimizer.param_groups]
            optimizer = torch.optim.AdamW(groups, fused=True)
        for number in range(4):  # the third layer has no gradient at first
            hidden = net[0](torch.randn(5, 3))
            loss = net[1](hidden).square().sum() + (net[2](hidden).sum() if number > 1 else 0)
            loss.backward()
            set_rate(optimizer, 0.1 / (number + 1))
            optimizer.step()
            optimizer.zero_grad()
        state = [each for held in optimizer.state_dict()["state"].values() for each in held.values()]
        weights.append([*net.parameters(), *state])
    assert all(map(torch.equal, *weights))

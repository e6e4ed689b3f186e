import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn
from torch.nn import functional

from committee.training.fit.one_device import OneDevice


def make_fabric(form, cpu):
    """Return the Fabric of a number format; it has no fp16 on CPUs but through its plugin."""
    names = {"fp32": "32-true", "bf16": "bf16-mixed"}
    if form in names:
        return Fabric(accelerator="cpu", devices=1, precision=names[form])
    return Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu")])


def trained(fabric, clip, fused):
    """Return the weights and the state of the number format after steps, one of which overflows."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01, fused=fused)
    model, stepping = fabric.setup_module(network, move_to_device=False), fabric.setup_optimizers(optimizer)
    images, labels = torch.randn(5, 8, 2, 6, 6), torch.randint(0, 3, (5, 8))
    images[3] *= 1e30
    for x, y in zip(images, labels, strict=True):
        with fabric.no_backward_sync(model, enabled=False):
            fabric.backward(functional.cross_entropy(model(x), y).nan_to_num(1.0))
        if clip:
            fabric.clip_gradients(model, stepping, max_norm=0.1, error_if_nonfinite=False)
        stepping.step()
        stepping.zero_grad()
    with fabric.autocast():
        seen = network.eval()(images[0])
    return network.state_dict(), fabric.strategy.precision.state_dict(), seen


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step:UserWarning")
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("form", ["fp32", "bf16", "fp16"])
def test_the_steps_are_those_of_fabric_to_the_last_bit(form, clip, cpu):
    fused = form != "fp16"  # Fabric refuses to clip the gradients of a fused optimizer in fp16.
    ours, theirs = (trained(each, clip, fused) for each in (OneDevice(cpu, form), make_fabric(form, cpu)))
    assert ours[1] == theirs[1]
    assert ours[2].dtype == theirs[2].dtype
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(ours[2], theirs[2], rtol=0, atol=0, equal_nan=True)


def test_gradients_of_fused_optimizers_are_clipped_in_fp16(cpu):
    fused, plain = (trained(OneDevice(cpu, "fp16"), True, each)[0] for each in (True, False))
    torch.testing.assert_close(fused, plain, equal_nan=True)


def test_a_state_continues_the_scale(cpu):
    first, second = OneDevice(cpu, "fp16"), OneDevice(cpu, "fp16")
    state = trained(first, False, False)[1]
    second.precision.load_state_dict(state)
    assert second.precision.state_dict() == state
    assert state["scale"] < torch.amp.GradScaler("cpu").state_dict()["scale"]

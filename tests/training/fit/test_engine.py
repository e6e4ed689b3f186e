import pytest
import torch
from torch import nn

from committee.errors import RecipeError
from committee.training.fit.engine import memory_format, number_format, processes

CPU = torch.device("cpu")


def test_auto_is_full_precision_without_a_gpu():
    assert number_format(CPU, "auto") == "fp32"
    assert number_format(CPU, "bf16") == "bf16"


def test_half_precision_needs_a_gpu():
    with pytest.raises(RecipeError) as caught:
        number_format(CPU, "fp16")
    assert str(caught.value) == (
        "training.precision: expected auto, fp32 or bf16 on a CPU, got 'fp16'. "
        "Use auto: it is the fastest format that keeps the accuracy."
    )


def test_one_process_but_for_several_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [processes(torch.device(name)) for name in ("cpu", "cuda:1", "cuda")] == [1, 1, 4]


def test_channels_last_is_for_convolutions():
    dense, depthwise = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3, groups=4)
    cuda = torch.device("cuda")
    assert memory_format(dense, "auto", CPU, "fp32") == torch.channels_last
    assert memory_format(dense, "auto", cuda, "fp32") == torch.contiguous_format
    assert memory_format(dense, "auto", cuda, "bf16") == torch.channels_last
    assert memory_format(depthwise, "auto", CPU, "fp32") == torch.contiguous_format
    assert memory_format(nn.Linear(2, 2), "auto", CPU, "fp32") == torch.contiguous_format
    assert memory_format(nn.Linear(2, 2), True, CPU, "fp32") == torch.channels_last

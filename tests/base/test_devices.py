"""Lookup of devices by name."""

from __future__ import annotations

import pytest
import torch

from committee.base import devices
from committee.errors import DeviceError


def test_a_device_that_is_there_is_returned() -> None:
    assert devices.resolve("cpu") == torch.device("cpu")


@pytest.mark.parametrize("here", [("cpu",), ("cuda", "cpu"), ("mps", "cpu")])
def test_auto_is_the_best_there_is(monkeypatch: pytest.MonkeyPatch, here: tuple[str, ...]) -> None:
    monkeypatch.setattr(devices, "available", lambda: here)
    assert devices.resolve("auto") == torch.device(here[0])


def test_a_device_that_is_absent_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "available", lambda: ("cpu",))
    with pytest.raises(DeviceError) as caught:
        devices.resolve("cuda")
    assert str(caught.value) == (
        "device: expected an available device (cpu), got 'cuda'. Use the fastest one with --set device=auto."
    )
    assert caught.value.exit_code == 2


def test_what_is_available_is_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.available() == ("cuda", "mps", "cpu")

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch

NETS = Path(__file__).parent / "nets"


@pytest.fixture(autouse=True)
def nets(monkeypatch):
    """Make `python:tiny_nets:...` importable, here and in processes that a test starts."""
    monkeypatch.syspath_prepend(str(NETS))
    monkeypatch.setenv("PYTHONPATH", str(NETS))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def making(nets) -> ModuleType:
    import making

    return making


@pytest.fixture
def dataset(making, tmp_path):
    return making.make_dataset(tmp_path / "data")


@pytest.fixture
def cpu() -> torch.device:
    return torch.device("cpu")

"""The example for the Hugging Face hub, offline and in small."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "examples" / "huggingface" / "hf_ensemble.py"


def test_it_combines_and_distills_networks_offline(tmp_path, monkeypatch, capsys) -> None:
    random = np.random.default_rng(0)
    for name, level in (("dark", 60), ("light", 180)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(24):
            pixels = random.integers(level - 50, level + 50, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{number}.png")
    options = ["--offline", "--networks", "test_resnet", "test_byobnet", "--student", "test_byobnet"]
    words = ["--out", str(tmp_path / "hf"), "--data", str(tmp_path / "data"), "--epochs", "1", *options]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    output = capsys.readouterr().out
    assert ended.value.code == 0, output
    for name in ("test_resnet", "soft_voting_ensemble", "weighted_ensemble", "distilled_test_byobnet"):
        assert f"{name} " in output or f"{name}\n" in output, output


def test_online_it_names_backbones_of_the_hub() -> None:
    names = runpy.run_path(str(SCRIPT))["HUB"]
    assert all(name.startswith(f"hf-hub:timm/{key}.") for key, name in names.items())

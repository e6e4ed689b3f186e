"""What a program imports is what it uses: imports take longer than most of the work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from committee.base import compiler

TRAIN = """
import sys
from committee.cli.main import main
assert main(sys.argv[1:]) == 0
heavy = {"torch._dynamo", "lightning_fabric", "torchmetrics", "sklearn", "scipy.optimize", "pandas", "sympy",
         "onnx", "mlflow", "wandb", "torch.utils.flop_counter", "matplotlib", "rich"} & set(sys.modules)
assert {"torch", "timm"} < set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.slow
def test_a_fit_imports_neither_the_compiler_nor_what_other_stages_need(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (24, 16, 16), dtype=np.uint8), np.arange(24) % 2
    np.savez(tmp_path / "data.npz", images=images, labels=labels)
    settings = (
        f"dataset={{path: '{tmp_path / 'data.npz'}', channels: 1, img_size: 32, batch_size: 8}}",
        "device=cpu",
        "workers=1",
        "training={folds: 2, epochs: 1, pretrained: false}",
        "backbones.include=['timm:test_convnext']",  # its layer scale is a product with a number
    )
    words = ["train", "--store", str(tmp_path / "store"), *(f"--set={each}" for each in settings)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TRAIN, *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def compiler_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package in place of the compiler, which cannot be imported twice."""
    (tmp_path / "slow_compiler").mkdir()
    for name, text in {
        "__init__": "def disable(fn=None, recursive=True, *, reason=None): return ('disabled', fn)",
        "utils": "def is_compile_supported(device_type): return device_type == 'cuda'\nanswer = 42",
        "config": "size = 8",
    }.items():
        (tmp_path / "slow_compiler" / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(compiler, "COMPILER", "slow_compiler")
    monkeypatch.setattr(compiler, "UTILITIES", "slow_compiler.utils")
    yield "slow_compiler"
    for name in [each for each in sys.modules if each.startswith("slow_compiler")]:
        del sys.modules[name]


def test_libraries_get_functions_that_import_the_compiler_later(compiler_in: str) -> None:
    found: dict[str, Any] = {}
    with compiler.deferred_compiler():
        exec("import slow_compiler\nfrom slow_compiler.utils import is_compile_supported", found)
        assert not hasattr(sys.modules[compiler_in], "__file__"), "`inspect` asks all modules"
        disabled = found["slow_compiler"].disable(lambda value: value + 1, recursive=False)
    assert compiler_in not in sys.modules
    assert [found["is_compile_supported"](each) for each in ("cuda", "cpu")] == [True, False]
    assert sys.modules[compiler_in].__file__
    assert disabled.__wrapped__(1) == 2


@pytest.mark.parametrize(
    "line",
    [
        "from slow_compiler.config import size",
        "from slow_compiler.utils import answer",
        "slow_compiler.disable()",
    ],
)
def test_whatever_else_a_library_asks_for_imports_the_compiler(compiler_in: str, line: str) -> None:
    with compiler.deferred_compiler():
        exec(f"import slow_compiler\n{line}", {})
        assert sys.modules[compiler_in].__file__
    assert sys.modules[compiler_in].__file__


def test_without_the_compiler_an_optimizer_makes_the_same_steps() -> None:
    weights = []
    for kind in (torch.optim.AdamW, compiler.uncompiled(torch.optim.AdamW)):
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 2)
        optimizer = kind(net.parameters(), lr=0.1, fused=True)
        for _ in range(3):
            net(torch.randn(4, 3)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
            optimizer.load_state_dict(optimizer.state_dict())
        weights.append(net.weight.detach().requires_grad_(False))
        assert all(each.grad is None for each in net.parameters())
    assert torch.equal(*weights)

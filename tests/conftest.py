"""What every test starts from: one thread, a store of its own, and the command line in process."""

from __future__ import annotations

import logging
import os
import sys

# Read when numpy and scipy load their BLAS: two threads that wait for each other are 20 times slower here.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, settings

from committee.cli.main import main

if TYPE_CHECKING:
    from committee.store.layout import Store

torch.set_num_threads(1)
settings.register_profile(
    "committee",
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # A busy machine is no fault of a test.
)
settings.load_profile("committee")


class Said(NamedTuple):
    """What a command answered."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """Take back what a verb set up in the package's logger."""
    logger = logging.getLogger("committee")
    level, handlers = logger.level, list(logger.handlers)
    yield
    logger.setLevel(level)
    logger.handlers = handlers


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store in a temporary folder."""
    from committee.store.layout import Store

    return Store(tmp_path / "store")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run `committee` with the given words in this process: `cli("combine", path, "--json")`.

    The terminal is wide, so that each row of a table is one line.
    """
    monkeypatch.setenv("COLUMNS", "400")

    def run(*words: object) -> Said:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return run


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 scans of digits, 8 x 8 pixels, as a data set of arrays."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    path = tmp_path_factory.mktemp("digits") / "digits.npz"
    images = (digits.images[:240] * 15.9).astype(np.uint8)
    np.savez(path, images=images, labels=digits.target[:240])
    return path


@pytest.fixture(scope="session")
def tiny_settings(digits_file: Path) -> list[str]:
    """Overrides of a recipe that trains two tiny backbones in seconds."""
    return [
        f"dataset.path={digits_file}",
        "dataset.channels=1",
        "dataset.img_size=32",
        "device=cpu",
        "backbones.include=[timm:test_resnet, timm:test_vit]",
        "training.pretrained=false",
        "training.epochs=2",
        "training.folds=3",
        "training.lr=0.003",
    ]


@pytest.fixture(scope="session")
def trained_root(tmp_path_factory: pytest.TempPathFactory, tiny_settings: list[str]) -> Path:
    """The folder of a store with those two members, trained once: to be read only."""
    from committee.pipeline.stages.train import Train
    from committee.recipe.load import load_recipe
    from committee.store.layout import Store

    root = tmp_path_factory.mktemp("trained") / "store"
    outcome = Train().run(load_recipe(None, tiny_settings), Store(root))
    assert outcome.done == ["test_resnet", "test_vit"], outcome.failed
    return root


@pytest.fixture
def trained(trained_root: Path, tmp_path: Path) -> Store:
    """A copy of that store, to do anything with."""
    import shutil

    from committee.store.layout import Store

    return Store(shutil.copytree(trained_root, tmp_path / "trained"))


@pytest.fixture
def own_nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module with builders `small`, and `short`, whose last layer lacks a class: `python:own_nets`."""
    text = (
        "from torch import nn\n"
        "def small(classes, channels):\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(64 * channels, classes))\n"
        "def short(classes, channels):\n"
        "    return small(classes - 1, channels)\n"
    )
    (tmp_path / "own_nets.py").write_text(text, encoding="utf-8")
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    return "python:own_nets"

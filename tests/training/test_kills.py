"""SIGKILL at any moment of a fit: it goes on, and ends with the bytes of an undisturbed one."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL, no fork")

COMMON = ["training.epochs=4", "training.augment.randaugment=3"]
ADAMW = [
    "training.ema=0.9",
    "training.early_stop={patience: 3}",
    "training.best_checkpoint=true",
    "training.channels_last=true",
    "training.sampler=balanced",
]
SGD = [
    "training.optimizer=sgd",
    "training.lr=0.05",
    "training.best_checkpoint=true",
    "training.class_weights=balanced",
    "training.head_epochs=2",
]
SKITTISH = [
    "backbones.include=['python:hostile_nets:skittish']",
    "training.clip_grad=null",
    "training.epochs=10",
    "training.warmup_epochs=2",
]
STACKED = "training.together=stacked"
PER_EPOCH = 5


def moments(seed):
    """The first batch after each epoch is kept, and some in between."""
    boundaries = [1 + epoch * PER_EPOCH for epoch in range(4)]
    between = sorted(set(range(1, 4 * PER_EPOCH + 1)) - set(boundaries))
    return [f"batch:{n}" for n in boundaries + random.Random(seed).sample(between, 2)]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """Each setting and its moments in one process, since a process needs seconds to import all."""
    top = tmp_path_factory.mktemp("kills")
    source = f"training.pretrained='{top / 'published.pt'}'"
    asked = [
        ([*COMMON, *ADAMW], moments(0)),
        ([*COMMON, *SGD, source], moments(1)),
        ([*COMMON, *SKITTISH], ["batch:8", "batch:13", "batch:16", "batch:20"]),
        ([*COMMON, *ADAMW], [f"file:{n}" for n in (1, 2, 3, 4, 5, 8, 12)]),
        (["training.augment=none", "training.inference=folds", STACKED], ["batch:1", "batch:8", "batch:11"]),
    ]
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "nets" / "killing.py", top],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LARGEST_STEP": "0.1"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("setting", [0, 1, 2, 3, 4])
def test_a_killed_fit_ends_with_the_same_bytes(answers, setting):
    found = answers[setting]
    end, fine, undisturbed = found.pop("never")
    assert (end, fine) == (0, 0)
    assert found
    for moment, (end, fine, digest) in found.items():
        assert (moment, end, fine) == (moment, -9, 0)
        assert (moment, digest) == (moment, undisturbed)

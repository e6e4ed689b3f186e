"""SIGINT and SIGTERM to real runs: they keep their state, say how to go on, and end with the same bytes."""

import json
import os
import pkgutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from committee.base import interrupt
from committee.base.interrupt import SENTENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are not delivered there")
NETS = Path(__file__).parents[1] / "training" / "nets"
SETTINGS = [
    "dataset.channels=1",
    "dataset.img_size=8",
    "dataset.batch_size=16",
    "device=cpu",
    "backbones.include=['python:hostile_nets:signaled']",
    "training.epochs=3",
    "training.folds=2",
    "training.lr=0.01",
    "training.ema=0.9",
    "training.best_checkpoint=true",
    "workers=1",
]


@pytest.mark.slow
def test_an_interrupted_run_goes_on_to_the_same_bytes(digits_file, tmp_path):
    words = [
        "train",
        *(word for each in [f"dataset.path={digits_file}", *SETTINGS] for word in ("--set", each)),
    ]
    moments = [["SIGINT", 4], ["SIGTERM", 9], ["SIGINT", 22]]
    done = subprocess.run(
        [sys.executable, str(NETS / "interrupting.py"), tmp_path],
        input=json.dumps([words, moments]),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(NETS)},
    )
    assert done.returncode == 0, done.stderr
    (code, _, said, _, undisturbed), *answers = json.loads(done.stdout)
    assert (code, "stopped" in said) == (0, False), said
    for moment, (code, seconds, said, again, digest) in zip(moments, answers, strict=True):
        assert (moment, code, again) == (moment, 130, 0), said
        assert seconds < 60  # and never 10, on any machine: `interrupt.PATIENCE` is the limit
        assert said.splitlines()[-1] == f"committee: {SENTENCE}"
        assert "stopped in epoch" in said.splitlines()[-2]
        assert (moment, digest) == (moment, undisturbed)


@pytest.fixture
def signal_in(monkeypatch):
    """Have a signal come when a function is called."""
    # Not to be met: the process that is ended then is that of all tests.
    monkeypatch.setattr(interrupt, "PATIENCE", 240)

    def arrange(place, number):
        real = pkgutil.resolve_name(place)

        def interrupted(*args, **options):
            signal.raise_signal(number)
            return real(*args, **options)

        monkeypatch.setattr(place.replace(":", "."), interrupted)

    return arrange


@pytest.mark.parametrize(
    ("number", "place"),
    [
        (signal.SIGTERM, "committee.images.cache:write_header"),
        (signal.SIGINT, "committee.images.decoded:hash_images"),
        (signal.SIGTERM, "committee.training.plans.base:logits_of"),
        (signal.SIGINT, "committee.store.commit:list_files"),
    ],
    ids=str,
)
def test_decoding_predicting_and_storing_stop_at_once(
    cli, signal_in, digits_file, tmp_path, monkeypatch, number, place
):
    monkeypatch.syspath_prepend(str(NETS))
    signal_in(place, number)
    store = tmp_path / "store"
    words = [word for each in [f"dataset.path={digits_file}", *SETTINGS] for word in ("--set", each)]
    said = cli("train", *words, "--store", store)
    assert (said.code, said.err.splitlines()[-1]) == (130, f"committee: {SENTENCE}")
    assert not list(store.rglob("*~"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("build-ensemble", "--method", "weighted"), "committee.combiners.weighted:Weighted.fit"),
        (("evaluate",), "committee.pipeline.stages.evaluate:_Evaluator._intervals"),
        (
            ("export", "--model-name", "test_vit", "--formats", "onnx"),
            "committee.exporters._onnx_graph:_translate",
        ),
    ],
    ids=["build-ensemble", "evaluate", "export"],
)
def test_other_verbs_stop_at_once(cli, signal_in, trained, tiny_settings, words, place, number):
    pytest.importorskip("onnx")
    signal_in(place, number)
    settings = [word for each in tiny_settings for word in ("--set", each)]
    said = cli(*words, *settings, "--store", trained.root)
    assert (said.code, said.err.splitlines()[-1]) == (130, f"committee: {SENTENCE}")
    assert not list(trained.root.rglob("*~"))

"""The TFLite format: its environment, the child process, and files of a fixed batch."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from committee.errors import DependencyError, ExportError, StoreError, TimeLimitError, UsageError
from committee.exporters import _tflite_child, _tflite_runner
from committee.exporters.base import Card
from committee.exporters.shared import tflite_environment
from committee.exporters.tflite import Tflite
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.pipeline.shared.parity import check_parity, several_sizes

CLASSES = ("ant", "bee")
CARD = Card("pets", CLASSES)
CHILD = """
import sys, time
sys.path.insert(0, {folder!r})
import numpy as np
import _tflite_child as child

def convert(program, path):
    {convert}

def caller(path):
    return lambda images: np.stack([each.mean((1, 2, 3)) for each in images], 1, dtype=np.float32)

child.convert, child.caller = convert, caller
child.main(sys.argv[1:])
"""


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    members = [
        Member.from_module(
            nn.Sequential(nn.Flatten(), nn.Linear(3 * size**2, 2)),
            classes=CLASSES,
            size=size,
            fit=fit,
            name=fit,
        )
        for size, fit in ((8, "squash"), (6, "pad"))
    ]
    return Ensemble(members).eval()


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Replace the environment by this interpreter, and the conversion by a line of code."""

    def replace(convert: str) -> None:
        script = tmp_path / "child.py"
        folder = str(Path(_tflite_child.__file__).parent)
        script.write_text(CHILD.format(folder=folder, convert=convert), encoding="utf-8")
        monkeypatch.setattr(
            tflite_environment, "command", lambda *words: [sys.executable, str(script), *words]
        )
        from committee.exporters import _tflite_runner

        monkeypatch.setattr(_tflite_runner, "command", tflite_environment.command)
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    return replace


def export(module: nn.Module, folder: Path, **options) -> Path:
    return Tflite(**options).export(module, torch.zeros(2, 3, 9, 9, dtype=torch.uint8), folder, CARD)


def test_without_its_environment_the_error_names_the_command(tmp_path, module, monkeypatch) -> None:
    monkeypatch.setenv("COMMITTEE_TFLITE_ENV", str(tmp_path / "none"))
    with pytest.raises(DependencyError) as caught:
        export(module, tmp_path)
    assert str(caught.value) == (
        f"the format tflite: expected its environment in {tmp_path / 'none'}, got none. "
        "Prepare it with: committee export-env tflite"
    )


def test_batches_of_any_size_run_through_a_file_of_two(tmp_path, module, child) -> None:
    child("open(path, 'wb').write(b'1234TFL3')")
    predict = Tflite().open(export(module, tmp_path, batch=2))
    assert predict.class_names == CLASSES and predict.channels == 3
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.full((1, 3, 7, 11), 10, np.uint8)
    found = predict(images)
    np.testing.assert_allclose(found[:, 0], [0, 10, 20, 30, 40])
    assert found[1:, 1].max() < 40, "the second input has black borders"
    assert predict(images[:0]).shape == (0, 2)


def test_a_conversion_that_fails_is_named(tmp_path, module, child) -> None:
    child("raise ValueError('no such operator')")
    with pytest.raises(ExportError) as caught:
        export(module, tmp_path)
    assert str(caught.value) == (
        "tflite of pets: expected a model that litert-torch converts, got ValueError: no such operator. "
        "Leave 'tflite' out of exports.formats, or name the backbone in backbones.exclude."
    )


def test_a_conversion_ends_at_its_time_limit(tmp_path, module, child) -> None:
    child("time.sleep(60)")
    with pytest.raises(TimeLimitError) as caught:
        export(module, tmp_path, seconds=0.1)
    assert str(caught.value) == (
        "tflite of pets: expected a conversion within 0.1 s, got one that takes longer. "
        "Raise the limit with the option seconds: {format: tflite, seconds: 3600}."
    )


def test_a_damaged_file_and_one_without_its_card_are_named(tmp_path, module, child) -> None:
    child("open(path, 'wb').write(b'1234TFL3')")
    file = export(module, tmp_path)
    file.write_bytes(b"no model")
    with pytest.raises(StoreError, match="expected a complete TFLite file, got a damaged one"):
        Tflite().open(file)
    (tmp_path / "card.json").unlink()
    with pytest.raises(StoreError, match="got one without its card"):
        Tflite().open(file)


@pytest.mark.parametrize(("options", "name"), [({"batch": 0}, "batch"), ({"seconds": 0.0}, "seconds")])
def test_options_out_of_range_are_refused(options, name) -> None:
    with pytest.raises(UsageError, match=f"^{name}: expected"):
        Tflite(**options)


def test_an_interrupted_environment_is_completed_and_a_complete_one_is_kept(
    tmp_path, monkeypatch, cli
) -> None:
    place, calls = tmp_path / "env", []

    def create(folder: Path, **_: object) -> None:
        python = tflite_environment.python(folder)
        python.parent.mkdir(parents=True, exist_ok=True)
        python.touch()

    def run(line, **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(line[1:3])
        return subprocess.CompletedProcess(line, len(calls) == 1, "", "ERROR: no network\n")

    monkeypatch.setattr(venv, "create", create)
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(DependencyError) as caught:
        tflite_environment.prepare(place, print)
    assert str(caught.value) == (
        "installing the packages for tflite: expected exit code 0, got ERROR: no network. "
        "Run the command again: what is installed already is kept."
    )
    assert not tflite_environment.is_complete(place)
    tflite_environment.prepare(place, print)
    assert tflite_environment.is_complete(place) and len(calls) == 3
    code, output, _ = cli("export-env", "tflite", "--dir", str(place))
    assert code == 0 and len(calls) == 3
    assert f"{place} is complete: committee export --formats tflite" in output
    assert f"Set the environment variable COMMITTEE_TFLITE_ENV to {place}, so that it is found." in output


def test_a_process_that_does_not_answer_is_ended(tmp_path, monkeypatch) -> None:
    line = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(_tflite_runner, "command", lambda *_: line)
    monkeypatch.setattr(_tflite_runner, "SECONDS", 0.2)
    runner = _tflite_runner.ChildRunner(tmp_path / "model.tflite")
    with pytest.raises(RuntimeError, match=r"has ended, or took more than 0\.2 s"):
        runner([np.zeros((1, 3, 2, 2), np.uint8)])


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            subprocess.TimeoutExpired("pip", 3600),
            "installing the packages for tflite: expected an end within 3600 s, got none. "
            "Run the command again: what is installed already is kept.",
        ),
        (subprocess.TimeoutExpired("pip", 300), "expected an end within 300 s, got none"),
        (subprocess.CalledProcessError(1, "ensurepip"), "expected an environment with pip, got Command 'ens"),
    ],
)
def test_an_environment_that_cannot_be_prepared(tmp_path, monkeypatch, error, text) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(venv, "create", fail if "ensurepip" in str(error) else lambda *_, **__: None)
    monkeypatch.setattr(subprocess, "run", fail)
    monkeypatch.setattr(tflite_environment, "_CHECK_SECONDS", 300.0)
    with pytest.raises(DependencyError) as caught:
        tflite_environment.prepare(tmp_path / "env", print)
    assert text in str(caught.value)


@pytest.mark.slow
@pytest.mark.skipif(
    not tflite_environment.is_complete(tflite_environment.folder()),
    reason="needs: committee export-env tflite",
)
def test_a_real_file_has_parity_at_every_size_and_batch(tmp_path, module, photos) -> None:
    file = Tflite(batch=2).export(module, torch.from_numpy(photos), tmp_path, CARD)
    reference = ModulePredictor(module, "pets", CLASSES)
    assert (
        check_parity(reference, Tflite().open(file), several_sizes(photos), "tflite")["max_abs_diff"] < 1e-5
    )

import subprocess
import sys
from pathlib import Path

import pytest

import committee

PROGRAM = """
import gc, signal, sys
from threading import Thread
from openvino import Model, opset13
from committee.base.openvino_core import openvino_core

def compiled():
    images = opset13.parameter([1, 4])
    found.append(openvino_core().compile_model(Model([opset13.relu(images)], [images]), "CPU"))

found = []
compiled()
compiled()
del found[0]
gc.collect()
other = Thread(target=lambda: (found.clear(), gc.collect()))
other.start()
other.join()
signal.signal(signal.SIGINT, lambda *_: sys.exit(3))
signal.raise_signal(signal.SIGINT)
"""


def test_a_signal_after_models_were_released_runs_its_handler() -> None:
    pytest.importorskip("openvino")
    assert subprocess.run([sys.executable, "-c", PROGRAM]).returncode == 3


def test_no_other_core_is_made() -> None:
    package = Path(committee.__file__).parent
    making = [path.name for path in package.rglob("*.py") if "Core()" in path.read_text(encoding="utf-8")]
    assert making == ["openvino_core.py"]

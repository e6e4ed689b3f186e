"""Install a wheel in a fresh environment, and use it there: `make wheel`.

    python scripts/smoke_wheel.py dist/committee-0.1.0-py3-none-any.whl
    python scripts/smoke_wheel.py dist/committee-0.1.0-py3-none-any.whl --borrow

The packages are those of constraints.txt, with all extras: 7 GB, which takes two and a half minutes of
processor time, and longer where the disk or the network is slow; each step prints its seconds. `--borrow`
takes them from this environment instead, so that only the wheel is installed, in seconds. The program then
trains, combines, exports and predicts, in an empty folder outside of the project.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMOKE = """
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

import committee
from committee.exporters import open_exported
from committee.exporters.base import Card
from committee.exporters.onnx import Onnx

place = Path(committee.__file__).resolve()
assert Path(sys.prefix).resolve() in place.parents, f"{place} is not the installed package"
rows = np.random.default_rng(0).normal(size=(120, 4)).astype("float32")
labels = (rows[:, 0] > 0).astype(int)
members = committee.fit_members(lambda: nn.Linear(4, 2), (rows, labels), n=3)
ensemble = committee.Ensemble(members).fit([(rows, labels)], method="soft_voting")
file = Onnx().export(ensemble, torch.tensor(rows[:8]), Path(), Card.of(ensemble, "vote"))
found = open_exported(file)(rows)
assert found.shape == (120, 2) and abs(found.sum(1) - 1).max() < 1e-5
print("committee", committee.__version__, "accuracy", (found.argmax(1) == labels).mean())
"""
RECIPE = """
dataset: {name: digits, channels: 1, img_size: 32, batch_size: 64}
training: {folds: 2, epochs: 1, warmup_epochs: 0, lr: 1e-2, pretrained: false}
backbones: {include: [timm:test_resnet, timm:test_vit]}
exports: {formats: [onnx]}
"""


def run(*words: str | Path, folder: Path) -> None:
    """Run a command in a folder, and end with its exit code if it fails."""
    print("$", *(str(word).strip().partition("\n")[0] for word in words), flush=True)
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    start = time.perf_counter()
    done = subprocess.run([str(word) for word in words], cwd=folder, env=clean)
    print(f"{time.perf_counter() - start:.0f} s", flush=True)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Install and use the wheel."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--borrow", action="store_true", help="use the packages of this environment")
    arguments = parser.parse_args()
    wheel = arguments.wheel.absolute()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        venv.create(folder / "env", with_pip=True)
        names = {"base": str(folder / "env"), "platbase": str(folder / "env")}
        scripts = Path(sysconfig.get_path("scripts", "venv", names))
        python, pip = scripts / "python", [scripts / "python", "-m", "pip", "install", "--quiet"]
        if arguments.borrow:
            site = Path(sysconfig.get_path("purelib", "venv", names))
            (site / "borrowed.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
            run(*pip, "--no-deps", "--force-reinstall", wheel, folder=folder)
        else:
            run(*pip, "-c", ROOT / "constraints.txt", f"{wheel}[all]", folder=folder)
        (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        run(python, "-c", SMOKE, folder=folder)
        run(scripts / "committee", "run", "recipe.yaml", "--store", "store", folder=folder)
        run(scripts / "committee", "bundle", "soft_voting", "--store", "store", folder=folder)
        print(f"{wheel.name} is installed, trains, combines, exports and bundles.")


if __name__ == "__main__":
    main()

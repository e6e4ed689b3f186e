"""The main job, from image files to out-of-fold and test predictions, compared with a plain script.

`committee train` and `peers/plain_script.py` run the same recipe, each in a process of its own including
imports and decoding, in alternation, once per seed: small networks of timm, three folds and a refit, on all
cores. The images are scikit-learn's scanned digits, each in a light color on a dimmed part of a photograph:
JPEG files of 160 pixels for two networks, and PNG files of 64 pixels for three. Imports and the start of
processes are a larger share of such small data than of a real job.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import timm
import torch
from harness import Row, main, seconds, spread
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from committee.predictions.table import Predictions

QUESTION = "main job"
PEER = "ImageFolder + timm script"
TARGET, SEEDS, PHOTOS = 3.0, 3, 400
FULL = {
    "backbones": ["test_resnet", "test_efficientnet"],
    "suffix": "jpg",
    "side": 160,
    "size": 64,
    "batch": 32,
    "folds": 3,
    "epochs": 6,
    "lr": 1e-2,
    "device": "cpu",
}
PNG = {**FULL, "backbones": [*FULL["backbones"], "test_convnext"], "suffix": "png", "side": 64}
QUICK = {**FULL, "backbones": ["test_resnet"], "folds": 2, "epochs": 1, "size": 32, "batch": 8}
Settings = dict[str, Any]


def write_photos(root: Path, count: int, side: int, suffix: str) -> None:
    """Write `count` files of 10 classes, a fifth of them as a test split."""
    rng, digits, photos = np.random.default_rng(0), load_digits(), load_sample_images().images
    for row in range(count):
        photo, digit = photos[row % 2], Image.fromarray((digits.images[row] * 15.9).astype(np.uint8))
        top, left = (rng.integers(0, length - side) for length in photo.shape[:2])
        mask = np.asarray(digit.resize((side, side), Image.Resampling.BICUBIC))[..., None] / 255
        ground = photo[top : top + side, left : left + side] // 2
        piece = (1 - mask) * ground + mask * rng.integers(128, 256, 3)
        folder = root / ("test" if row % 5 == 0 else "train") / str(digits.target[row])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(piece.astype(np.uint8)).save(folder / f"{row}.{suffix}", quality=90)


def run(script: list[str], words: list[str], apart: bool) -> None:
    """Run a script, or a module with `-m`, in a process with default threads, or in this one."""
    if apart:
        limits = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"}
        environment = {key: value for key, value in os.environ.items() if key not in limits}
        command = [sys.executable, *script, *words]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        return
    with mock.patch.object(sys, "argv", [script[-1], *words]), contextlib.redirect_stdout(io.StringIO()):
        start = runpy.run_module if script[0] == "-m" else runpy.run_path
        with contextlib.suppress(SystemExit):
            start(script[-1], run_name="__main__")


def ours(data: Path, store: Path, given: Settings, apart: bool) -> None:
    """Run `committee train`."""
    words = {
        "dataset.path": data,
        "dataset.img_size": given["size"],
        "dataset.batch_size": given["batch"],
        "dataset.fit": "crop",
        "seed": given["seed"],
        "device": given["device"],
        "training.folds": given["folds"],
        "training.epochs": given["epochs"],
        "training.lr": given["lr"],
        "training.pretrained": "false",
        "training.augment": "{flip: false, color_jitter: 0.2, hue: 0, random_resized_crop: 0.5}",
        "backbones.include": json.dumps([f"timm:{name}" for name in given["backbones"]]),
    }
    sets = [word for key, value in words.items() for word in ("--set", f"{key}={value}")]
    run(["-m", "committee"], ["train", "--quiet", "--store", str(store), *sets], apart)


def theirs(data: Path, out: Path, given: Settings, apart: bool) -> None:
    """Run the script."""
    out.mkdir()
    script = Path(__file__).parent / "peers" / "plain_script.py"
    run([str(script)], [str(data), str(out), json.dumps(given)], apart)


def accuracy_of_ours(store: Path, name: str) -> tuple[float, float]:
    """Return the accuracy on out-of-fold rows and on the test split."""
    found = [Predictions.load(store / "kfold" / name / what) for what in ("oof", "test_refit")]
    return _accuracy(found[0].logits[0], found[0].labels), _accuracy(found[1].logits[0], found[1].labels)


def accuracy_of_theirs(out: Path, name: str) -> tuple[float, float]:
    """Return the accuracy on out-of-fold rows and on the test split."""
    with np.load(out / f"{name}.npz") as found:
        return _accuracy(found["oof"], found["labels"]), _accuracy(found["test"], found["truth"])


def _accuracy(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    return float((scores.argmax(1) == labels).mean())


def floor(given: Settings, rows: int) -> float:
    """Return the seconds of the forward and backward passes alone, on all cores."""
    passes = given["epochs"] * given["folds"] * rows  # folds - 1 times all rows, and the refit
    images = torch.randn(given["batch"], 3, given["size"], given["size"])
    total = 0.0
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for name in given["backbones"]:
        network = timm.create_model(name, num_classes=10).to(memory_format=torch.channels_last)
        batch = images.contiguous(memory_format=torch.channels_last)
        total += min(seconds(lambda: network(batch).sum().backward()) for _ in range(8))  # noqa: B023
    torch.set_num_threads(before)
    return total / given["batch"] * passes / (os.cpu_count() or 1)


def summary(name: str, figures: list[tuple[float, float]]) -> str:
    """Return mean and standard deviation of both accuracies over the seeds."""
    both = []
    for what, values in zip(("out-of-fold", "test"), zip(*figures, strict=True), strict=True):
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        both.append(f"{what} {statistics.mean(values):.3f} +- {deviation:.3f}")
    return f"{name} {', '.join(both)}"


def one_round(
    root: Path, given: Settings, apart: bool
) -> tuple[float, float, dict[str, tuple[float, float]]]:
    """Run both with one seed; return their seconds, and the accuracies of each network."""
    data, store, out = root / "data", root / f"store_{given['seed']}", root / f"out_{given['seed']}"
    own = seconds(lambda: ours(data, store, given, apart))
    other = seconds(lambda: theirs(data, out, given, apart))
    figures = {}
    for name in given["backbones"]:
        figures[f"{name}, ours:"] = accuracy_of_ours(store, name)
        figures[f"{name}, script:"] = accuracy_of_theirs(out, name)
    return own, other, figures


def measure(quick: bool, device: str = "cpu") -> list[Row]:
    """Return the ratio of the wall-clock times of each case, and the accuracies."""
    cases, count, seeds = ((QUICK,), 60, 1) if quick else ((FULL, PNG), PHOTOS, SEEDS)
    return [compared({**case, "device": device}, count, seeds, not quick) for case in cases]


def compared(base: Settings, count: int, seeds: int, apart: bool) -> Row:
    """Return the row of one case."""
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder) / "data", count, base["side"], base["suffix"])
        rounds = [one_round(Path(folder), {**base, "seed": seed}, apart) for seed in range(seeds)]
    figures = {name: [each[2][name] for each in rounds] for name in rounds[0][2]}
    least = floor(base, count * 4 // 5)
    nets = f"{len(base['backbones'])} networks at {base['size']} px"
    files = f"{count} {base['suffix'].upper()} of {base['side']} px"
    work = f"{files}, {nets}, {base['folds']} folds + refit, {base['epochs']} epochs"
    accuracies = "; ".join(summary(name, values) for name, values in figures.items())
    note = f"forward and backward alone take {least:.0f} s; accuracy: {accuracies}"
    middle = statistics.median(own for own, _, _ in rounds)
    ratios = spread([b / a for a, b, _ in rounds])
    return Row(QUESTION, work, PEER, middle, *ratios, target=TARGET, note=note)


if __name__ == "__main__":
    main(measure, threads=None)

"""Distillation: what a student keeps of the gain of five networks, and what running the teacher costs.

Reach: Fashion-MNIST from Debian's package `dataset-fashion-mnist` (scikit-learn's digits without it). Five
convolutional networks with different seeds are averaged; a student of the same architecture is trained for
the same number of epochs with and without this teacher, with three seeds each. Intervals are over test rows
and seeds (`committee.scoring.kept_gain`).

Speed: one step on a batch, of a student a quarter as wide as the five networks of its teacher.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, compare, main
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

from committee.combiners.soft_voting import SoftVoting
from committee.images.dataset import Dataset
from committee.models.measure import call_times
from committee.pipeline.discover import discover
from committee.pipeline.run import run_verb
from committee.pipeline.shared.derived_members import open_context
from committee.pipeline.shared.splits import load_predictions
from committee.recipe.distillation import Distillation as Section
from committee.recipe.load import load_recipe
from committee.recipe.members import MemberSpec
from committee.recipe.model import Recipe
from committee.scoring.kept_gain import SCORES, kept_gain, mean_estimate, row_scores
from committee.store.layout import Store
from committee.store.manifest import digest
from committee.training.fit.batches import Rows
from committee.training.fit.distillation_step import DistillationStep
from committee.training.fit.engine import make_fabric
from committee.training.fit.predict import logits_of
from committee.training.fit.start import BatchLoader, EpochLoader, start_member
from committee.training.fit.steps import Step
from committee.training.fit.teacher import Teacher, Teachers
from committee.training.fit.teaching import Targets, Teaching
from committee.training.plans.distillation import Distillation
from committee.training.plans.single import Single

SOURCE = Path("/usr/share/datasets/fashion-mnist")
CPU = torch.device("cpu")
VARIANTS: dict[str, dict[str, Any]] = {
    "kd": {"alpha": 0.9},
    "kd, cached 4": {"alpha": 0.9, "cached": 4},
    "dkd": {"alpha": 0.9, "loss": {"name": "dkd", "other_weight": 2.0}},
    "kd, mixup 0.5": {"alpha": 0.9, "mixup": 0.5},
}


def narrow(classes: int, channels: int) -> nn.Module:
    """Return a network of three convolutions, with 25,000 parameters."""
    return _network(classes, channels, 16)


def wide(classes: int, channels: int) -> nn.Module:
    """Return the same, four times as wide."""
    return _network(classes, channels, 64)


def _network(classes: int, channels: int, width: int) -> nn.Module:
    def block(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *block(channels, width, 2),
        *block(width, 2 * width, 2),
        *block(2 * width, 4 * width),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * width, classes),
    )


def images(file: Path, train: int, test: int) -> str:
    """Write a data set of arrays, and return its name."""
    if not SOURCE.exists():
        digits = load_digits()
        order = np.random.default_rng(0).permutation(len(digits.target))[: train + test]
        pixels, labels = np.round(digits.images[order] * 15.9).astype(np.uint8), digits.target[order]
        name = "digits"
    else:
        sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "fashion_mnist"))
        read = importlib.import_module("prepare").read_idx
        parts = [
            (f"{stem}-images-idx3-ubyte.gz", f"{stem}-labels-idx1-ubyte.gz") for stem in ("train", "t10k")
        ]
        counts = (train, test)
        pixels, labels = (
            np.concatenate(
                [read(SOURCE / pair[which])[:count] for pair, count in zip(parts, counts, strict=True)]
            )
            for which in (0, 1)
        )
        name = "Fashion-MNIST"
    splits = np.array(["train"] * train + ["test"] * (len(labels) - train))
    np.savez(file, images=pixels, labels=labels, splits=splits)
    return name


def recipe_of(file: Path, epochs: int, folds: int) -> Recipe:
    """Return the recipe of the teacher's five members."""
    seeds = list(range(1, 6))
    return load_recipe(
        None,
        [
            f"dataset.path={file}",
            "dataset.channels=1",
            "dataset.img_size=28",
            "dataset.fit=squash",
            "dataset.batch_size=32",
            "device=cpu",
            "workers=2",
            f"training.folds={folds}",
            f"training.epochs={epochs}",
            "training.lr=0.008",
            f"models=[{{name: 'python:distillation:narrow', seeds: {seeds}}}]",
        ],
    )


class Bench:
    """Trained teacher, data set, and students with and without the teacher.

    Parameters
    ----------
    folder : Path
    train, test, epochs, seeds, folds : int
    """

    def __init__(self, folder: Path, train: int, test: int, epochs: int, seeds: int, folds: int = 0) -> None:
        self.name = images(folder / "data.npz", train, test)
        self.recipe, self.store = recipe_of(folder / "data.npz", epochs, folds), Store(folder / "store")
        self.epochs, self.seeds = epochs, seeds
        run_verb("train", self.recipe, self.store)
        with self.store.hold():
            catalog = discover(self.store)
            members = [str(entry["name"]) for entry in catalog["members"]]
            self.dataset = open_context(self.recipe, self.store, catalog, members).dataset
        self.teacher = Teacher(
            "mean of five",
            "five",
            self.store,
            SoftVoting().bind(members),
            dict.fromkeys(members, ("refit",)),
            {"combiner": "soft_voting"},
            load_predictions(self.store, members) if folds else None,
            self.dataset.class_names,
            self.recipe.trusted_backbones(),
        )
        self.rows, self.test = self.dataset.rows("train"), self.dataset.rows("test")
        self.labels = self.dataset.labels[self.test]

    def spec(self, seed: int) -> MemberSpec:
        """Return the settings of a student: those of the members, with a seed of its own."""
        return replace(self.recipe.members()[0], name="student", seed=100 + seed)

    def logits(self, module: nn.Module) -> NDArray[np.float32]:
        """Return the log-probabilities of the test split."""
        logits = logits_of(module, self.dataset, self.test, batch_size=250, device=CPU)
        return SoftVoting().combine(logits[None])

    def students(self, config: Section | None) -> NDArray[np.float32]:
        """Return the log-probabilities `[S, N, C]` of students, which are trained alone without `config`."""
        found = []
        for seed in range(self.seeds):
            place = self.store.root / f"students-{digest([config and config.model_dump(), seed])[:12]}"
            given = (self.spec(seed), self.dataset, Store(place), CPU)
            plan = Single(*given) if config is None else Distillation(*given, config, self.teacher)
            made = plan.run(self.rows, "refit", fingerprint=f"{config}")["student"]
            found.append(self.logits(made))
        return np.stack(found)


def reach(bench: Bench, variants: list[str], show: Callable[[str], None] = print) -> list[Row]:
    """Compare students with and without the teacher; the figure is the share of its gain that they keep."""
    whole = bench.teacher.module("refit", bench.dataset.class_names)
    best, alone = bench.logits(whole), bench.students(None)
    pixels = bench.dataset.images(bench.test[:1])
    member = whole.get_submodule("members.0")
    times = [np.median(call_times(each, pixels, repeats=100)) for each in (whole, member)]
    latency = times[1] / times[0]
    rows = []
    sizes = f"{len(bench.rows)} train, {len(bench.test)} test, {bench.epochs} epochs, {bench.seeds} seeds"
    work = f"{bench.name}, {sizes}"
    for name in variants:
        taught = bench.students(Section(seeds=0, **VARIANTS[name]))
        for metric in SCORES:
            scores = [row_scores(each, bench.labels, metric) for each in (best, alone, taught)]
            found = kept_gain(*scores)
            text = "teacher {:.4f}, alone {:.4f}, distilled {:.4f}".format(
                *(abs(mean_estimate(np.atleast_2d(each)).value) for each in scores)
            )
            gain = f"gain {found.gain.value:.4f} [{found.gain.low:.4f}, {found.gain.high:.4f}]"
            note = f"{text}; {gain}; latency of the student / teacher {latency:.2f}"
            kept = found.kept
            row = Row(
                f"gain kept, {metric}",
                f"{name}: {work}",
                "",
                None if kept is None else kept.value,
                low=None if kept is None else kept.low,
                high=None if kept is None else kept.high,
                note=note if kept is not None else f"{note}; the teacher has no proven gain",
                unit="of the teacher's gain",
            )
            rows.append(row)
            show(f"{row.question}, {row.work}: {row.ours} [{row.low}, {row.high}] {note}")
    return rows


def speed(quick: bool) -> list[Row]:
    """Compare steps with the teacher, with stored targets, and the sum of the parts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images(folder / "data.npz", 256, 16)
        recipe = recipe_of(folder / "data.npz", 1, 0)
        dataset = _dataset(recipe, Store(folder / "store"))
        members = [
            start_member(replace(_wide(recipe), seed=seed), dataset, "refit").eval() for seed in range(5)
        ]
        spec = replace(recipe.members()[0], name="student")
        teacher = _Given(members)
        size, rounds = (32, 2) if quick else (64, 25)
        rows, positions = dataset.rows("train"), np.arange(size)
        kd: dict[str, Any] = {"loss": "kd", "options": {"temperature": 4.0}, "alpha": 0.5}
        live = Teaching(teacher, ["refit"], **kd)
        stored = Teaching(teacher, ["refit"], **kd, views=1, targets=folder / "targets")
        Targets(stored, stored.transfer_set(dataset, rows, spec)).make("x", 1, 64, CPU)
        run = {each: _step(each, spec, dataset, rows, positions) for each in (live, stored, None)}
        run_teacher = _forward(live, spec, dataset, rows, positions)
        work = f"batch of {size}, 28 px, five networks of {_count(members[0])} parameters, 1 thread"
        cached = compare(run[stored], run[live], rounds)
        # Without the teacher: its forward pass and a plain step, one after the other.
        parts = compare(run[live], lambda: (run_teacher(), run[None]()), rounds)
    return [
        Row("step with cached targets", work, "running the teacher", *cached, target=5.0),
        Row("step with consistent teaching", work, "teacher forward + plain step", *parts, target=1 / 1.3),
    ]


class _Given(Teacher):
    """A teacher of networks in memory."""

    def __init__(self, members: list[nn.Module]) -> None:
        object.__setattr__(self, "members", members)
        object.__setattr__(self, "name", "given")

    def module(self, fit: str, class_names: Any) -> nn.Module:
        from committee.models.ensemble import Ensemble

        return Ensemble(self.members, names=[f"m{k}" for k in range(len(self.members))]).eval()


def _wide(recipe: Recipe) -> MemberSpec:
    return replace(recipe.members()[0], backbone="python:distillation:wide", name="wide")


def _count(module: nn.Module) -> str:
    return f"{sum(each.numel() for each in module.parameters()):,}"


def _dataset(recipe: Recipe, store: Store) -> Dataset:
    from committee.pipeline.shared.to_train import open_for

    return open_for(recipe, recipe.members(), store)


def _step(
    teaching: Teaching | None, spec: MemberSpec, dataset: Dataset, rows: Rows, positions: Rows
) -> Callable[[], object]:
    """Return a step of a student, with gradients."""
    member, fabric = start_member(spec, dataset, "refit"), make_fabric(CPU, "fp32")
    member.network.to(memory_format=torch.channels_last)
    loader = EpochLoader(BatchLoader(member, spec, dataset, CPU, torch.channels_last), rows, lambda: 1)
    given = (fabric, loader, torch.as_tensor(dataset.labels[rows]), None)
    kind = Step(*given, smoothing=0.0, who="student")
    if teaching is not None:
        kind = DistillationStep(teaching, *given, smoothing=0.0, who="student")
    model = fabric.setup_module(member.network.train())
    return lambda: kind(model, positions, len(positions))


def _forward(
    teaching: Teaching, spec: MemberSpec, dataset: Dataset, rows: Rows, positions: Rows
) -> Callable[[], object]:
    """Return a forward pass of the teacher on crops that exist already."""
    teachers: Teachers = teaching.teachers(dataset, CPU)
    crops = teaching.transfer_set(dataset, rows, spec).crops(rows[positions], 1, teachers.largest, CPU)
    crops.resized(teachers.largest)
    return lambda: teachers(crops, np.zeros(len(positions), np.int64))


def measure(quick: bool) -> list[Row]:
    """Measure speed, and what students keep of the teacher's gain."""
    train, test, epochs, seeds = (64, 40, 1, 2) if quick else (1000, 10000, 40, 3)
    chosen = list(VARIANTS)[:1] if quick else list(VARIANTS)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), train, test, epochs, seeds)
        return [*speed(quick), *reach(bench, chosen)]


if __name__ == "__main__":
    main(measure)

"""Distillation: what a student keeps of the gain of five networks, and what running the teacher costs.

Reach: Fashion-MNIST from Debian's package `dataset-fashion-mnist` (scikit-learn's digits without it). Five
convolutional networks with different seeds are averaged; a student of the same architecture is trained with
and without this teacher, for the same number of steps and with three seeds each, by `committee distill`. The
figures are those of its `metrics.json`; intervals are over test rows and seeds. The settings are compared by
the out-of-fold log-loss of the student, which knows nothing of the test split.

Speed: one step on a batch, of a student a quarter as wide as the five networks of its teacher.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, absent, compare, installed, main
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional
from torchvision.transforms import v2

from committee.combiners.soft_voting import SoftVoting
from committee.images.dataset import Dataset
from committee.metrics.classification import METRICS
from committee.models.ensemble import Ensemble
from committee.pipeline.run import run_verb
from committee.pipeline.shared.splits import load_predictions
from committee.pipeline.shared.to_train import open_for
from committee.recipe.load import load_recipe
from committee.recipe.members import MemberSpec
from committee.recipe.model import Recipe
from committee.scoring.kept_gain import row_scores
from committee.store.layout import Store
from committee.training.fit.batches import Rows
from committee.training.fit.distillation_step import DistillationStep
from committee.training.fit.engine import make_fabric
from committee.training.fit.start import BatchLoader, EpochLoader, start_member
from committee.training.fit.steps import Step
from committee.training.fit.teacher import Teacher, Teachers
from committee.training.fit.teaching import Targets, Teaching
from committee.training.losses.cross_entropy import CrossEntropy

SCORES = ("log_loss", "accuracy")
SOURCE = Path("/usr/share/datasets/fashion-mnist")
CPU = torch.device("cpu")
Settings = Mapping[str, Any]
TEMPERATURES, ALPHAS = (1.0, 2.0, 4.0), (0.9, 0.5, 1.0)
VARIANTS: dict[str, dict[str, Any]] = {
    "kd": {},
    "unlabeled images": {"unlabeled": "unlabeled"},
    "teacher_rows: out_of_fold": {"teacher_rows": "out_of_fold"},
    "dkd": {"loss": {"name": "dkd", "other_weight": 2.0}},
    "mixup 0.5": {"mixup": 0.5},
    "cached 4": {"cached": 4},
    "the defaults": {"temperature": 4.0, "alpha": 0.5},
}
"""Changes of the section; `unlabeled` is the name of a folder."""


def narrow(classes: int, channels: int) -> nn.Module:
    """Return a network of three convolutions, with 33,914 parameters."""
    return _network(classes, channels, 16)


def wide(classes: int, channels: int) -> nn.Module:
    """Return the same, four times as wide."""
    return _network(classes, channels, 64)


def _network(classes: int, channels: int, width: int) -> nn.Module:
    def block(inputs: int, outputs: int, size: int) -> list[nn.Module]:
        convolution = nn.Conv2d(inputs, outputs, size, 2, padding=size // 2, bias=False)
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

    return nn.Sequential(
        *block(channels, width, 5),
        *block(width, 2 * width, 3),
        *block(2 * width, 4 * width, 3),
        nn.Flatten(),
        nn.Linear(4 * 4 * 4 * width, classes),
    )


def pixels_of(train: int, unlabeled: int, test: int) -> tuple[str, NDArray[Any], NDArray[Any]]:
    """Return the name of the data set, and as many images and labels; those of the test split are last."""
    if not SOURCE.exists():
        digits = load_digits()
        order = np.random.default_rng(0).permutation(len(digits.target))[: train + unlabeled + test]
        large = np.round(digits.images[order] * 15.9).astype(np.uint8).repeat(3, 1).repeat(3, 2)
        return "digits", np.pad(large, ((0, 0), (2, 2), (2, 2))), digits.target[order]
    sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "fashion_mnist"))
    read = importlib.import_module("prepare").read_idx
    images, labels = (
        np.concatenate(
            [
                read(SOURCE / f"{stem}-{kind}-ubyte.gz")[:count]
                for stem, count in (("train", train + unlabeled), ("t10k", test))
            ]
        )
        for kind in ("images-idx3", "labels-idx1")
    )
    return "Fashion-MNIST", images, labels


def write_images(folder: Path, train: int, unlabeled: int, test: int) -> str:
    """Write a data set of arrays and a folder of images without labels; return the name of the data set."""
    name, pixels, labels = pixels_of(train, unlabeled, test)
    splits = np.array(["train"] * train + ["unlabeled"] * unlabeled + ["test"] * test)
    kept = splits != "unlabeled"
    np.savez(folder / "data.npz", images=pixels[kept], labels=labels[kept], splits=splits[kept])
    (folder / "unlabeled").mkdir()
    for number, image in enumerate(pixels[~kept]):
        Image.fromarray(image).save(folder / "unlabeled" / f"{number:05d}.png")
    return name


def recipe_of(folder: Path, epochs: int, folds: int, section: Settings | None = None) -> Recipe:
    """Return the recipe of the teacher's five members, and of a student."""
    seeds = list(range(1, 6))
    return load_recipe(
        None,
        [
            f"dataset.path={folder / 'data.npz'}",
            "dataset.channels=1",
            "dataset.img_size=28",
            "dataset.fit=squash",
            "dataset.batch_size=64",
            "device=cpu",
            "workers=1",
            f"training.folds={folds}",
            f"training.epochs={epochs}",
            "training.lr=0.004",
            f"models=[{{name: 'python:distillation:narrow', seeds: {seeds}}}]",
            "runs.score_ensemble.methods=[soft_voting]",
            *([] if section is None else [f"distillation={json.dumps(dict(section))}"]),
        ],
    )


class Bench:
    """A store with a trained teacher, in which students are trained.

    Parameters
    ----------
    folder : Path
    train, unlabeled, test : int
        Numbers of images.
    epochs, folds : int
    """

    def __init__(self, folder: Path, train: int, unlabeled: int, test: int, epochs: int, folds: int) -> None:
        self.name = write_images(folder, train, unlabeled, test)
        self.folder, self.epochs, self.folds = folder, epochs, folds
        self.store = Store(folder / "store")
        self.sizes = f"{train} train, {test} test, {epochs} epochs"
        recipe = recipe_of(folder, epochs, folds)
        run_verb("train", recipe, self.store)
        run_verb("build-ensemble", recipe, self.store)

    def distill(self, changes: Settings, seeds: int) -> tuple[Recipe, str]:
        """Train a student with changed settings; return the recipe and the name of the student."""
        own = {"epochs": self.epochs, "lr": 0.004, "batch_size": 64, "seeds": seeds, **changes}
        if "unlabeled" in own:
            own["unlabeled"] = str(self.folder / own["unlabeled"])
        student = {"student": "python:distillation:narrow", "teacher": "soft_voting"}
        recipe = recipe_of(self.folder, self.epochs, self.folds, {**student, **own})
        outcome = run_verb("distill", recipe, self.store)
        assert not outcome.failed, outcome.failed
        return recipe, outcome.done[0]

    def cross_fitted(self, student: str) -> dict[str, float]:
        """Return the scores of the out-of-fold predictions of a student, of which larger is better."""
        rows = load_predictions(self.store, [student])
        log_probs, labels = SoftVoting().combine(rows.logits), rows.require_labels(student)
        return {name: float(row_scores(log_probs, labels, METRICS[name]).mean()) for name in SCORES}

    def report(self, recipe: Recipe, student: str) -> dict[str, Any]:
        """Evaluate the store, and return the comparison of a student."""
        run_verb("evaluate", recipe, self.store)
        file = self.store.ensemble_metrics(student) / "metrics.json"
        found: dict[str, Any] = json.loads(file.read_text("utf-8"))["distillation"]
        return found


def choose(bench: Bench, show: Callable[[str], None]) -> dict[str, Any]:
    """Return the temperature, and then the alpha, with the best out-of-fold log-loss of a student.

    The students learn from four stored views of each image, which takes less time.
    """

    def score(changes: dict[str, Any]) -> float:
        scores = bench.cross_fitted(bench.distill({"cached": 4, **changes}, 0)[1])
        show(f"{changes}: {_out_of_fold(scores)}")
        return scores["log_loss"]

    given = [{"temperature": each, "alpha": ALPHAS[0]} for each in TEMPERATURES]
    found = [score(each) for each in given]
    best = given[int(np.argmax(found))]
    others = [max(found), *(score({**best, "alpha": each}) for each in ALPHAS[1:])]
    return {**best, "alpha": ALPHAS[int(np.argmax(others))]}


def reach(
    bench: Bench, base: Settings, name: str, seeds: int, show: Callable[[str], None]
) -> tuple[list[Row], float]:
    """Compare students with and without the teacher.

    Returns
    -------
    rows : list of Row
        The share of the teacher's gain that the students keep, by metric.
    score : float
        Of the out-of-fold predictions of the student; larger is better.
    """
    recipe, student = bench.distill({**base, **VARIANTS[name]}, seeds)
    scores, found = bench.cross_fitted(student), bench.report(recipe, student)
    work = f"{name}: {bench.name}, {bench.sizes}, {seeds} seeds"
    rows = list(_rows(work, found, f"{dict(base)}; {_out_of_fold(scores)}"))
    for row in rows:
        show(f"{row.question}, {row.work}: {row.ours} [{row.low}, {row.high}] {row.note}")
    return rows, scores["log_loss"]


def reach_of_all(bench: Bench, quick: bool) -> list[Row]:
    """Compare all settings; the first, and that with the best out-of-fold log-loss, with more seeds again."""
    show, seeds = ((lambda _: None), 2) if quick else (show_now, 3)
    base = {} if quick else choose(bench, show)
    found = {name: reach(bench, base, name, seeds, show) for name in (["kd"] if quick else VARIANTS)}
    best = max(found, key=lambda name: found[name][1])
    again = {} if quick else {name: reach(bench, base, name, 2 * seeds, show) for name in ("kd", best)}
    return [row for each in (found, again) for rows, _ in each.values() for row in rows]


def _out_of_fold(scores: Mapping[str, float]) -> str:
    return f"out-of-fold accuracy {scores['accuracy']:.4f}, log-loss {-scores['log_loss']:.4f}"


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def _rows(work: str, found: Mapping[str, Any], more: str) -> Iterator[Row]:
    """Yield the share of the gain that is kept, by metric."""
    for metric in SCORES:
        alone, taught = (found[kind]["metrics"][metric]["value"] for kind in ("scratch", "distilled"))
        gain, kept = found["gain"][metric], found["kept"][metric] or {}
        whole = found["teacher_gain"][metric]
        note = (
            f"teacher {found['teacher']['metrics'][metric]:.4f}, alone {alone:.4f}, distilled {taught:.4f}; "
            f"gain {_interval(gain)} of {_interval(whole)}; speed-up {found['speed_up']:.1f}; {more}"
        )
        yield Row(
            f"gain kept, {metric}",
            work,
            "",
            kept.get("value"),
            low=kept.get("low"),
            high=kept.get("high"),
            note=note if kept else f"{note}; the teacher has no proven gain",
            unit="of the teacher's gain",
        )


def speed(quick: bool) -> list[Row]:
    """Compare steps with the teacher, with stored targets, and the sum of the parts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_images(folder, 256, 0, 16)
        recipe = recipe_of(folder, 1, 0)
        dataset = open_for(recipe, recipe.members(), Store(folder / "store"))
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
        script = compare(run[live], _script(members, spec, dataset, rows[:size]), rounds)
        shares = []
        for few in (
            members,
            [start_member(replace(spec, seed=seed), dataset, "refit").eval() for seed in range(5)],
        ):
            same = replace(live, teacher=_Given(few))
            shares += by_engine(same, few[0], (spec, dataset, rows, positions), rounds, quick)
    return [
        *shares,
        Row("step with cached targets", work, "running the teacher", *cached, target=5.0),
        Row("step with consistent teaching", work, "teacher forward + plain step", *parts, target=1 / 1.3),
        Row("step with consistent teaching", work, "script with torchvision's transforms", *script),
    ]


def by_engine(
    teaching: Teaching, member: nn.Module, given: tuple[Any, ...], rounds: int, quick: bool
) -> list[Row]:
    """Return the share of the teacher in a step, and what engines make of it."""
    eager, forward = _step(teaching, *given), _forward(teaching, *given)
    _, ratio, low, high = compare(forward, eager, rounds)
    work = f"batch of {len(given[-1])}, 28 px, five networks of {_count(member)} parameters, 1 thread"
    found = [Row("share of the teacher in a step", work, "", 1 / ratio, None, 1 / high, 1 / low, unit="")]
    for engine in ("channels_last",) if quick else ("channels_last", "onnxruntime", "openvino"):
        if engine != "channels_last" and not installed(engine):
            found.append(absent(f"step, teacher run by {engine}", work, "eager", None, engine))
            continue
        step = _step(replace(teaching, engine=engine), *given)
        found.append(Row(f"step, teacher run by {engine}", work, "eager", *compare(step, eager, rounds)))
    return found


class _Given(Teacher):
    """A teacher of networks in memory."""

    def __init__(self, members: list[nn.Module]) -> None:
        object.__setattr__(self, "members", members)
        object.__setattr__(self, "name", "given")

    def module(self, fit: str, class_names: Any) -> nn.Module:
        return Ensemble(self.members, names=[f"m{k}" for k in range(len(self.members))]).eval()


def _wide(recipe: Recipe) -> MemberSpec:
    return replace(recipe.members()[0], backbone="python:distillation:wide", name="wide")


def _count(module: nn.Module) -> str:
    return f"{sum(each.numel() for each in module.parameters()):,}"


def _step(
    teaching: Teaching | None, spec: MemberSpec, dataset: Dataset, rows: Rows, positions: Rows
) -> Callable[[], object]:
    """Return a step of a student, with gradients."""
    member, fabric = start_member(spec, dataset, "refit"), make_fabric(CPU, "fp32")
    member.network.to(memory_format=torch.channels_last)
    loader = EpochLoader(BatchLoader(member, spec, dataset, CPU, torch.channels_last), rows, lambda: 1)
    labels = dataset.labels[rows]
    given = (fabric, loader, torch.as_tensor(labels), CrossEntropy().prepare(labels, dataset.class_names))
    kind = Step(*given, who="student")
    if teaching is not None:
        kind = DistillationStep(teaching, *given, who="student")
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


def _script(members: list[Any], spec: MemberSpec, dataset: Dataset, rows: Rows) -> Callable[[], object]:
    """Return the step of a plain script: one crop of each image, for teachers and student alike."""
    member = start_member(spec, dataset, "refit")
    student, teachers = member.network.train(), [each.network for each in members]
    change = v2.Compose(
        [
            v2.RandomResizedCrop(member.view.size, scale=(0.5, 1)),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(member.view.mean, member.view.std),
        ]
    )
    images, labels = dataset.images(rows, member.view), torch.as_tensor(dataset.labels[rows])

    def step() -> None:
        batch = torch.stack([change(image) for image in images])
        with torch.no_grad():
            wanted = torch.stack([net(batch) for net in teachers]).div(4).softmax(-1).mean(0)
        found = student(batch)
        soft = functional.kl_div(found.div(4).log_softmax(1), wanted, reduction="batchmean") * 16
        (0.5 * soft + 0.5 * functional.cross_entropy(found, labels)).backward()

    return step


def show_now(text: str) -> None:
    """Print a line at once: the whole benchmark takes a long time."""
    print(text, flush=True)


def measure(quick: bool) -> list[Row]:
    """Measure speed, and what students keep of the teacher's gain."""
    sizes = (1000, 10000, 10000, 40, 3) if SOURCE.exists() else (500, 600, 600, 40, 3)
    sizes = (64, 32, 40, 1, 2) if quick else sizes
    with tempfile.TemporaryDirectory() as folder:
        return [*speed(quick), *reach_of_all(Bench(Path(folder), *sizes), quick)]


if __name__ == "__main__":
    main(measure)

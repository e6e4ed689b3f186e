"""Students: what they see, whom they learn from, and that a label never reaches the row it is scored on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.special import betaincinv
from torch import nn
from torch.nn import functional

from committee.combiners.base import build
from committee.errors import UsageError
from committee.images.augment import augment
from committee.images.view import CanvasSpec, View, frame
from committee.models.composites.viewed import Viewed
from committee.models.ensemble import load
from committee.models.member import Member
from committee.models.views import Hflip, SingleView
from committee.predictions.table import Predictions
from committee.recipe.distillation import Distillation as Section
from committee.training.fit import resume
from committee.training.fit import teaching as teaching_module
from committee.training.fit.distillation_step import DistillationStep
from committee.training.fit.engine import make_fabric
from committee.training.fit.predict import logits_of
from committee.training.fit.start import BatchLoader, EpochLoader, start_member
from committee.training.fit.teacher import Teacher, Teachers
from committee.training.fit.teaching import Targets
from committee.training.losses import CrossEntropy
from committee.training.plans.distillation import Distillation

AUGMENT = "training.augment={preset: mild, color_jitter: 0.3, randaugment: 2}"


@pytest.fixture
def dataset(dataset):
    """The data set with a canvas for each of the members' sizes."""
    larger = frame(dataset.images(np.arange(360)), 12, "crop").permute(0, 2, 3, 1).numpy()
    return replace(dataset, canvases={**dataset.canvases, CanvasSpec(12, "crop", 1): larger})


@pytest.fixture
def teacher(add_single, dataset, store):
    """The mean of two members, whose images have different sizes."""
    for name, size in (("a", 8), ("b", 10)):
        add_single(name, "training.epochs=2", f"seed={size}", f"dataset.img_size={size}")
    rows = Predictions.join([Predictions.load(store.kfold(name) / "oof") for name in ("a", "b")])
    combiner = build("soft_voting").bind(["a", "b"])
    deployed = dict.fromkeys("ab", ("refit",))
    method = {"combiner": "temperature", "inner": "soft_voting"}
    return Teacher("vote", "x", store, combiner, deployed, method, rows, dataset.class_names, trusted=True)


@pytest.fixture
def unlabeled(dataset):
    """Twenty images without labels."""
    rows = np.arange(300, 320)
    return replace(
        dataset,
        canvases={spec: array[rows] for spec, array in dataset.canvases.items()},
        labels=np.full(20, -1),
        sample_ids=np.array([f"unlabeled/{row}" for row in rows]),
        fingerprint="u",
    )


@pytest.fixture
def student(making, dataset, store, cpu, teacher):
    def make(*overrides, unlabeled=None, **config):
        spec = replace(making.make_spec("training.epochs=2", *overrides), name="student")
        return Distillation(spec, dataset, store, cpu, Section(**config), teacher, unlabeled)

    return make


def test_it_keeps_the_contract(student, contract):
    contract(student(AUGMENT))


@pytest.mark.parametrize(
    "config",
    [{"cached": 1}, {"cached": 2, "mixup": 0.5, "loss": "dkd"}, {"mixup": 1.0, "loss": "mse_logits"}],
)
def test_a_student_with_any_options_is_the_same_again(student, contract, config, unlabeled, store):
    contract(student(AUGMENT, unlabeled=unlabeled, **config))
    assert not list(store.root.glob("cache/targets-*"))


def test_the_options_change_the_student(student, dataset, unlabeled):
    rows, images = dataset.rows("train")[:64], dataset.images(np.arange(5), View(8, channels=1))
    variants = {
        "plain": {},
        "alpha": {"alpha": 0.9},
        "temperature": {"temperature": 1.0},
        "loss": {"loss": "dkd"},
        "mixup": {"mixup": 0.5},
        "cached": {"cached": 1},
        "unlabeled": {"unlabeled": unlabeled},
    }
    found = {
        name: student(AUGMENT, **config).run(rows, "fold_0", fingerprint=name)["student"](images)
        for name, config in variants.items()
    }
    for one, other in ((a, b) for a in found for b in found if a < b):
        assert not torch.allclose(found[one], found[other], atol=1e-4), (one, other)


def test_every_network_sees_the_same_crop_with_its_own_preprocessing(student, dataset, cpu, teacher):
    plan, rows = student(AUGMENT), np.arange(6)
    images = plan._teaching("fold_0", None).transfer_set(dataset, dataset.rows("train"), plan.spec)
    views = {size: View(size, 0.3, 0.2, channels=1) for size in (8, 10)}
    crops = images.crops(rows, 3, views[10], cpu)
    seed = images._seed("augment", 3)
    for view in views.values():
        own = augment(dataset.images(rows, view), images.keys[rows], view, images.amounts, seed)
        torch.testing.assert_close(crops.normalized(view), own, atol=2e-6, rtol=1e-5)
        few = crops.select(torch.tensor([4, 1])).normalized(view)
        torch.testing.assert_close(few, own[[4, 1]], atol=2e-6, rtol=1e-5)
    # A module that takes images only finds the crop in their center.
    assert crops.images.shape[2:] == (12, 12) and crops.images.dtype == torch.uint8
    padded = views[10].cut(crops.images).float()
    torch.testing.assert_close(padded, crops.resized(views[10]).float(), atol=0.51, rtol=0)


def step_of(plan, teaching, member, rows, weights=None, smoothing=0.0):
    fabric = make_fabric(plan.device, "fp32")
    loader = BatchLoader(member, plan.spec, plan.dataset, plan.device, torch.contiguous_format)
    labels = torch.as_tensor(plan.dataset.labels[rows])
    loss = CrossEntropy().prepare(plan.dataset.labels[rows], plan.dataset.class_names)
    loss.weights, loss.smoothing = weights, smoothing
    step = DistillationStep(
        teaching,
        fabric,
        EpochLoader(loader, rows, lambda: 2),
        labels,
        loss,
        who="student",
    )
    return step, fabric.setup_module(member.network.eval())


@pytest.mark.parametrize("size", [31, 7])
@pytest.mark.parametrize("mixed", [0.0, 0.6])
def test_the_loss_is_the_formula(student, dataset, unlabeled, teacher, size, mixed):
    """`alpha * T^2 * KL + (1 - alpha) * CE`, also of mixed and unlabeled images, in parts as in one."""
    plan = student(AUGMENT, unlabeled=unlabeled, alpha=0.7, temperature=3.0, mixup=mixed)
    rows, positions = dataset.rows("train")[:40], np.arange(31)
    teaching, member = plan._teaching("fold_1", None), start_member(plan.spec, dataset, "fold_1")
    weights = torch.linspace(0.5, 2, 10)
    step, model = step_of(plan, teaching, member, rows, weights)
    loss, _ = step(model, positions, size)
    images = step.images
    items, owners = images.with_unlabeled(positions, 2)
    assert 0 < (items >= 360).sum() <= 20 and set(items[:31]) == set(rows[:31])
    views = [each.view for each in teacher.module("fold_1", dataset.class_names).members]
    crops = images.crops(items, 2, views[1], plan.device)
    with torch.no_grad():
        target = teacher.module("fold_1", dataset.class_names)(crops)
        own = member.network(crops.normalized(member.view))
    kl = functional.kl_div((own / 3).log_softmax(1), (target / 3).softmax(1), reduction="none").sum(1) * 9
    taught = torch.zeros(31).index_add(0, torch.from_numpy(owners), kl) / (1 + 20 / 40)
    labels = torch.from_numpy(dataset.labels[items[:31]])
    ce = functional.cross_entropy(own[:31], labels, reduction="none")
    if mixed:
        partners, shares = images.mixed(items, 2)
        share = torch.from_numpy(shares[:31])
        known = partners[:31] < 360
        second = torch.from_numpy(np.where(known, dataset.labels[np.where(known, partners[:31], 0)], 0))
        other = functional.cross_entropy(own[:31], second, reduction="none") * torch.from_numpy(known)
        ce = share * ce + (1 - share) * other
    expected = ((0.7 * taught + 0.3 * ce) * weights[labels]).sum() / weights[labels].sum()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def test_shares_of_mixed_images_follow_a_beta_distribution_and_partners_have_the_same_teacher(
    student, dataset, unlabeled
):
    plan = student(unlabeled=unlabeled, mixup=0.4, teacher_rows="out_of_fold")
    teaching = plan._teaching("refit", None)
    images = teaching.transfer_set(dataset, dataset.rows("train"), plan.spec)
    partners, shares = images.mixed(images.items, 1)
    assert sorted(partners) == sorted(images.items)
    assert (images.groups[partners] == images.groups[images.items]).all()
    assert (images.groups[:240] == dataset.folds[:240]).all()
    quantiles = betaincinv(0.4, 0.4, [0.25, 0.5, 0.75])
    np.testing.assert_allclose((shares[:, None] < quantiles).mean(0), [0.25, 0.5, 0.75], atol=0.1)


def test_stored_targets_are_what_the_teacher_says_in_each_step(student, dataset, cpu, unlabeled, tmp_path):
    plan = student(AUGMENT, unlabeled=unlabeled, cached=2, mixup=0.5)
    rows = dataset.rows("train")[:50]
    teaching = plan._teaching("fold_1", tmp_path / "targets")
    images = teaching.transfer_set(dataset, rows, plan.spec)
    targets = Targets(teaching, images)
    targets.make("x", epochs=5, batch_size=16, device=cpu)
    teachers = teaching.teachers(dataset, cpu)
    for epoch, view in ((1, 0), (2, 1), (3, 0)):
        assert images.view(epoch) == view
        items = images.items[[3, 60, 1]]
        crops = images.crops(items, view, teachers.largest, cpu)
        torch.testing.assert_close(
            targets.of(items, view), teachers(crops, images.groups[items]), atol=1e-5, rtol=1e-4
        )
    assert sorted(path.name for path in (tmp_path / "targets").iterdir()) == ["view_0", "view_1"]


def test_a_named_engine_says_what_the_teacher_says_and_is_noted(student, dataset, cpu, teacher):
    plan = student(AUGMENT, engine="channels_last")
    plan.teacher = replace(teacher, shipped=build("soft_voting").bind(["b"]))
    assert plan.settings()["distillation"]["engine"] == "channels_last"
    assert "engine" not in student(AUGMENT).settings()["distillation"]
    images = plan._teaching("refit", None).transfer_set(dataset, dataset.rows("train")[:9], plan.spec)
    outputs = []
    for engine in ("channels_last", "eager"):
        teachers = replace(plan._teaching("refit", None), engine=engine).teachers(dataset, cpu)
        for items in (images.items[:6], images.items[6:]):
            crops = images.crops(items, 1, teachers.largest, cpu)
            outputs.append(teachers(crops, images.groups[items]))
        assert len(teachers._runs) == (engine != "eager")
    torch.testing.assert_close(torch.cat(outputs[:2]), torch.cat(outputs[2:]), atol=1e-4, rtol=1e-4)
    member = plan.run(dataset.rows("train")[:32], "refit", fingerprint="x")["student"]
    assert member.provenance["distillation"]["engine"] == "channels_last"


@pytest.mark.parametrize(
    ("members", "engine", "expected"),
    [
        ("ab", "channels_last", "same image size, fit and channels, got a teacher with 2 kinds of them. Set"),
        ("b", "stacked", r"that can run the teacher, got stacked \(the model has one network\). Set"),
        ("v", "channels_last", "that read the crop of the student, got a teacher with test-time views. Set"),
    ],
)
def test_what_an_engine_cannot_run_is_named(members, engine, expected, student, dataset, cpu, teacher):
    plan = student(engine=engine)
    chosen = replace(teacher, shipped=build("soft_voting").bind(list(members.replace("v", "b"))))
    module = chosen.module("refit", dataset.class_names)
    if members == "v":
        module = Viewed([module], dataset.class_names, "flipped", SingleView(Hflip(), "hflip")).eval()
    images = plan._teaching("refit", None).transfer_set(dataset, dataset.rows("train")[:4], plan.spec)
    teachers = Teachers([module], cpu, engine=engine)
    crops = images.crops(images.items, 1, teachers.largest, cpu)
    with pytest.raises(UsageError, match=rf"^distillation\.engine: .*{expected} distillation.engine: eager"):
        teachers(crops, images.groups[images.items])


def test_the_teacher_of_a_fold_has_neither_networks_nor_a_combiner_that_saw_it(teacher, dataset, store):
    module = teacher.module("fold_1", dataset.class_names)
    for name, member in zip(module.names, module.members, strict=True):
        own = load(store.checkpoint(name, "fold_1"), trusted=True)
        for key, value in own.network.state_dict().items():
            assert torch.equal(value, member.network.state_dict()[key])
    rows = teacher.predictions
    without = build(teacher.method).fit(rows.rows(rows.folds != 1)).notes()
    assert module.combiner.notes() == without != build(teacher.method).fit(rows).notes()
    changed = replace(rows, labels=np.where(rows.folds == 1, (rows.labels + 1) % 10, rows.labels))
    other = replace(teacher, predictions=changed).module("fold_1", dataset.class_names)
    assert other.combiner.notes() == without


def test_each_image_is_taught_by_networks_that_did_not_see_it(student, dataset, monkeypatch, cpu):
    plan = student(teacher_rows="out_of_fold")
    assert plan._teaching("fold_1", None).fits == ["fold_1"]
    teaching = plan._teaching("refit", None)
    assert teaching.fits == ["fold_0", "fold_1", "fold_2"]
    images = teaching.transfer_set(dataset, dataset.rows("train"), plan.spec)
    teachers, rows = teaching.teachers(dataset, cpu), np.arange(30)
    crops = images.crops(rows, 1, teachers.largest, cpu)
    found = teachers(crops, images.groups[rows])
    for row in rows:
        alone = teachers.modules[dataset.folds[row]](crops.select(torch.tensor([row])))[0]
        torch.testing.assert_close(found[row], alone, atol=1e-5, rtol=1e-4)


def test_classes_in_another_order_are_sorted(teacher, dataset):
    turned = dataset.class_names[::-1]
    images = dataset.images(np.arange(4), View(10, channels=1))
    one, other = (teacher.module("fold_0", names)(images) for names in (dataset.class_names, turned))
    torch.testing.assert_close(one, other.flip(1))


def test_a_rule_with_negative_weights_on_members_that_know_nothing_is_replaced(teacher, dataset, caplog):
    labels = np.random.default_rng(0).permutation(teacher.predictions.labels)
    nothing = replace(teacher.predictions, labels=labels)
    lost = replace(teacher, method={"combiner": "stacking_lr"}, predictions=nothing)
    assert lost.module("fold_0", dataset.class_names).combiner.key == "soft_voting"
    assert "its members are averaged for the students of the folds" in caplog.text


def test_a_killed_fit_goes_on_with_the_same_bytes(student, dataset, monkeypatch):
    """The state after an epoch, and the targets of each view, are stored."""
    rows, images = dataset.rows("train")[:64], dataset.images(np.arange(5), View(8, channels=1))
    plan = student(AUGMENT, cached=2, mixup=0.3)
    expected = plan.run(rows, "fold_0", fingerprint="a")["student"](images)
    original, calls = DistillationStep._part, []

    def killed(self, *given):
        calls.append(1)
        if len(calls) == 3:  # in the second epoch
            raise KeyboardInterrupt
        return original(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(DistillationStep, "_part", killed)
        with pytest.raises(KeyboardInterrupt):
            plan.run(rows, "fold_0", fingerprint="b")
    monkeypatch.setattr(
        teaching_module, "create_array", lambda *given: pytest.fail("targets were made again")
    )
    assert torch.equal(plan.run(rows, "fold_0", fingerprint="b")["student"](images), expected)


def test_a_student_of_a_teacher_without_folds_has_none(student, teacher, making, dataset, store, cpu):
    plan = Distillation(
        making.make_spec(), dataset, store, cpu, Section(), replace(teacher, predictions=None)
    )
    assert (plan.folds, plan.inference, plan.epochs) == (0, "refit", 3)
    assert plan._teaching("refit", None).fits == ["refit"]


class Neighbor(nn.Module):
    """The label of the most similar image that it knows: it has learned all labels by heart."""

    def __init__(self, images, labels):
        super().__init__()
        self.register_buffer("known", images.flatten(1))
        self.register_buffer("logits", 9.0 * functional.one_hot(labels, 10))

    def forward(self, images):
        return self.logits[torch.cdist(images.flatten(1), self.known).argmin(1)]


class Heart(Teacher):
    """A teacher whose networks know the labels of the rows that they were trained on, and no others."""

    def module(self, fit, class_names):
        data = self.store
        rows = data.rows("train")
        rows = rows if fit == "refit" else rows[data.folds[rows] != int(fit[-1])]
        view = View(8, channels=1, fit="crop")
        net = Neighbor(view(data.images(rows, view)), torch.from_numpy(data.labels[rows]))
        return Member.from_module(net, classes=class_names, size=8, channels=1).eval()


def test_random_labels_reach_no_row_that_they_score(making, dataset, store, cpu, monkeypatch):
    """Two hazards: labels that a teacher has learned by heart, and teachers of other folds.

    The images without labels are the training images themselves, so whatever a teacher knows of a held-out
    row would reach the student.
    """
    monkeypatch.setattr(resume, "keep", lambda *given: None)  # a fit that is not interrupted
    labels = dataset.labels.copy()
    labels[:240] = np.random.default_rng(0).permutation(labels[:240])
    random = replace(dataset, labels=labels)
    spec = making.make_spec("training.epochs=25", "training.augment=none", "training.lr=0.02", net="memory")
    copies = replace(
        random,
        canvases={spec: array[:240] for spec, array in random.canvases.items()},
        labels=np.full(240, -1),
        sample_ids=np.char.add("u", random.sample_ids[:240]),
    )
    rule = build("soft_voting").bind(["m"])
    heart = Heart("heart", "x", random, rule, {}, {}, None, random.class_names)
    rows = random.rows("train")

    def is_right(fold, *taught_by):
        plan = Distillation(spec, random, store, cpu, Section(alpha=0.9, temperature=2.0), heart, copies)
        if taught_by:
            plan._teaching = lambda *given: replace(Distillation._teaching(plan, *given), fits=taught_by)
        kept, held_out = (rows[(random.folds[rows] == fold) == held] for held in (False, True))
        made = plan.run(kept, f"fold_{fold}", fingerprint=f"{fold}{taught_by}")[plan.name]
        logits = logits_of(made, random, held_out, batch_size=64, device=cpu)
        return logits.argmax(1) == labels[held_out]

    # Ten classes: chance is 0.1, with a standard error of 0.034 for 80 rows.
    assert is_right(0).mean() < 0.2
    assert is_right(0, "refit").mean() > 0.35
    assert is_right(0, "fold_1").mean() > 0.35

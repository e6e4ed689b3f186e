import csv
import gc

import numpy as np
import pytest
import torch

from committee.errors import TrainingError
from committee.training.fit.predict import logits_of
from committee.training.fit.start import start_member
from committee.training.fit.train import train


@pytest.fixture
def fit(making, dataset, cpu):
    def run(*overrides, fold="fold_0", data=None, epochs=None, folder=None, net="tiny", rows=None):
        data = data or dataset
        rows = data.rows("train") if rows is None else rows
        spec = making.make_spec(*overrides, net=net)
        return train(
            spec, data, rows, fold=fold, device=cpu, epochs=epochs, folder=folder, fingerprint="x"
        ).member

    return run


def weights(member):
    return {name: value.clone() for name, value in member.network.state_dict().items()}


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def alive():
    """Count the tensors of this process; `isinstance` would wake deprecated objects that warn."""
    gc.collect()
    return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())


def test_a_fit_is_freed_when_it_ends_without_a_collection(fit):
    fit("training.epochs=1")
    before = alive()
    gc.disable()
    try:
        fit("training.epochs=1")
        left = sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())
    finally:
        gc.enable()
    assert left == before


def accuracy(member, dataset, cpu):
    rows = dataset.rows("test")
    logits = logits_of(member, dataset, rows, batch_size=64, device=cpu)
    return (logits.argmax(1) == dataset.labels[rows]).mean()


def history(folder):
    with (folder / "epochs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("training.optimizer=sgd", "training.lr=0.1"),
        ("training.ema=0.9",),
        ("training.precision=bf16",),
        ("training.channels_last=false",),
        ("training.class_weights=balanced",),
        ("training.sampler=balanced",),
        ("training.label_smoothing=0.1", "training.clip_grad=null", "training.scheduler=constant"),
        ("training.augment.randaugment=2",),
        ("training.early_stop={patience: 9}", "training.best_checkpoint=true"),
    ],
    ids=str,
)
def test_it_learns_digits(fit, dataset, cpu, overrides):
    plain = "training.augment={flip: false, color_jitter: 0, random_resized_crop: 1}"
    member = fit(plain, "training.epochs=10", *overrides)
    assert accuracy(member, dataset, cpu) > 0.75
    assert not member.training
    assert all(value.is_contiguous() for value in member.network.state_dict().values())


SETTINGS = [
    "training.optimizer=sgd",
    "training.label_smoothing=0.1",
    "training.class_weights={'3': 2}",
    "training.sampler=balanced",
    "training.ema=0.9",
    "training.clip_grad=0.01",
    "training.scheduler=constant",
    "training.warmup_epochs=0",
    "training.weight_decay=0.5",
    "training.augment.flip=false",
    "training.precision=bf16",
    "training.best_checkpoint=true",
    "training.lr=0.02",
    "seed=5",
    "dataset.batch_size=16",
]


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_changes_the_result(fit, setting):
    assert not equal(weights(fit()), weights(fit(setting)))


def test_the_same_recipe_gives_the_same_bytes_and_disturbs_no_generator(fit):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first = weights(fit("training.ema=0.9"))
    assert torch.equal(torch.rand(1), expected)
    assert equal(first, weights(fit("training.ema=0.9")))
    assert not equal(first, weights(fit("training.ema=0.9", fold="fold_1")))


def test_all_folds_start_from_the_same_weights_unless_told(making, dataset):
    def start(spec, fold):
        return weights(start_member(spec, dataset, fold))

    shared, apart = making.make_spec(), making.make_spec("training.shared_start=false")
    assert equal(start(shared, "fold_0"), start(shared, "fold_1"))
    assert not equal(start(apart, "fold_0"), start(apart, "fold_1"))
    assert not equal(start(shared, "fold_0"), start(making.make_spec("seed=1"), "fold_0"))


def test_the_head_learns_alone_at_first(making, fit, dataset, tmp_path):
    published = tmp_path / "published.pt"
    torch.save(start_member(making.make_spec("seed=9"), dataset, "x").network.net.state_dict(), published)
    source = f"training.pretrained='{published}'"
    head = weights(
        fit(source, "training.epochs=3", "training.head_epochs=2", epochs=2, folder=tmp_path / "a")
    )
    start = torch.load(published, weights_only=True)
    changed = {name for name in start if not torch.equal(head[f"net.{name}"], start[name])}
    assert changed == {"9.weight", "9.bias"}
    fit(source, "training.epochs=3", "training.head_epochs=2", folder=tmp_path / "b")
    assert [row["phase"] for row in history(tmp_path / "b")] == ["head", "head", "all"]
    fit("training.head_epochs=2", folder=tmp_path / "c")
    assert [row["phase"] for row in history(tmp_path / "c")] == ["all", "all", "all"]


def test_the_rate_follows_the_schedule_and_a_cut_short_refit_too(fit, tmp_path):
    fit("training.epochs=4", "training.warmup_epochs=1", epochs=3, folder=tmp_path / "a")
    rates = [float(row["lr"]) for row in history(tmp_path / "a")]
    # Warm-up 0.8 of 4 epochs; each rate is that in the middle of the last of an epoch's 8 steps.
    times = np.array([1, 2, 3]) - 1 / 16
    assert rates == pytest.approx(0.005 * (1 + np.cos(np.pi * (times - 0.8) / 3.2)))


def test_a_fit_of_a_single_step_learns(fit, making, dataset):
    rows = dataset.rows("train")[:16]
    start = start_member(making.make_spec(), dataset, "fold_0")
    member = fit("training.epochs=1", rows=rows)
    assert not torch.equal(weights(member)["net.9.weight"], weights(start)["net.9.weight"])


def test_the_csv_has_loss_and_accuracy_of_each_epoch(fit, tmp_path):
    fit("training.epochs=6", folder=tmp_path / "a")
    first, *_, last = history(tmp_path / "a")
    assert float(last["train_loss"]) < float(first["train_loss"])
    assert 0 <= float(first["train_accuracy"]) < float(last["train_accuracy"]) <= 1


def test_epochs_are_chosen_on_an_inner_slice_of_the_training_rows(
    fit, making, dataset, tmp_path, monkeypatch
):
    asked = []
    real = type(dataset).images
    monkeypatch.setattr(
        type(dataset), "images", lambda self, rows, view: asked.append(rows) or real(self, rows)
    )
    rows = dataset.rows("train")[dataset.folds[:240] != 0]
    rule = ("training.early_stop={patience: 2, fraction: 0.2}", "training.best_checkpoint=true")
    member = fit(*rule, "training.epochs=30", "training.lr=0.1", rows=rows, folder=tmp_path / "a")
    assert set(np.concatenate(asked)) == set(rows)
    lines = history(tmp_path / "a")
    losses = [float(line["inner_log_loss"]) for line in lines]
    best = int(np.argmin(losses)) + 1
    assert member.provenance["epochs"] == best
    assert len(lines) == min(best + 2, 30)
    fixed = fit(*rule, "training.epochs=30", epochs=2, folder=tmp_path / "b")
    assert fixed.provenance["epochs"] == 2
    assert [line["inner_log_loss"] for line in history(tmp_path / "b")] == ["", ""]


def test_the_best_epochs_weights_are_those_of_a_fit_of_that_length(fit, dataset, tmp_path):
    rule = ("training.best_checkpoint=true", "training.epochs=6", "training.lr=0.3")
    best = fit(*rule, folder=tmp_path / "a")
    lines = history(tmp_path / "a")
    chosen = best.provenance["epochs"]
    assert float(lines[chosen - 1]["inner_log_loss"]) == min(float(line["inner_log_loss"]) for line in lines)
    last = fit(*rule[1:], "training.early_stop={patience: null}")
    assert last.provenance["epochs"] == 6
    assert equal(weights(best), weights(last)) == (chosen == 6)


def test_a_loss_that_stays_no_number_ends_the_fit(fit, caplog):
    name = "models=[{name: 'python:tiny_nets:exploding', as: bad}]"
    with pytest.raises(TrainingError) as caught:
        fit(name, net="exploding")
    assert str(caught.value) == (
        "bad/fold_0: expected a finite loss, got a loss of nan in epoch 1, also after the learning rate was "
        "halved 3 times, from 0.01 to 0.00125. Lower training.lr by far, set training.clip_grad=1.0, or use "
        "training.precision=fp32."
    )
    assert caplog.messages == [
        "bad/fold_0: a loss of nan in epoch 1; continuing from the last good epoch with half the learning "
        f"rate, {rate} (rollback {n} of 3)"
        for n, rate in ((1, "0.005"), (2, "0.0025"), (3, "0.00125"))
    ]


def test_a_network_that_fails_is_named_with_its_fold_and_its_words(fit):
    name = "backbones.include=['python:hostile_nets:fussy']"
    with pytest.raises(TrainingError) as caught:
        fit(name, net="fussy")
    assert str(caught.value) == (
        "hostile_nets_fussy/fold_0: expected a network that accepts images of 8 pixels, got shape "
        "'[30, 49]' is invalid for input of size 1920. Use another dataset.img_size."
    )
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_no_rows_to_spare_for_an_inner_slice_is_said(fit, making, tmp_path):
    data = making.make_dataset(tmp_path / "one", 0, groups=np.zeros(360, np.int64))
    with pytest.raises(TrainingError) as caught:
        fit("training.early_stop={patience: 2}", data=data)
    assert str(caught.value) == (
        "tiny_nets_tiny/fold_0: expected enough rows to set some aside for judging epochs, got a single "
        "group, or one row per class. Set training.early_stop=null and training.best_checkpoint=false."
    )


def test_classes_that_a_fold_lacks_do_no_harm(fit, dataset):
    rows = dataset.rows("train")
    rows = rows[dataset.labels[rows] != 4]
    member = fit("training.class_weights=balanced", "training.sampler=balanced", rows=rows)
    assert member.provenance["epochs"] == 3


def test_memory_is_back_where_it_was(fit, tmp_path):
    settings = ("training.ema=0.9", "training.best_checkpoint=true", "training.epochs=2")
    fit(*settings, folder=tmp_path / "a")
    before = alive()
    for n in range(3):
        fit(*settings, folder=tmp_path / f"{n}")
    assert alive() <= before


def test_a_failed_fit_leaves_no_memory_behind(fit):
    before = alive()
    for _ in range(2):
        with pytest.raises(TrainingError):
            fit(net="exploding")
    assert alive() <= before


def test_a_frozen_body_stays_to_the_last_bit_and_its_head_follows_the_schedule(fit, tmp_path):
    member = fit("training.body_lr=0", folder=tmp_path / "a")
    fresh = fit("training.body_lr=0", "training.epochs=1", folder=tmp_path / "b")
    one, other = member.network.state_dict(), fresh.network.state_dict()
    changed = {name for name in one if not torch.equal(one[name], other[name])}
    assert changed == {"net.9.weight", "net.9.bias"}
    rates = [float(row["lr"]) for row in history(tmp_path / "a")]
    assert {row["phase"] for row in history(tmp_path / "a")} == {"head"} and rates[0] > rates[-1]


def test_a_slow_body_moves_less(fit, tmp_path):
    slow, fast = (fit(f"training.body_lr={share}", "training.epochs=1") for share in (0.01, 1.0))
    start = fit("training.body_lr=0", "training.epochs=1").network.state_dict()
    moved = [
        (each.network.state_dict()["net.3.weight"] - start["net.3.weight"]).abs().mean()
        for each in (slow, fast)
    ]
    assert 0 < moved[0] < 0.1 * moved[1]

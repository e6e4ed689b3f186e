import csv

import pytest
import torch

from committee.errors import TrainingError
from committee.training.fit.memory import halving
from committee.training.fit.smoke import smoke
from committee.training.fit.train import train

MODELS = "backbones.include=['python:hostile_nets:hungry']"


@pytest.fixture
def fit(making, dataset, cpu, tmp_path, monkeypatch):
    def run(most, *overrides, folder=None):
        monkeypatch.setenv("MOST_IMAGES", str(most))
        spec = making.make_spec(MODELS, *overrides)
        return train(spec, dataset, dataset.rows("train"), fold="fold_0", device=cpu, folder=folder).member

    return run


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory: you"),
    ],
    ids=str,
)
def test_every_way_to_lack_memory_halves_the_work(error, caplog):
    asked = []

    def work(size):
        asked.append(size)
        if size > 10:
            raise error
        return "done"

    assert halving(work, 50, "m") == ("done", 7)
    assert asked == [50, 25, 13, 7]
    assert caplog.messages == [
        f"m: out of memory; continuing with {size} images at a time" for size in (25, 13, 7)
    ]


def test_other_errors_pass():
    def work(size):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        halving(work, 8, "m")


def test_a_short_memory_changes_nothing_but_the_rounding(fit, tmp_path, caplog):
    settings = ("training.class_weights=balanced", "training.label_smoothing=0.1", "training.ema=0.9")
    roomy = fit(1000, *settings)
    assert "micro_batch" not in roomy.provenance
    short = fit(11, *settings, folder=tmp_path / "state")
    assert caplog.messages == [
        "hostile_nets_hungry/fold_0: out of memory; continuing with 15 images at a time",
        "hostile_nets_hungry/fold_0: out of memory; continuing with 8 images at a time",
    ]
    assert short.provenance["micro_batch"] == 8
    for one, other in zip(roomy.parameters(), short.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    with (tmp_path / "state" / "epochs.csv").open(newline="", encoding="utf-8") as file:
        assert [line["micro_batch"] for line in csv.DictReader(file)] == ["8", "8", "8"]


def test_what_fitted_is_remembered_by_the_fit_that_goes_on(fit, tmp_path, caplog):
    fit(11, "training.epochs=2", folder=tmp_path / "state")
    caplog.clear()
    fit(11, "training.epochs=3", folder=tmp_path / "state")
    assert caplog.messages == []


def test_no_memory_for_one_image_is_named(fit):
    with pytest.raises(TrainingError) as caught:
        fit(0)
    assert str(caught.value) == (
        "hostile_nets_hungry/fold_0: expected enough memory for one image at a time, got CUDA out of memory. "
        "Tried to allocate 2.00 GiB. Lower its img_size, use a smaller backbone, or free memory of the "
        "device."
    )


def test_no_memory_for_the_optimizer_is_named_too(fit, monkeypatch):
    def step(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "_fused_adamw_", step)
    with pytest.raises(TrainingError) as caught:
        fit(1000)
    assert str(caught.value) == (
        "hostile_nets_hungry/fold_0: expected enough memory for the network and its optimizer, got CUDA out "
        "of memory. Lower its img_size, use a smaller backbone, or free memory of the device."
    )


def test_the_first_check_goes_on_with_less_too(making, dataset, cpu, monkeypatch, caplog):
    monkeypatch.setenv("MOST_IMAGES", "9")
    smoke(making.make_spec(MODELS), dataset, cpu)
    assert caplog.messages == [
        f"hostile_nets_hungry: out of memory; continuing with {size} images at a time" for size in (16, 8)
    ]

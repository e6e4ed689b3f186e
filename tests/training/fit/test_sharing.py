import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from torch.multiprocessing.spawn import ProcessRaisedException

from committee.errors import TrainingError
from committee.training.fit import sharing
from committee.training.fit.predict import logits_of
from committee.training.fit.train import train


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(sharing, "processes", lambda device: 2)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_two_processes_train_one_network(making, dataset, cpu, two):
    spec = making.make_spec(
        "training.epochs=12",
        "training.augment={random_resized_crop: 1, flip: false}",
        "training.best_checkpoint=true",
        "training.ema=0.9",
    )
    member = train(spec, dataset, dataset.rows("train"), fold="fold_0", device=cpu).member
    rows = dataset.rows("test")
    logits = logits_of(member, dataset, rows, batch_size=80, device=cpu)
    assert (logits.argmax(1) == dataset.labels[rows]).mean() > 0.7


def test_a_failure_in_a_process_is_one_sentence(making, dataset, cpu, two, monkeypatch):
    def fail(self, function):
        raise ProcessRaisedException("-- Process 0 terminated:\nTraceback\nValueError: broken\n", 0, 1)

    monkeypatch.setattr(Fabric, "launch", fail)
    with pytest.raises(TrainingError) as caught:
        train(making.make_spec(), dataset, dataset.rows("train"), fold="fold_0", device=cpu)
    assert str(caught.value) == (
        "tiny_nets_tiny/fold_0: expected all processes to finish, got ValueError: broken. "
        "Finished epochs are stored: run it again, or use one GPU with CUDA_VISIBLE_DEVICES=0."
    )


def test_where_memory_is_short_all_processes_start_again_with_less(
    making, dataset, cpu, two, monkeypatch, caplog
):
    asked = []

    def launch(self, work):
        asked.append(work.keywords["job"].micro_batch)
        if asked[-1] > 5:
            last = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
            raise ProcessRaisedException(f"-- Process 1 terminated:\nTraceback\n{last}\n", 0, 1)

    monkeypatch.setattr(Fabric, "launch", launch)
    spec = making.make_spec("training.epochs=1")
    train(spec, dataset, dataset.rows("train"), fold="fold_0", device=cpu)
    assert asked == [32, 8, 4]
    assert caplog.messages == [
        f"tiny_nets_tiny/fold_0: out of memory; continuing with {size} images at a time" for size in (8, 4)
    ]


def test_a_batch_too_small_to_divide_is_not_divided(making, dataset, cpu, two, monkeypatch):
    monkeypatch.setattr(sharing, "_launch", None)
    spec = making.make_spec("dataset.batch_size=3", "training.epochs=1")
    member = train(spec, dataset, np.arange(8), fold="fold_0", device=cpu).member
    assert isinstance(member, torch.nn.Module)

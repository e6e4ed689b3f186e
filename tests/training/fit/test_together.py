"""Fits that are trained together are those that would be trained alone."""

import csv
import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from committee.base import interrupt
from committee.errors import TrainingError
from committee.training.fit import resume
from committee.training.fit.job import Extra, Job
from committee.training.fit.predict import logits_of
from committee.training.fit.stacked_step import StackedStep
from committee.training.fit.together import train_together
from committee.training.fit.train import train_job

PLAIN = "training.augment=none"


@pytest.fixture
def jobs(making, dataset, cpu, tmp_path):
    """Make the jobs of three fits, of 160, 160 and 130 rows, whose states are kept in a folder."""

    def make(folder, *overrides, net="perceptron", extra=None, rows=(160, 160, 130), seed=0):
        spec = making.make_spec(PLAIN, *overrides, net=net)
        train = dataset.rows("train")
        return [
            Job(
                replace(spec, seed=seed + number),
                dataset,
                np.sort(np.random.default_rng(number).permutation(train)[:count]),
                f"fold_{number}",
                cpu,
                tmp_path / folder / f"fold_{number}.resume",
                "x",
                None,
                spec.batch_size,
                (extra or {}).get(number, Extra()),
            )
            for number, count in enumerate(rows)
        ]

    return make


@pytest.fixture
def stacked(monkeypatch):
    """Count the steps that are made as one, by the number of fits."""
    counts = {}
    real = StackedStep._gradients

    def gradients(self, positions):
        counts[len(positions)] = counts.get(len(positions), 0) + 1
        return real(self, positions)

    monkeypatch.setattr(StackedStep, "_gradients", gradients)
    return counts


def outputs(trained, dataset, cpu):
    assert not isinstance(trained, Exception), trained
    return logits_of(trained.member, dataset, dataset.rows("test"), batch_size=80, device=cpu)


def history(job):
    with (job.folder / "epochs.csv").open(newline="", encoding="utf-8") as file:
        return [
            {key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)
        ]


def same_weights(one, other):
    states = one.member.network.state_dict(), other.member.network.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(
    "words",
    [
        ("training.ema=0.9", "training.augment={randaugment: 2}"),
        ("training.optimizer=sgd", "training.lr=0.1", "training.early_stop={patience: 1}"),
        ("training.best_checkpoint=true", "training.class_weights=balanced", "training.clip_grad=null"),
    ],
    ids=str,
)
def test_matrix_products_give_the_same_bytes_as_alone(jobs, stacked, words):
    torch.manual_seed(3)
    drawn = torch.rand(1)
    torch.manual_seed(3)
    together = train_together(found := jobs("together", *words))
    assert set(stacked) == {2}, "the third fit has smaller batches"
    assert torch.equal(torch.rand(1), drawn)
    for job, one, twin in zip(found, together, jobs("alone", *words), strict=True):
        alone = train_job(twin)
        assert same_weights(one, alone)
        assert one.member.provenance == alone.member.provenance
        assert history(job) == history(twin)
        assert all(each.is_contiguous() for each in one.member.state_dict().values())
        assert len({each.untyped_storage().data_ptr() for each in one.member.parameters()}) > 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_networks_with_batch_norm_are_those_of_fits_alone_up_to_rounding(
    jobs, stacked, dataset, cpu, precision
):
    """With AdamW, the rounding of biases before batch norm, whose gradient is 0, would make whole steps."""
    words = ("training.epochs=2", "training.optimizer=sgd", f"training.precision={precision}")
    given = {"net": "tiny", "rows": (155, 155, 156)}
    together = train_together(found := jobs("together", *words, **given))
    assert stacked[3] >= 2
    tolerance = {"fp32": 1e-5, "bf16": 0.05}[precision]
    for job, one, twin in zip(found, together, jobs("alone", *words, **given), strict=True):
        alone = train_job(twin)
        np.testing.assert_allclose(outputs(one, dataset, cpu), outputs(alone, dataset, cpu), atol=tolerance)
        for row, other in zip(history(job), history(twin), strict=True):
            assert row["lr"] == other["lr"]
            assert float(row["train_loss"]) == pytest.approx(float(other["train_loss"]), abs=tolerance)


def test_rows_weights_offsets_and_trackers_of_each_fit_are_its_own(jobs, stacked):
    from functools import partial

    from committee.training.fit.weight_trackers import Snapshots, TailAverage

    generator = np.random.default_rng(0)
    extra = {
        number: Extra(
            weights=generator.uniform(0.5, 2, 160).astype(np.float32) if number else None,
            offsets=None if number else generator.normal(size=(160, 10)).astype(np.float32),
            trackers=(partial(Snapshots, cycle=1), partial(TailAverage, start=2)),
        )
        for number in range(2)
    }
    rows = (160, 160)
    together = train_together(jobs("together", extra=extra, rows=rows))
    assert stacked == {2: 15}
    for one, twin in zip(together, jobs("alone", extra=extra, rows=rows), strict=True):
        alone = train_job(twin)
        assert same_weights(one, alone)
        assert one.tracked.keys() == alone.tracked.keys()
        for kind, weights in one.tracked.items():
            assert all(torch.equal(weights[name], alone.tracked[kind][name]) for name in weights)


def test_a_fit_that_diverges_leaves_the_others_and_fails_with_its_own_error(jobs, stacked, caplog):
    bad = {1: Extra(weights=np.full(160, np.inf, np.float32))}
    rows = (160, 160, 160)
    first, second, third = train_together(jobs("together", extra=bad, rows=rows))
    assert isinstance(second, TrainingError)
    assert str(second) == (
        "tiny_nets_perceptron/fold_1: expected a finite loss, got a loss of nan in epoch 1, also after the "
        "learning rate was halved 3 times, from 0.01 to 0.00125. Lower training.lr by far, set "
        "training.clip_grad=1.0, or use training.precision=fp32."
    )
    assert sum("rollback" in message for message in caplog.messages) == 3
    assert stacked == {3: 5, 2: 10}
    for one, twin in zip((first, third), jobs("alone", rows=rows)[::2], strict=True):
        assert same_weights(one, train_job(twin))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("no memory left"), "no memory left"),
        (RuntimeError("an operation that is not known"), "an operation that is not known"),
    ],
    ids=["memory", "operation"],
)
def test_a_stack_that_fails_is_given_up_and_the_fits_go_on(jobs, monkeypatch, caplog, error, said):
    real, calls = StackedStep._gradients, []

    def gradients(self, positions):
        calls.append(len(positions))
        if len(calls) == 4:
            raise error
        return real(self, positions)

    monkeypatch.setattr(StackedStep, "_gradients", gradients)
    with caplog.at_level(logging.WARNING):
        together = train_together(jobs("together", rows=(160, 160)))
    assert len(calls) == 4
    assert caplog.messages == [
        "tiny_nets_perceptron/fold_0, tiny_nets_perceptron/fold_1: each fit makes its own steps from now on, "
        f"since one of all has failed: {said}"
    ]
    for one, twin in zip(together, jobs("alone", rows=(160, 160)), strict=True):
        assert same_weights(one, train_job(twin))


def test_networks_that_cannot_be_stacked_are_trained_all_the_same(jobs, monkeypatch, caplog):
    monkeypatch.setenv("LARGEST_STEP", "9")
    changes = ("backbones.include=['python:hostile_nets:skittish']",)
    together = train_together(jobs("together", *changes, rows=(160, 160), net="x"))
    assert "each fit makes its own steps" in caplog.text
    for one, twin in zip(together, jobs("alone", *changes, rows=(160, 160), net="x"), strict=True):
        assert same_weights(one, train_job(twin))


@pytest.mark.parametrize("together_first", [True, False])
def test_an_interrupted_run_goes_on_alone_or_together_with_the_same_bytes(
    jobs, stacked, monkeypatch, together_first
):
    """The signal comes in the second epoch, of five batches: the state within it is kept for each fit."""
    rows, asked = (160, 160), []

    def requested():
        asked.append(True)
        return len(asked) > 13

    words = ("training.ema=0.9", "training.augment=mild")
    with monkeypatch.context() as patch:
        patch.setattr(interrupt, "requested", requested)
        with pytest.raises(KeyboardInterrupt):
            train_together(jobs("state", *words, rows=rows))
    found = jobs("state", *words, rows=rows)
    facts = [resume.restore(job.folder, "x") for job in found]
    assert [(len(each["history"]), each["batch"]) for each in facts] == [(1, 2), (1, 1)]
    done = train_together(found) if together_first else [train_job(job) for job in found]
    for one, twin in zip(done, jobs("alone", *words, rows=rows), strict=True):
        assert same_weights(one, train_job(twin))

import csv

import pytest
import torch

from committee.training.fit import resume
from committee.training.fit.start import start_member
from committee.training.fit.train import train

MODELS = "backbones.include=['python:hostile_nets:skittish']"
# The rate rises for two epochs: too high at the start of the third one.
SETTINGS = (MODELS, "training.clip_grad=null", "training.epochs=10", "training.warmup_epochs=2")


@pytest.fixture
def fit(making, dataset, cpu, tmp_path, monkeypatch):
    def run(*overrides, largest=0.12, folder="state"):
        monkeypatch.setenv("LARGEST_STEP", str(largest))
        return train(
            making.make_spec(*SETTINGS, *overrides),
            dataset,
            dataset.rows("train"),
            fold="fold_0",
            device=cpu,
            folder=tmp_path / folder,
            fingerprint="x",
        ).member

    return run


def history(folder):
    with (folder / "epochs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_it_goes_on_from_the_last_good_epoch_with_half_the_rate(fit, tmp_path, caplog):
    member = fit()
    assert caplog.messages == [
        "hostile_nets_skittish/fold_0: a loss of nan in epoch 3; continuing from the last good epoch with "
        "half the learning rate, 0.005 (rollback 1 of 3)"
    ]
    assert member.provenance == {"epochs": 10, "rollbacks": 1}
    lines = history(tmp_path / "state")
    assert [line["rollbacks"] for line in lines] == ["0", "0", *["1"] * 8]
    fit(largest=9, folder="calm")
    calm = history(tmp_path / "calm")
    assert lines[1]["train_loss"] == calm[1]["train_loss"]
    rates = [float(line["lr"]) for line in calm]
    assert [float(line["lr"]) for line in lines] == [*rates[:2], *(rate / 2 for rate in rates[2:])]


def test_a_rollback_is_kept_at_once(fit, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    real = resume.keep

    def keep(folder, fingerprint, state, columns):
        real(folder, fingerprint, state, columns)
        if state["rollbacks"]:
            raise Stop

    monkeypatch.setattr(resume, "keep", keep)
    with pytest.raises(Stop):
        fit()
    monkeypatch.undo()
    state = resume.restore(tmp_path / "state", "x")
    assert (len(state["history"]), state["rollbacks"], state["batch"]) == (2, 1, 0)
    undisturbed = fit(folder="other")
    for one, other in zip(fit().parameters(), undisturbed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_rollback_in_the_first_epoch_starts_anew(fit, making, dataset, tmp_path, caplog):
    short = ("training.warmup_epochs=0", "training.epochs=2", "training.scheduler=constant")
    lowered = fit(*short, largest=0.2)
    assert lowered.provenance["rollbacks"] == 1
    assert [line["lr"] for line in history(tmp_path / "state")] == ["0.005", "0.005"]
    direct = fit(*short, "training.lr=0.005", largest=9, folder="direct")
    start = start_member(making.make_spec(*SETTINGS), dataset, "fold_0")
    for one, other, first in zip(lowered.parameters(), direct.parameters(), start.parameters(), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, first)


@pytest.mark.parametrize("what", ["an infinite weight", "scores that are not finite"])
def test_a_finite_loss_alone_is_no_good_epoch(fit, monkeypatch, caplog, what):
    from committee.training.fit import loop

    real = loop.inner_outputs
    if what == "scores that are not finite":
        monkeypatch.setattr(loop, "inner_outputs", lambda job, *rest: broken(real(job, *rest)))
    else:
        monkeypatch.setattr(torch, "_foreach_norm", lambda each: broken([torch.ones(())]))
    seen = []

    def broken(values):
        seen.append(values)
        if len(seen) == 1:
            values[0] = torch.nan
            if isinstance(values, list):
                values[0] = torch.tensor(torch.inf)
        return values

    member = fit("training.early_stop={patience: null}", "training.epochs=1", largest=9)
    assert f"fold_0: {what} in epoch 1; continuing from" in caplog.messages[0]
    assert member.provenance["rollbacks"] == 1


def test_a_step_that_fp16_skips_is_no_divergence(making, dataset):
    """Gradients overflow in fp16 at the first scale; the loss stays a number."""
    if not torch.cuda.is_available():
        pytest.skip("fp16 needs a GPU")
    spec = making.make_spec("training.precision=fp16", "training.epochs=3")
    member = train(spec, dataset, dataset.rows("train"), fold="fold_0", device=torch.device("cuda", 0)).member
    assert "rollbacks" not in member.provenance

import subprocess
import sys
import time

import pytest

from committee.store.commit import sweep
from committee.store.manifest import read_manifest
from committee.training import loop, resume
from committee.training.loop import train

SETTINGS = ("training.epochs=6", "training.ema=0.9", "training.early_stop={patience: 9}",
            "training.best_checkpoint=true", "training.augment.randaugment=3")  # fmt: skip

FIT = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from making import make_dataset, make_spec
from committee.training.loop import train
root = Path(sys.argv[1])
data = make_dataset(root / "data")
train(make_spec(*sys.argv[2:]), data, data.rows("train"), fold="fold_0", device=torch.device("cpu"),
      folder=root / "state", made_from="x")
"""


@pytest.fixture
def fit(making, dataset, cpu, tmp_path):
    def run(*overrides, folder=None):
        spec = making.make_spec(*SETTINGS, *overrides)
        member = train(spec, dataset, dataset.rows("train"), fold="fold_0", device=cpu, folder=folder,
                       made_from="x")  # fmt: skip
        member.save(tmp_path / "saved")
        return (tmp_path / "saved" / "weights.safetensors").read_bytes()

    return run


class Stop(Exception):
    pass


@pytest.fixture
def stop_after(monkeypatch):
    """Make the fit stop once its n-th epoch is kept."""

    def arrange(epoch):
        real, kept = resume.keep, []

        def keep(*args):
            real(*args)
            kept.append(args)
            if len(kept) == epoch:
                raise Stop

        monkeypatch.setattr(loop.resume, "keep", keep)

    yield arrange
    monkeypatch.undo()


@pytest.mark.parametrize("overrides", [
    (), ("training.optimizer=sgd", "training.sampler=balanced"), ("training.precision=bf16",),
    ("training.channels_last=false", "training.ema=null"),
], ids=str)  # fmt: skip
def test_a_resumed_fit_gives_the_same_bytes(fit, stop_after, monkeypatch, tmp_path, overrides):
    undisturbed = fit(*overrides)
    for epoch in (1, 3):
        stop_after(epoch)
        with pytest.raises(Stop):
            fit(*overrides, folder=tmp_path / "state")
        monkeypatch.setattr(loop.resume, "keep", resume.keep)
    assert fit(*overrides, folder=tmp_path / "state") == undisturbed


def test_the_head_and_the_rest_are_resumed_too(making, dataset, fit, stop_after, monkeypatch, tmp_path):
    import torch

    from committee.training.start import start_member

    torch.save(
        start_member(making.make_spec("seed=9"), dataset, "x").network.net.state_dict(), tmp_path / "w.pt"
    )
    source = (f"training.pretrained='{tmp_path / 'w.pt'}'", "training.head_epochs=2")
    undisturbed = fit(*source)
    real = resume.keep
    for epoch in (1, 1, 1):
        stop_after(epoch)
        with pytest.raises(Stop):
            fit(*source, folder=tmp_path / "state")
        monkeypatch.setattr(loop.resume, "keep", real)
    assert fit(*source, folder=tmp_path / "state") == undisturbed


def test_a_damaged_or_foreign_state_is_not_used(fit, tmp_path, caplog):
    undisturbed = fit(folder=tmp_path / "state")
    assert resume.restore(tmp_path / "state", "y") is None
    with (tmp_path / "state" / "state.safetensors").open("r+b") as file:
        file.seek(2000)
        file.write(b"\xff\xff\xff")
    assert resume.restore(tmp_path / "state", "x") is None
    assert fit(folder=tmp_path / "state") == undisturbed
    assert any("expected the content that was stored, got other bytes" in line for line in caplog.messages)


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_fit_goes_on_to_the_same_bytes(fit, tmp_path):
    undisturbed = fit("training.epochs=25")
    command = [sys.executable, "-c", FIT, str(tmp_path), *SETTINGS, "training.epochs=25"]
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (tmp_path / "state" / "manifest.json").exists():
            time.sleep(0.001)
        time.sleep(0.05)
        process.kill()
    sweep(tmp_path)
    assert 1 <= read_manifest(tmp_path / "state").facts["epoch"] < 25
    assert fit("training.epochs=25", folder=tmp_path / "state") == undisturbed

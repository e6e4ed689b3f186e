import pytest

from committee.store.manifest import read_manifest
from committee.training.fit import loop, resume
from committee.training.fit.train import train

SETTINGS = (
    "training.epochs=6",
    "training.ema=0.9",
    "training.early_stop={patience: 9}",
    "training.best_checkpoint=true",
    "training.augment.randaugment=3",
)


@pytest.fixture
def fit(making, dataset, cpu, tmp_path):
    def run(*overrides, folder=None):
        spec = making.make_spec(*SETTINGS, *overrides)
        member = train(
            spec, dataset, dataset.rows("train"), fold="fold_0", device=cpu, folder=folder, fingerprint="x"
        ).member
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


@pytest.mark.parametrize(
    "overrides",
    [
        ("training.precision=bf16",),
        ("training.channels_last=false", "training.ema=null"),
    ],
    ids=str,
)
def test_a_resumed_fit_gives_the_same_bytes(fit, stop_after, monkeypatch, tmp_path, overrides):
    undisturbed = fit(*overrides)
    for epoch in (1, 3):
        stop_after(epoch)
        with pytest.raises(Stop):
            fit(*overrides, folder=tmp_path / "state")
        monkeypatch.setattr(loop.resume, "keep", resume.keep)
    assert fit(*overrides, folder=tmp_path / "state") == undisturbed


def test_a_damaged_or_foreign_state_is_not_used(fit, tmp_path, caplog):
    undisturbed = fit(folder=tmp_path / "state")
    caplog.clear()
    assert resume.restore(tmp_path / "state", "y") is None
    assert caplog.messages == [
        f"{tmp_path.name}/state: its stored state was made with other settings or data and is not used"
    ]
    for place in (tmp_path / "state", resume.previous(tmp_path / "state")):
        with (place / "state.safetensors").open("r+b") as file:
            file.seek(2000)
            file.write(b"\xff\xff\xff")
    assert resume.restore(tmp_path / "state", "x") is None
    assert fit(folder=tmp_path / "state") == undisturbed
    assert any("expected the content that was stored, got other bytes" in line for line in caplog.messages)


def test_where_the_newest_is_damaged_the_one_before_is_used(fit, stop_after, monkeypatch, tmp_path, caplog):
    undisturbed, state = fit(), tmp_path / "fold_0.resume"
    real = resume.keep
    stop_after(3)
    with pytest.raises(Stop):
        fit(folder=state)
    assert resume.previous(state) == tmp_path / "fold_0.previous.resume"
    assert [read_manifest(each).facts["epoch"] for each in (state, resume.previous(state))] == [3, 2]
    (state / "state.safetensors").write_bytes((state / "state.safetensors").read_bytes()[:-9])
    epochs = []
    monkeypatch.setattr(
        loop.resume, "keep", lambda *args: (epochs.append(len(args[2]["history"])), real(*args))
    )
    assert fit(folder=state) == undisturbed
    assert epochs == [3, 4, 5, 6]
    assert caplog.messages[0].startswith(f"{state / 'state.safetensors'}: expected ")
    resume.forget(state)
    assert not list(tmp_path.glob("*.resume"))


def test_a_state_of_mid_epoch_leaves_the_last_whole_one(tmp_path):
    state = tmp_path / "fold_0.resume"
    for epoch, batch in ((1, 0), (2, 0), (2, 3), (2, 7)):
        resume.keep(state, "x", {"history": [{"epoch": n} for n in range(epoch)], "batch": batch}, ["epoch"])
    assert resume.restore(state, "x")["batch"] == 7
    whole = resume.restore(state, "x", whole=True)
    assert (whole["batch"], len(whole["history"])) == (0, 2)
    resume.keep(state, "x", {"history": [{"epoch": n} for n in range(3)], "batch": 0}, ["epoch"])
    assert [read_manifest(each).facts["epoch"] for each in (state, resume.previous(state))] == [3, 2]

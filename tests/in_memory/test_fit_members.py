"""Members from tensors: every plan, every kind of input, and what is refused before any training."""

from __future__ import annotations

import copy
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import Subset, TensorDataset

from committee import Ensemble, fit_members
from committee.base import interrupt
from committee.errors import CommitteeError
from committee.executors.shared.division import Division
from committee.in_memory import ways
from committee.in_memory.reading import read
from committee.training.fit import at_once
from committee.training.fit.comparison import Comparison
from committee.training.fit.together import train_together

pytestmark = pytest.mark.slow

ROWS, FEATURES = 240, 6
RANDOM = torch.Generator().manual_seed(0)
X = torch.randn(ROWS, FEATURES, generator=RANDOM)
Y = (X[:, 0] + X[:, 1] > 0).long()
PHOTOS = np.frombuffer(bytes(ROWS * 48), np.uint8).reshape(ROWS, 3, 4, 4)  # cannot be written to
NUMBERS = 5 * X[:, 0] + 100


class Net(nn.Sequential):
    def __init__(self, outputs=2, features=FEATURES):
        super().__init__(
            nn.Flatten(), nn.Linear(features, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, outputs)
        )


def fit(*args, build=Net, **options):
    options = {"n": 3, "epochs": 3, "lr": 0.02, "seed": 1, **options}
    return fit_members(build, *(args or [(X, Y)]), **options)


def differ(members):
    weights = [member.network.net[1].weight.detach() for member in members]
    return all(not torch.equal(a, b) for k, a in enumerate(weights) for b in weights[k + 1 :])


@pytest.mark.parametrize("plan", ["single", "bagging", "snapshot", "averaging"])
def test_plans_make_different_members_that_learn(plan) -> None:
    members = fit(plan=plan)
    assert [member.name for member in members] == ["member_1", "member_2", "member_3"]
    assert differ(members) and members.seen.shape == (3, ROWS) and len(members.history) == 3
    assert [row["epoch"] for row in members.history[0]] == [1, 2, 3]
    accuracy = (Ensemble(members).predict(X).argmax(1) == Y.numpy()).mean()
    assert accuracy > 0.85
    again = fit(plan=plan)
    np.testing.assert_array_equal(Ensemble(members).predict(X), Ensemble(again).predict(X))
    assert members[0].provenance["epochs"] == (1 if plan == "snapshot" else 3)


def test_a_bag_has_rows_that_a_member_has_not_seen() -> None:
    share = fit(plan="bagging").seen.mean(axis=1)
    assert (abs(share - (1 - np.exp(-1))) < 0.1).all()


@pytest.mark.parametrize(
    ("y", "options", "said"),
    [
        (
            Y.float(),
            {},
            ["train: y has 2 distinct values in 240 rows of type float32, and is read as numbers. "],
        ),
        (
            np.arange(240),
            {},
            ["train: y has 240 distinct values in 240 rows of type int64, and is read as classes"],
        ),
        (NUMBERS, {}, []),
        (Y.float(), {"task": "classification"}, []),
        (torch.eye(2)[Y], {"task": "regression"}, []),
    ],
)
def test_a_guess_that_may_be_wrong_is_said(y, options, said, caplog) -> None:
    data = read((X, y), **options)
    assert data.target_type.name in "".join(said) or not said
    assert [text[: len(start)] for text, start in zip(caplog.messages, said, strict=True)] == said


@pytest.mark.parametrize("method", ["samme", "gradient"])
def test_boosting_makes_one_series(method) -> None:
    members = fit(plan={"name": "boosting", "method": method, "patience": 3})
    assert len(members) == 1 and len(members[0].parts) <= 3 and members.seen.all()
    assert {row["stage"] for row in members.history[0]} == {0, 1, 2}
    assert (Ensemble(members).predict(X).argmax(1) == Y.numpy()).mean() > 0.85


@pytest.mark.parametrize("plan", ["single", "boosting"])
def test_numbers_are_predicted_in_their_unit(plan) -> None:
    members = fit((X, NUMBERS), build=lambda: Net(1), plan=plan, epochs=12)
    errors = Ensemble(members).predict(X)[:, 0] - NUMBERS.numpy()
    assert np.sqrt((errors**2).mean()) < 0.3 * NUMBERS.std()


def test_several_numbers_with_variances() -> None:
    both = torch.stack([NUMBERS, X[:, 2]], 1)
    members = fit((X, both), build=lambda: Net(4), loss="gaussian_nll", target_names=["a", "b"])
    found = Ensemble(members).predict_distribution(X[:5])
    assert found.mean.shape == (5, 2) and (found.aleatoric > 0).all()


@pytest.mark.parametrize("plan", ["bagging", {"name": "boosting", "how": "resample"}, "snapshot"])
def test_rows_of_weight_zero_are_left_out_and_heavy_ones_count_more(plan) -> None:
    wrong = np.arange(ROWS) % 3 == 0
    labels, weights = np.where(wrong, 1 - Y.numpy(), Y), np.where(wrong, 0, 1 + 9.0 * Y.numpy())
    options = {"plan": plan, "early_stop": {"patience": 3} if plan == "bagging" else None}
    found = fit((X, labels), weights=weights, **options)
    others = fit((X[~wrong], Y[~wrong]), weights=weights[~wrong], **options)
    np.testing.assert_array_equal(found[0].predict(X), others[0].predict(X))
    assert not found.seen[:, wrong].any() and found.seen.any()
    plain = fit((X[~wrong], Y[~wrong]), **options)
    assert found[0].predict(X)[:, 1].mean() > plain[0].predict(X)[:, 1].mean() + 0.02


def test_names_and_positions_of_classes() -> None:
    words = np.array(["no", "yes"])[Y]
    by_name = fit((X.numpy(), words))
    assert by_name[0].class_names == ("no", "yes")
    listed = fit((X, Y.numpy()), class_names=["no", "yes", "never"], build=lambda: Net(3))
    assert listed[0].class_names == ("no", "yes", "never")
    assert listed[0].predict(X).argmax(1).max() == 1
    reordered = fit((X, words), class_names=["yes", "no"])
    accuracy = (reordered[0].predict(X).argmax(1) == 1 - Y.numpy()).mean()
    assert accuracy > 0.8


def test_images_are_divided_by_255_and_augmented() -> None:
    images = torch.randint(0, 256, (40, 4, 8, 8), dtype=torch.uint8)
    labels = (images.float().mean((1, 2, 3)) > 127).long()
    [member] = fit((images, labels), n=1, build=lambda: Net(2, 256), augment={"preset": "none", "flip": True})
    direct = member.network.net.eval()(images.float() / 255).softmax(1)
    np.testing.assert_allclose(member.predict(images), direct.detach(), atol=1e-6)


def test_loaders_are_read_once_with_their_batch_size() -> None:
    data = torch.utils.data.TensorDataset(X, Y)
    loader = torch.utils.data.DataLoader(data, batch_size=60)
    found = fit(loader)
    np.testing.assert_array_equal(found[0].predict(X), fit((X, Y), batch_size=60)[0].predict(X))
    single = fit([(x, int(y)) for x, y in data])
    np.testing.assert_array_equal(single[0].predict(X), fit()[0].predict(X))


@pytest.mark.parametrize(("y", "outputs"), [(Y, 2), (torch.stack([X[:, 0], X[:, 1]], 1), 2)])
def test_data_sets_of_torch_are_the_same_as_their_arrays(y, outputs) -> None:
    data = Subset(TensorDataset(X, y), range(240))
    found, arrays = (fit(each, n=1, epochs=1, build=lambda: Net(outputs))[0] for each in (data, (X, y)))
    assert (found.predict(X[:5]) == arrays.predict(X[:5])).all()


def test_validation_rows_choose_the_epoch_and_stop() -> None:
    members = fit(val=(X[:60], 1 - Y[:60]), early_stop={"patience": 1}, epochs=9)
    assert len(members.history[0]) < 9 and "inner_log_loss" in members.history[0][0]
    best = min(members.history[0], key=lambda row: row["inner_log_loss"])["epoch"]
    assert members[0].provenance["epochs"] == best


def test_rows_that_judge_stages_are_no_setting_without_effect(caplog) -> None:
    fit(plan="boosting", val=(X[:60], Y[:60]), epochs=1)
    assert not caplog.messages
    fit(plan="boosting", best_checkpoint=True, epochs=1)
    assert caplog.messages == [
        "best_checkpoint has no effect: the plan boosting judges stages instead of epochs"
    ]


def test_members_are_saved_and_loaded(tmp_path) -> None:
    ensemble = Ensemble(fit()).fit(X, Y, method="weighted")
    ensemble.save(tmp_path / "saved")
    again = Ensemble.load(tmp_path / "saved", nets={name: Net() for name in ensemble.names})
    np.testing.assert_array_equal(again.predict(X), ensemble.predict(X))


@pytest.mark.parametrize("plan", ["single", "bagging", "averaging"])
def test_stacked_fits_have_the_same_result(plan, monkeypatch) -> None:
    alone = fit(plan=plan, together="none", optimizer="sgd")
    called = []
    monkeypatch.setattr(ways, "train_together", lambda jobs: called.append(jobs) or train_together(jobs))
    stacked = fit(plan=plan, together="stacked", optimizer="sgd")
    assert len(called[0]) == 3
    for one, other in zip(alone, stacked, strict=True):
        np.testing.assert_allclose(one.predict(X), other.predict(X), atol=1e-4)


@pytest.mark.parametrize(("speedup", "same"), [(2.0, True), (2.0, False), (1.0, True)])
def test_fits_are_stacked_where_a_trial_is_faster_and_the_same(speedup, same, monkeypatch) -> None:
    called = []
    monkeypatch.setattr(ways, "compare", lambda jobs: Comparison(speedup, same))
    monkeypatch.setattr(ways, "train_together", lambda jobs: called.append(jobs) or train_together(jobs))
    fit(epochs=1, batch_size=100)
    assert not called  # too short for a trial
    monkeypatch.setattr(ways, "SHARE", 10)
    fit(epochs=1)
    assert bool(called) == (speedup > 1 and same)


class Noisy(Net):
    """Draws random numbers from its fifth step on."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        return super().forward(x) + (torch.rand(()) if self.training and self.steps > 4 else 0)


@pytest.mark.parametrize(("build", "least"), [(Net, 0), (Net, 1e9), (Noisy, 0)])
def test_fits_at_once_have_the_bytes_of_those_in_turns(build, least, monkeypatch, caplog) -> None:
    """Networks that turn out to draw random numbers are trained again, in turns."""
    called, real = [], ways.train_at_once
    monkeypatch.setattr(ways, "train_at_once", lambda *args: called.append(args) or real(*args))
    monkeypatch.setattr(at_once, "LEAST", least)
    monkeypatch.setattr(at_once, "TRIAL", 0.01)
    before, found = torch.get_num_threads(), []
    try:
        torch.set_num_threads(2)
        found.append(fit(plan="bagging", build=build))
        torch.set_num_threads(1)
        found.append(fit(plan="bagging", build=build, workers=1))
    finally:
        torch.set_num_threads(before)
    assert [division for _, division in called] == [Division(2, 1)]
    assert ("since networks draw random numbers" in caplog.text) == (build is Noisy)
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one.predict(X), other.predict(X))
    [one, other] = ([[row["train_loss"] for row in rows] for rows in each.history] for each in found)
    assert one == other


def test_a_signal_ends_fits_at_once(monkeypatch) -> None:
    asked, threads = [], threading.active_count()
    monkeypatch.setattr(at_once, "LEAST", 0)
    monkeypatch.setattr(at_once, "TRIAL", 0.01)
    monkeypatch.setattr(interrupt, "requested", lambda: asked.append(1) or len(asked) > 60)
    with pytest.raises(KeyboardInterrupt):
        fit(workers=2, epochs=1000)
    assert threading.active_count() == threads


def test_networks_that_share_a_parameter_are_trained_in_turns(caplog) -> None:
    found = []
    for workers in (1, 2):
        torch.manual_seed(0)
        shared = nn.Linear(2, 2)
        members = fit(build=lambda: nn.Sequential(Net(), shared), workers=workers)  # noqa: B023
        found.append(members[2].predict(X))
    np.testing.assert_array_equal(*found)
    assert "repeated one after the other, since networks share parameters" in caplog.text


@pytest.mark.parametrize("together", ["none", "stacked"])
def test_an_error_of_a_network_in_training_is_quoted_with_the_shape_of_its_inputs(together) -> None:
    class Fails(Net):
        def forward(self, x):
            if self.training:
                raise RuntimeError("no such axis")
            return super().forward(x)

    with pytest.raises(CommitteeError) as caught:
        fit(build=Fails, together=together)
    text = "member_1/fit: expected a network that accepts inputs [30, 6], got no such axis."
    assert str(caught.value) == text


def test_the_state_of_torch_is_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    fit(n=1, epochs=1)
    assert torch.rand(1) == expected


def test_a_divergence_is_rolled_back(monkeypatch) -> None:
    class Failing(Net):
        def forward(self, inputs):
            found = super().forward(inputs)
            steps.append(1)
            return found * float("nan") if len(steps) == 16 and self.training else found

    steps = []
    [member] = fit(n=1, build=Failing, together="none")
    assert member.provenance["rollbacks"] == 1 and np.isfinite(member.predict(X)).all()


ONE = Net()
NAN = X.clone()
NAN[3, 2] = float("nan")


@pytest.mark.parametrize(
    ("train", "options", "message"),
    [
        ((X, Y), {"workers": 0}, "workers: expected at least 1, got 0."),
        (
            (X, Y),
            {"workers": 2, "build": lambda: nn.Sequential(Net(), nn.Dropout(0.1))},
            "workers: expected 1 or 'auto' for networks that draw random numbers in training, as dropout does"
            ", got 2. They are trained one after the other, since threads would draw from one generator.",
        ),
        ((X, Y), {"weights": [1.0, 2.0]}, "weights: expected 240 numbers, one for each input, got [2]."),
        (
            (X, Y),
            {"weights": -X[:, 0]},
            "weights: expected finite numbers that are at least 0, got 117 others.",
        ),
        ((X, Y), {"weights": 0 * Y}, "weights: expected a weight above zero, got all weights are zero."),
        ((X, Y), {"weights": ["heavy"]}, "weights: expected an array of numbers, got ['heavy']."),
        ((X, Y[:9]), {}, "train: y: expected 240 labels, one for each input, got 9."),
        (
            (NAN, Y),
            {},
            "train: X: expected finite numbers of float32, got NaN or infinity in 1 of 240 rows, the ",
        ),
        (
            (X.long(), Y),
            {},
            "train: X: expected floating-point numbers, or square images uint8 [N, c, S, S], got int64 "
            "[240, 6]. Convert them: X.float() of a tensor, X.astype('float32') of an array.",
        ),
        (
            (X[:, 0], Y),
            {},
            "train: X: expected at least one row, with axes [N, ...], got an array [240]. Give "
            "a single feature an axis: X[:, None].",
        ),
        (
            (X, torch.zeros(240, 3).long()),
            {},
            "train: y: expected one class for each row, got an array "
            "[240, 3]. Give the class of each row: y.argmax(1).",
        ),
        (
            (X, torch.eye(2)[Y]),
            {},
            "train: y: expected classes [N], or numbers, got an array [240, 2] whose rows are shares that "
            "sum to 1, as one-hot classes are. Of classes, give that of each row: y.argmax(1); to predict "
            "the shares as numbers, say so: task='regression'.",
        ),
        (
            (X, np.array(["a", None, "b"] * 80)),
            {},
            "train: y: expected a label for each row, got None or NaN in 80 of 240 rows, the first of which "
            "is row 2. Leave out the rows without a label.",
        ),
        (
            (X, np.array(["a", 1, "b"] * 80, object)),
            {},
            "train: y: expected labels of one type, got int and str. Convert them: y.astype(str).",
        ),
        ((X, Y), {"seed": "1"}, "seed: expected a whole number, got '1'."),
        ((X, Y), {"class_names": 2}, "class_names: expected a sequence of names, got 2."),
        (
            (X, torch.ones(240).long()),
            {},
            "train: y: expected labels of at least two classes, got one class, '1'.",
        ),
        (
            X,
            {},
            "train: expected a pair (X, y), or a loader of such pairs, got Tensor. Pass inputs and labels "
            "as a tuple.",
        ),
        ([(X,)], {}, "train: expected a loader of pairs of inputs and labels, got 1 values."),
        ([], {}, "train: expected at least one batch, got an empty loader."),
        (
            (X, NUMBERS * float("nan")),
            {"build": lambda: Net(1)},
            "train: y: expected a finite number for each "
            "row and target, got NaN or infinity in 240 of 240 rows, the first of which is row 1.",
        ),
        (
            (X, Y),
            {"build": lambda: Net(3)},
            "build: expected a network of 2 outputs, for the classes '0', "
            "'1', got one of 3. Name all of its classes: class_names=[...].",
        ),
        (
            (X, Y),
            {"build": Net()},
            "build: expected a function that returns a new network each time, got a Net. Pass a class",
        ),
        ((X, Y), {"build": lambda: 3}, "build: expected a function that returns an nn.Module, got 3."),
        (
            (X, Y),
            {"build": lambda: ONE},
            "build: expected a new network each time, got the same one again.",
        ),
        (
            (X, Y),
            {"build": lambda: Net(2, 5)},
            "member_1: expected a network from inputs, float [4, 6], to logits, got RuntimeError",
        ),
        (
            (X, Y.float()),
            {"build": lambda: Net(2)},
            "build: expected a network of as many numbers for each input as there are targets, 1, got 2. If "
            "y are classes, give them as whole numbers or names, or say so: task='classification'.",
        ),
        (
            (X, NUMBERS),
            {"build": lambda: Net(1), "loss": "gaussian_nll"},
            "build: expected a network of twice as many numbers for each input as there are targets, 1, "
            "got 1.",
        ),
        (
            (X, torch.arange(240) % 3),
            {},
            "build: expected a network of 3 outputs, for the classes '0', '1', '2', got one of 2. Give it "
            "one for each.",
        ),
        (
            (PHOTOS[:, 0], Y),
            {},
            "train: X: expected floating-point numbers, or square images uint8 [N, c, S, S], got uint8 "
            "[240, 4, 4]. Give images of one channel an axis: X[:, None].",
        ),
        (
            (PHOTOS.transpose(0, 2, 3, 1), Y),
            {},
            "train: X: expected floating-point numbers, or square images uint8 [N, c, S, S], got uint8 "
            "[240, 4, 4, 3]. Move the axis of the channels: permute(0, 3, 1, 2) of a tensor, transpose of an "
            "array.",
        ),
        (
            (X, Y),
            {"build": lambda: nn.LazyLinear(2)},
            "build: expected a network whose weights have a size, got lazy layers. Call it once before you ",
        ),
        (
            (X, Y),
            {"build": lambda: Net().requires_grad_(False)},
            "build: expected a network with weights to train, got one whose weights are all frozen.",
        ),
        ((X, Y), {"class_names": ["a", "a"]}, "class_names: expected distinct names, got 'a' twice."),
        ((X, Y, Y), {}, "train: expected a pair (X, y), or a loader of such pairs, got a tuple of 3."),
        ((X, Y), {"n": 0}, "n: expected at least 1, got 0."),
        ((X, Y), {"n": "3"}, "n: expected a whole number, got '3'."),
        ((X, Y), {"batch_size": 2.5}, "batch_size: expected a whole number, got 2.5."),
        (
            (X, Y),
            {"plan": "stacking"},
            "plan: expected one of averaging, bagging, boosting, single, snapshot, got 'stacking'.",
        ),
        (
            (X, Y),
            {"plan": "soup"},
            "plan: expected one of averaging, bagging, boosting, single, snapshot, got 'soup'.",
        ),
        (
            (X, Y),
            {"plan": {"name": "bagging", "networks": 3}},
            "plan bagging: expected no option networks, got one. Give it as n.",
        ),
        (
            (X, Y),
            {"plan": "snapshot", "epochs": 4},
            "epochs: expected a multiple of n=3, since each snapshot has a cycle of its own, got 4.",
        ),
        ((X, Y), {"epoch": 4}, "fit_members: expected settings of training among plan, epochs, "),
        ((X, Y), {"epochs": 0}, "epochs: expected a number not less than 1, got 0."),
        (
            (X, Y),
            {"optimizer": "adam"},
            "optimizer: expected one of adamw, sgd, got 'adam'. Did you mean 'adamw'?",
        ),
        ((X, Y), {"augment": "mild"}, "augment: expected none for inputs of a floating type, got 'mild'."),
        ((X, Y), {"val": (X[:5], Y[:5] + 3)}, "val: y: expected the classes '0', '1', got '3', '4'."),
        (
            (X, Y),
            {"val": (X[:5, :4], Y[:5])},
            "val: X: expected inputs as those of train, float32 [N, 6], got float32 [N, 4].",
        ),
        (
            (X, Y),
            {"val": (X, Y), "plan": "snapshot"},
            "val: expected none, got validation rows. The plan snapshot derives",
        ),
        ((X, Y), {"task": "ranking"}, "task: expected one of classification, regression, got 'ranking'."),
        (
            (X, Y),
            {"loss": "mse"},
            "member_1: training.loss: expected a loss of classes: cross_entropy, got 'mse'.",
        ),
        (
            (X, Y),
            {"class_names": ["a", "b"], "val": (X, Y + 1)},
            "val: y: expected positions of classes, from 0 to 1, got '2'.",
        ),
    ],
)
def test_what_cannot_work_is_one_sentence_before_any_training(train, options, message, monkeypatch) -> None:
    monkeypatch.setattr(ways, "train_job", lambda *_: pytest.fail("a fit was started"))
    with pytest.raises(CommitteeError) as caught:
        fit(train, **copy.copy(options))
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)

"""Plans on a data set of numbers, and the worked example of bagged stumps."""

import numpy as np
import pytest

from committee.combiners import SoftVoting
from committee.errors import RecipeError, UsageError
from committee.images.dataset import open_dataset
from committee.models.ensemble import Ensemble
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store
from committee.training.crossfit.crossfit import CrossFit
from committee.training.plans.averaging import Averaging
from committee.training.plans.bagging import Bagging
from committee.training.plans.boosting import Boosting
from committee.training.plans.single import Single
from committee.training.plans.snapshot import Snapshot

SHORT = ("training.epochs=2", "training.lr=0.01", "training.early_stop.patience=null")


def make_numbers(folder, scale=1.0, targets=("ink", "left"), rows=90):
    """Digits, whose targets are the mean of their pixels, and that of their left half."""
    from sklearn.datasets import load_digits

    images = (load_digits().images[:rows] * 15.9).astype(np.uint8)
    values = {"ink": images.mean((1, 2)) * scale, "left": images[:, :, :4].mean((1, 2)) * 10}
    folder.mkdir(exist_ok=True)
    np.savez(folder / "ink.npz", images=images, **values)
    settings = Settings(
        path=str(folder / "ink.npz"), targets=list(targets), units={"ink": "gray"}, channels=1, num_workers=0
    )
    return open_dataset(settings, Store(folder / "store"), img_sizes=[8], folds=3, seed=0)


@pytest.fixture(scope="module")
def ink(tmp_path_factory):
    return make_numbers(tmp_path_factory.mktemp("ink"))


@pytest.fixture
def dataset(ink):
    """The data set of the contract of plans."""
    return ink


def test_a_plan_of_numbers_keeps_the_contract(making, ink, store, cpu, contract):
    made = contract(Boosting(making.make_spec(*SHORT), ink, store, cpu, stages=2))
    assert all(member.task.key == "regression" for member in made.values())


def run(plan, rows=None):
    rows = plan.dataset.rows("train") if rows is None else rows
    return plan.run(rows, "refit", fingerprint="x")


def test_a_data_set_of_numbers_has_folds_with_the_same_spread(ink):
    assert ink.labels.shape == (90, 2) and ink.class_names == ("ink", "left") and ink.units == ("gray", "")
    train = ink.rows("train")
    means = [ink.labels[train[ink.folds[train] == fold], 0].mean() for fold in range(3)]
    assert max(means) - min(means) < 0.2 * ink.labels[:, 0].std()


@pytest.mark.parametrize(
    "make",
    [
        Single,
        lambda *given: Bagging(*given, networks=2),
        lambda *given: Snapshot(*given, n_snapshots=2, epochs_per_cycle=1),
        lambda *given: Averaging(*given, num_batches=2),
        lambda *given: Boosting(*given, stages=2),
    ],
    ids=["single", "bagging", "snapshot", "averaging", "boosting"],
)
def test_a_plan_predicts_numbers_in_their_units(make, making, ink, store, cpu):
    plan = make(making.make_spec(*SHORT), ink, store, cpu)
    plan.check()
    made = run(plan)
    assert set(made) == {plan.name, *plan.others}
    for member in made.values():
        assert member.task.key == "regression" and member.class_names == ("ink", "left")
        values = plan.predict(member, ink.rows("test"), "refit")
        error = np.abs(values.mean(0) - ink.labels.mean(0)) / ink.labels.std(0)
        assert values.dtype == np.float32 and (error < 1).all(), error


def test_a_loss_with_variances_passes_the_check_and_is_trained(making, ink, store, cpu):
    plan = Single(making.make_spec(*SHORT, "training.loss=gaussian_nll"), ink, store, cpu)
    plan.check()
    values = plan.predict(run(plan)[plan.name], ink.rows("test"), "refit")
    assert values.shape == (len(ink.rows("test")), 2, 2) and (values[..., 1] > 0).all()


def test_predictions_do_not_depend_on_the_unit(making, store, cpu, tmp_path):
    found = []
    for number, scale in enumerate((1.0, 2.0**20)):
        data = make_numbers(tmp_path / str(number), scale, targets=["ink"])
        member = run(Single(making.make_spec(*SHORT), data, Store(tmp_path / f"s{number}"), cpu))
        found.append(
            Single.predict(
                Single(making.make_spec(*SHORT), data, store, cpu), *member.values(), data.rows("test"), "x"
            )
            / scale
        )
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)


def test_stages_of_numbers_are_fitted_to_residuals(making, ink, store, cpu):
    """Friedman 2001: the sum of the first network and the shrunk corrections fits the rows better."""
    spec = making.make_spec("training.epochs=4", "training.lr=0.02")
    plan = Boosting(spec, ink, store, cpu, stages=3, patience=3)
    made = plan.run(ink.rows("train"), "refit", fingerprint="x", epochs=3)[plan.name]
    assert made.weights.tolist() == [1.0, 0.5, 0.5] and not made.votes
    rows = ink.rows("train")
    first = plan.predict(made.parts[0], rows, "refit")
    errors = [
        np.square((each - ink.labels[rows]) / ink.labels.std(0)).mean()
        for each in (first, plan.predict(made, rows, "refit"))
    ]
    assert errors[1] < errors[0]
    residuals = (ink.labels[rows] - first).mean(0)
    np.testing.assert_allclose(made.parts[1].network.output.shift, residuals, rtol=1e-4, atol=1e-3)


def test_what_numbers_do_not_have_is_named(making, ink, store, cpu):
    plan = Single(
        making.make_spec("training.label_smoothing=0.1", "training.sampler=balanced"), ink, store, cpu
    )
    assert plan.unused() == dict.fromkeys(("label_smoothing", "sampler"), "numbers have no classes")
    for words, message in (
        (
            "training.loss=cross_entropy",
            "training.loss: expected a loss of numbers: gaussian_nll, huber, mae, mse, got 'cross_entropy'. "
            "Leave it out, which means mse.",
        ),
        (
            "training.early_stop.metric=accuracy",
            "training.early_stop.metric: expected one of rmse, mae, r2, for numbers, got 'accuracy'. "
            "Leave it out, which means rmse.",
        ),
    ):
        with pytest.raises(RecipeError) as caught:
            Single(making.make_spec(words), ink, store, cpu)
        assert str(caught.value) == f"tiny_nets_tiny: {message}"
    with pytest.raises(UsageError, match="method of boosting: expected one of gradient, got 'samme'"):
        Boosting(making.make_spec(), ink, store, cpu, method="samme")


@pytest.fixture
def points(tmp_path):
    """Six points, dark images with small numbers and bright ones with large numbers, and one to predict."""
    dark, bright = [0, 10, 20], [235, 245, 255]
    images = np.array([*dark, *bright, 240], np.uint8)[:, None, None] * np.ones((1, 8, 8), np.uint8)
    numbers = np.array([2.0, 3.0, 4.0, 15.0, 12.0, 9.0, 11.0])
    np.savez(tmp_path / "points.npz", images=images, y=numbers, splits=["train"] * 6 + ["test"])
    settings = Settings(path=str(tmp_path / "points.npz"), targets=["y"], channels=1, num_workers=0)
    return open_dataset(settings, Store(tmp_path / "points"), img_sizes=[8], folds=2, seed=0)


def test_the_worked_example_of_bagged_stumps(points, making, store, cpu):
    """Three bootstrap samples of six points; stumps that predict 11, 11 and 10; their mean, 10.67."""
    words = (
        "seed=730",
        "training.epochs=1",
        "training.optimizer=sgd",
        "training.momentum=0",
        "training.lr=1",
        "training.weight_decay=0",
        "training.clip_grad=null",
        "training.scheduler=constant",
        "training.warmup_epochs=0",
        "training.augment=none",
        "models=[{name: 'python:stump_nets:stump', as: stump}]",
    )
    plan = Bagging(making.make_spec("backbones.include=[]", *words), points, store, cpu, networks=3)
    drawn = [np.bincount(bag, minlength=6).tolist() for bag in plan.bags(points.rows("train"), "refit")]
    assert drawn == [[1, 1, 1, 0, 2, 1], [1, 0, 2, 1, 0, 2], [0, 2, 1, 0, 1, 2]]
    fits = CrossFit(plan, store)
    with store.hold():
        fits.make("refit")
        fits.finish()
    bag = Ensemble.load(store.checkpoint("stump", "refit"), trusted=True)
    image = points.images(points.rows("test"))
    votes = bag.member_logits(image)
    assert votes[:, 0, 0].tolist() == pytest.approx([11, 11, 10], abs=1e-4)
    assert isinstance(bag.combiner, SoftVoting)
    assert bag.predict(image)[0, 0] == pytest.approx(32 / 3, abs=1e-4)


def test_soups_of_numbers(making, ink, store, cpu):
    """The average of networks of other folds, whose targets have other means, is in the units too."""
    from committee.training.fit.weight_averager import SoupContext, WeightAverager

    spec, rows = making.make_spec("training.epochs=2", "training.lr=0.01"), ink.rows("train")
    parts = {
        name: Single(spec, ink, store, cpu).run(rows[start::2], name, fingerprint=name)[spec.name]
        for start, name in enumerate(("fold_0", "fold_1"))
    }
    context = SoupContext(ink, rows, rows, 32, cpu, True, 2, 0)
    averager = WeightAverager(parts, context, "soup")
    blended = averager.blend(dict.fromkeys(parts, 0.5))
    shifts = [each.network.output.shift for each in (*parts.values(), blended)]
    np.testing.assert_allclose(shifts[2], np.mean(shifts[:2], axis=0))
    assert averager.loss(blended) < 1.2 and averager.metric == "standardized_rmse"

"""Every key of `training` has an effect on every plan, or is named as one without."""

import pytest

from committee.errors import RecipeError
from committee.pipeline.shared.to_train import _warn_of_unused
from committee.recipe.load import load_recipe
from committee.recipe.starter import starter
from committee.recipe.training import Fit
from committee.training.plans.base import PLANS
from committee.training.plans.shared import of_backbone
from committee.training.plans.single import Single

OF_BACKBONE = [name for name in PLANS.names() if PLANS.load(name).section == "training.plan"]
OTHER = {
    "epochs": 7,
    "head_epochs": 2,
    "optimizer": "sgd",
    "scheduler": "constant",
    "cycle_epochs": 3,
    "warmup_epochs": 0.5,
    "lr": 0.5,
    "body_lr": 0.5,
    "weight_decay": 0.5,
    "momentum": 0.5,
    "label_smoothing": 0.5,
    "class_weights": "balanced",
    "sampler": "balanced",
    "augment": "{flip: false}",
    "precision": "fp32",
    "channels_last": "true",
    "ema": 0.5,
    "clip_grad": 0.5,
    "early_stop": "{patience: 2}",
    "best_checkpoint": "true",
    "inference": "folds",
    "shared_start": "false",
    "start_seed": 4,
    "pretrained": "true",
    "crops_per_image": 3,
    "output_stride": 4,
}
"""A value other than the default for each key."""


class Seen(Exception):
    """Raised in place of a fit, with the settings that it would use."""


@pytest.fixture
def plan(making, dataset, store, cpu, monkeypatch):
    def fit(job):
        raise Seen(job.spec)

    monkeypatch.setattr(of_backbone, "train_job", fit)

    def make(name, *overrides):
        given = {"spec": making.make_spec(*overrides), "dataset": dataset, "store": store, "device": cpu}
        return PLANS.make(name, **given)

    return make


@pytest.mark.parametrize("name", OF_BACKBONE)
def test_a_key_is_used_or_named(plan, dataset, name):
    assert {"plan", "loss", *OTHER} == set(Fit.model_fields)
    for key, value in OTHER.items():
        made = plan(name, f"training.{key}={value}")
        with pytest.raises(Seen) as seen:
            made.run(dataset.rows("train"), "fold_0", fingerprint="x")
        (spec,) = seen.value.args
        used = getattr(made if key == "inference" else spec.training, key)
        assert (used == getattr(made.given, key)) == (key not in made.unused()) or key in {
            *INEFFECTIVE,
            *OF_MAPS,
        }, key


OF_MAPS = ("crops_per_image", "output_stride")


@pytest.mark.parametrize("key", OF_MAPS)
def test_keys_of_maps_have_no_effect_on_images_with_one_label(plan, key):
    assert plan("single", f"training.{key}=4").unused() == {key: "images have one label, and no masks"}
    assert key not in plan("single").settings()["training"]


INEFFECTIVE = {
    "cycle_epochs": ("training.scheduler=cyclic", "the scheduler cosine has no cycles"),
    "momentum": ("training.optimizer=sgd", "the optimizer adamw has none"),
    "head_epochs": (
        "training.pretrained=true",
        "the initial weights are random, so there are no epochs in which only the head is trained",
    ),
    "inference": ("training.folds=3", "there are no fold networks"),
}


@pytest.mark.parametrize("key", INEFFECTIVE)
def test_a_key_that_another_makes_ineffective(plan, key):
    needs, why = INEFFECTIVE[key]
    setting = f"training.{key}={OTHER[key]}"
    assert plan("single", "training.folds=0", setting).unused() == {key: why}
    assert plan("single", "training.folds=0", setting, needs).unused() == {}
    assert key not in plan("single", "training.folds=0").unused(), "a default is no setting of the recipe"


def test_the_log_names_them_with_the_reason(plan, caplog):
    words = ("training.plan.name=snapshot", "training.early_stop={patience: 1}", "training.ema=0.9")
    _warn_of_unused(plan("snapshot", *words))
    assert (
        "tiny_nets_tiny: training.epochs, training.ema, training.early_stop have no effect: the plan "
        "snapshot derives epochs and schedule from its cycles, and keeps the weights at their ends"
        in caplog.text
    )


def test_how_belongs_to_samme(making, dataset, store, cpu):
    options = {"method": "gradient", "how": "resample"}
    spec = making.make_spec("training.plan={name: boosting, method: gradient, how: resample}")
    made = PLANS.make("boosting", spec=spec, dataset=dataset, store=store, device=cpu, **options)
    assert made.unused() == {"plan.how": "gradient boosting has no weights of rows"}


def test_the_weight_of_a_class_that_does_not_exist_is_refused(making, dataset, store, cpu):
    spec = making.make_spec("training.class_weights={'0': 2.0, seven: 2.0}")
    said = (
        r"tiny_nets_tiny: training\.class_weights: expected names of classes, such as '0', '1', '2', '3', "
        r"'4' and 5 more, got 'seven'\."
    )
    with pytest.raises(RecipeError, match=said):
        Single(spec, dataset, store, cpu)


@pytest.mark.parametrize("pretrained", ["true", "false"])
def test_a_starter_recipe_sets_nothing_without_effect(plan, tmp_path, pretrained):
    path = tmp_path / "recipe.yaml"
    path.write_text(starter(), encoding="utf-8")
    given = load_recipe(path).training.model_fields_set
    words = [f"training.{key}={OTHER[key]}" for key in ("cycle_epochs", "momentum", "head_epochs")]
    named = plan("single", *words, f"training.pretrained={pretrained}", "training.crops_per_image=2").unused()
    assert len(named) > 2 and not given & set(named)

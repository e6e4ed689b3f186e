"""Recipes load, or raise an error that names the key, the place and the valid values."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from committee.base.registry import Family
from committee.errors import CommitteeError, RecipeError, UsageError
from committee.recipe.extension import recipe_type
from committee.recipe.load import complete, load_recipe
from committee.recipe.yaml_text import parse

DATA = Path(__file__).parent / "data"
MORE = f"{len(recipe_type().model_fields) - 3} more"
"""The keys of a recipe that an error does not list: it lists 8 of them and of five short forms."""
TOP = f"project, device, workers, seed, dataset, training, backbones, tracking and {MORE}"


def message(tmp_path: Path, text: str) -> str:
    """Return the error of loading `text`, without the folder of the file."""
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.value.exit_code == 2
    return (
        str(caught.value).replace(f"{tmp_path}", "").replace("/recipe.yaml", "recipe.yaml").replace("\\", "")
    )


def test_no_recipe_is_all_defaults() -> None:
    recipe = load_recipe()
    assert recipe == recipe_type()()
    assert (recipe.training.folds, recipe.training.epochs, recipe.training.inference) == (5, 20, "refit")
    assert [each.name for each in recipe.exports.formats] == ["state_dict", "checkpoint", "onnx"]
    assert [method.combiner for method in recipe.runs.score_ensemble.methods] == [
        "soft_voting",
        "hard_voting",
        "logit_averaging",
        "weighted",
    ]
    assert not recipe.dataset.is_named
    assert recipe.members() == []


@pytest.mark.parametrize(
    ("file", "restrict_to_used"),
    [
        ("orchestration.yaml", "backbones.include=[timm:test_resnet]"),
        ("short.yaml", "models=[{name: timm:test_resnet}]"),
    ],
)
def test_recipes_in_the_layouts_people_know_load_and_narrow(file: str, restrict_to_used: str) -> None:
    recipe = load_recipe(DATA / file, ["dataset.name=digits", restrict_to_used])
    (member,) = recipe.members()
    assert (member.name, member.backbone, member.img_size) == ("test_resnet", "timm:test_resnet", 224)
    assert recipe.dataset.is_named


def test_the_long_layout_names_all_its_backbones() -> None:
    recipe = load_recipe(DATA / "orchestration.yaml")
    assert len(recipe.members()) == 15
    assert recipe.runs.score_ensemble.optimization_metric == "f1_macro"


def test_the_short_layout_spreads_into_the_sections() -> None:
    recipe = load_recipe(DATA / "short.yaml")
    assert (recipe.seed, recipe.dataset.img_size, recipe.dataset.batch_size, recipe.dataset.n_classes) == (
        2025,
        224,
        32,
        4,
    )
    assert (recipe.training.folds, recipe.training.epochs) == (5, 20)
    assert [(member.name, member.training.lr) for member in recipe.members()] == [
        ("resnet50", 3e-4),
        ("densenet121", 3e-4),
        ("efficientnet_b0", 2e-4),
    ]


def test_an_empty_file_an_empty_section_and_a_byte_order_mark_are_fine(tmp_path: Path) -> None:
    for text in ("", "# nothing\n", "training:\n", "\ufefftraining: {epochs: 20}"):
        (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
        assert load_recipe(tmp_path / "recipe.yaml") == recipe_type()()


def invalid_recipes() -> list[tuple[str, str]]:
    """Return the recipes of data/invalid_recipes.txt and the error of each, with the names of families."""
    text = (DATA / "invalid_recipes.txt").read_text(encoding="utf-8")
    combiners = Family("committee.combiners", "combiner").names()
    exporters = Family("committee.exporters", "export format")
    choices = {
        "{learners}": [name.removeprefix("stacking_") for name in combiners if name.startswith("stacking_")],
        "{readers}": Family("committee.images.readers", "reader").names(),
        "{formats}": sorted(exporters.names()),
        "{more}": [MORE],
        "{onnx}": sorted(exporters.options("onnx")) or ["none"],
    }
    for place, names in choices.items():
        text = text.replace(place, ", ".join(names))
    blocks = text.strip().split("\n\n")
    return [(text.strip(), sentence) for text, _, sentence in (block.partition("=> ") for block in blocks)]


@pytest.mark.parametrize(("text", "sentence"), invalid_recipes())
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    assert message(tmp_path, text) == sentence


def test_a_value_given_twice_and_alike_is_fine(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("epochs: 3\ntraining: {epochs: 3}")
    assert load_recipe(tmp_path / "r.yaml").training.epochs == 3


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    absent, binary = tmp_path / "absent.yaml", tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError) as caught:
        load_recipe(absent)
    assert str(caught.value) == (
        f"{absent}: the file does not exist. Write one with: committee init {absent}"
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(binary)
    assert str(caught.value) == f"{binary}: expected text in UTF-8, got other bytes."


@pytest.mark.parametrize(
    ("assignment", "sentence"),
    [
        ("training.lr=-1", "training.lr: expected a number greater than 0, got -1. (--set training.lr=-1)"),
        (
            "trainin.lr=1",
            f"recipe: expected a key among {TOP}, "
            "got 'trainin'. Did you mean 'training'? (--set trainin.lr=1)",
        ),
        (
            "models[3].lr=1",
            "models: expected a list with more than 3 entries, got a list of 3. (--set models[3].lr=1)",
        ),
        ("seed.x=3", "seed: expected a mapping, got 2025. (--set seed.x=3)"),
        (
            "training.lr=[",
            "recipe: invalid YAML: expected the node content, but found '<stream end>'. "
            "(--set training.lr=[)",
        ),
        ("epochs", "--set: expected KEY=VALUE, such as training.epochs=5, got 'epochs'."),
        ("=5", "--set: expected KEY=VALUE, such as training.epochs=5, got '=5'."),
        ("a..b=5", "--set: expected KEY=VALUE, such as training.epochs=5, got 'a..b=5'."),
    ],
)
def test_a_wrong_override_is_said_in_one_sentence(assignment: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(DATA / "short.yaml", [assignment])
    assert str(caught.value) == sentence


def test_overrides_replace_one_value_each_in_order() -> None:
    recipe = load_recipe(
        DATA / "short.yaml",
        [
            "epochs=3",
            "training.epochs=4",
            "models[1].lr=1e-2",
            'overrides."hf-hub:a/b.c".epochs=7',
            "dataset.path=",
            "training.augment={flip: false}",
            "dataset.name=a=b",
        ],
    )
    assert recipe.training.epochs == 4
    assert [member.training.lr for member in recipe.members()] == [3e-4, 1e-2, 2e-4]
    assert recipe.overrides["hf-hub:a/b.c"].epochs == 7
    assert recipe.dataset.path is None
    assert recipe.dataset.name == "a=b"
    assert not recipe.training.augment.flip


def test_an_override_leaves_what_an_alias_shares_alone(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("overrides: {a: &one {lr: 1}, b: *one}")
    recipe = load_recipe(tmp_path / "r.yaml", ["overrides.a.lr=2"])
    assert (recipe.overrides["a"].lr, recipe.overrides["b"].lr) == (2, 1)


def test_a_name_that_means_no_backbone_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_recipe(None, ["models=[resnet18]", "overrides.resnet81.lr=1", "backbones.exclude=[resnet18]"])
    assert caplog.messages == [
        "overrides: 'resnet81' is none of this recipe's backbones. Did you mean 'resnet18'?"
    ]


def test_names_of_the_file_may_mean_its_own_backbones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "backbones: {include: [resnet18, resnet50], exclude: [resnet50]}\noverrides: {resnet18: {lr: 1}}"
    )
    with caplog.at_level(logging.WARNING):
        load_recipe(path, ["backbones.include=[resnet34]"])
        assert caplog.messages == []
        load_recipe(path, ["backbones.include=[resnet34]", "backbones.exclude=[nobody]"])
    assert caplog.messages == ["backbones.exclude: 'nobody' is none of this recipe's backbones."]


PIECES = [
    "training",
    "models",
    "runs",
    "epochs",
    "lr",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "- ",
    "\n",
    "  ",
    "&a ",
    "*a",
    ",",
    "'",
    '"',
    "!!int ",
    "|",
    ">",
    "#",
    "? ",
    "3",
    "1e3",
    "null",
    "~",
    "\t",
    "%YAML 1.1\n",
    "---\n",
    "...\n",
    "<<",
    "=",
    "name",
    "score_ensemble",
    "methods",
    "combiner",
    "soft_voting",
    "0x",
    ".inf",
]


def test_a_name_that_means_one_member_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        load_recipe(None, ["models=[{name: timm:a, as: b, seeds: [1, 2]}]", "backbones.exclude=[b_s1, a]"])
    assert caplog.messages == []


def test_the_shipped_configuration_enables_every_section_of_fifteen_backbones() -> None:
    recipe = load_recipe(Path(__file__).parents[2] / "configs" / "ensemble_config.yaml")
    sections = [recipe.exports, recipe.pruning, recipe.distillation, *dict(recipe.runs).values()]
    assert all(section.enable for section in sections if section is not recipe.runs.members)
    assert len(recipe.members()) == 15


@given(st.one_of(st.text(max_size=200), st.lists(st.sampled_from(PIECES), max_size=40).map("".join)))
def test_no_text_raises_anything_but_our_own_errors(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(CommitteeError):
        load_recipe(path)


@given(
    st.text(max_size=60), st.sampled_from(["training.lr=", "models=", "", "runs.score_ensemble.methods[0]="])
)
def test_no_override_raises_anything_but_our_own_errors(text: str, start: str) -> None:
    with contextlib.suppress(CommitteeError):
        load_recipe(None, [start + text])


@given(st.data())
def test_a_recipe_with_one_piece_changed_loads_or_says_why(data: st.DataObject) -> None:
    lines = (DATA / "orchestration.yaml").read_text("utf-8").splitlines()
    index = data.draw(st.integers(0, len(lines) - 1))
    start = data.draw(st.integers(0, len(lines[index])))
    lines[index] = lines[index][:start] + data.draw(st.sampled_from(PIECES)) + lines[index][start + 1 :]

    with contextlib.suppress(CommitteeError):
        complete(parse("\n".join(lines), "r.yaml"))

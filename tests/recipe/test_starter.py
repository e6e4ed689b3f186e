"""The starter recipe and the JSON Schema say what the models say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from committee.recipe.load import load_recipe
from committee.recipe.model import Pruning, Recipe
from committee.recipe.schema import schema
from committee.recipe.section import Section
from committee.recipe.starter import starter
from committee.recipe.yaml_text import parse


def sections(model: type[Section]) -> Iterator[type[Section]]:
    yield model
    for inner in model.__subclasses__():
        yield from sections(inner)


def test_every_field_of_every_section_is_described() -> None:
    bare = [
        f"{model.__name__}.{name}"
        for model in sections(Section)
        for name, field in model.model_fields.items()
        if not (field.description or "").endswith(".")
    ]
    assert not bare


def test_the_starter_is_the_defaults_with_three_backbones_and_stacking(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(starter(), encoding="utf-8")
    recipe, default = load_recipe(path), Recipe()
    assert recipe.backbones.include == ["resnet50", "densenet121", "efficientnet_b0"]
    assert recipe.runs.stacking is not None
    for name in ("project", "device", "seed", "dataset", "training", "exports", "models", "overrides"):
        assert getattr(recipe, name) == getattr(default, name)
    assert recipe.runs.score_ensemble.methods == default.runs.score_ensemble.methods
    assert recipe.pruning == Pruning()


def test_the_starter_writes_what_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    told = [
        "dataset.path='a: b'",
        "models=[{name: no, as: x, lr: 1e-3}]",
        "training.class_weights={'1': 2.0, no: 1}",
        "runs.score_ensemble.methods=[soft_voting, {combiner: weighted, space: logit}]",
        "project.name='3'",
    ]
    path.write_text(starter(told), encoding="utf-8")
    recipe = load_recipe(path)
    assert recipe.dataset.path == "a: b"
    assert recipe.project.name == "3"
    assert recipe.training.class_weights == {"1": 2.0, "no": 1.0}
    assert [method.options for method in recipe.runs.score_ensemble.methods] == [{}, {"space": "logit"}]
    assert recipe.models[0].alias == "x"


def test_many_classes_are_a_range(tmp_path: Path) -> None:
    text = starter(["dataset.path=photos"], {f"class {n}": n + 1 for n in range(31)})
    assert "# 496 images of 31 classes: 1 to 31 of each.\n" in text
    text = starter(["dataset.path=photos"], {"a\nb: #": 1, "c": 2})
    assert "# 3 images of 2 classes: a\\nb: # 1, c 2.\n" in text
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    assert load_recipe(tmp_path / "r.yaml").dataset.path == "photos"


def test_the_schema_has_every_key_its_names_and_the_short_form() -> None:
    found = schema()
    assert set(Recipe.model_fields) < set(found["properties"])
    assert {"img_size", "n_classes", "folds", "batch_size", "epochs"} < set(found["properties"])
    assert found["additionalProperties"] is False
    assert "soft_voting" in found["$defs"]["Method"]["properties"]["combiner"]["enum"]
    assert "onnx" in str(found["$defs"]["Exports"]["properties"]["formats"])


@pytest.mark.parametrize("file", ["orchestration.yaml", "short.yaml"])
def test_known_recipes_are_valid_by_the_schema(file: str) -> None:
    text = (Path(__file__).parent / "data" / file).read_text(encoding="utf-8")
    jsonschema.validate(parse(text, file).value, schema())

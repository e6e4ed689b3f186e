"""The script of a bundle predicts what `committee predict` predicts."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import committee
from committee.exporters import base
from committee.pipeline.bundling.script import REQUIREMENTS, files
from committee.pipeline.bundling.subject import Subject
from committee.pipeline.bundling.triton import files as triton_files
from committee.pipeline.bundling.writing import write


def test_it_predicts_as_the_command(
    tmp_path: Path,
    subject: Callable[..., Subject],
    photos: list[Path],
    cli: Callable[..., Any],
    predicted: Callable[..., dict[str, Any]],
) -> None:
    made = subject()
    write({**files(made), **triton_files(made)}, tmp_path / "bundle.zip", "mean")
    write({**files(made), **triton_files(made)}, tmp_path / "bundle", "mean")
    names = json.loads((tmp_path / "bundle" / "class_names.json").read_text(encoding="utf-8"))
    assert tuple(names) == made.class_names
    photos[0].write_bytes(b"\xff\xd8\xff broken")
    for path in (tmp_path / "bundle", tmp_path / "bundle.zip"):
        ours = cli("predict", path, *photos, "--json")
        assert ours.code == 3
        found = {Path(each["id"]).name: each for each in json.loads(ours.out)["predictions"]}
        theirs = predicted(tmp_path / "bundle" / "predict.py", photos, code=3)
        assert len(found) == len(photos) - 1
        assert theirs == {name: list(each["probabilities"].values()) for name, each in found.items()}


def test_all_photos_unreadable_is_exit_code_1(
    tmp_path: Path, subject: Callable[..., Subject], predicted: Callable[..., dict[str, Any]]
) -> None:
    made = subject()
    write({**files(made), **triton_files(made)}, tmp_path / "bundle", "mean")
    assert predicted(tmp_path / "bundle" / "predict.py", [tmp_path / "no.jpg"], code=1) == {}


def test_it_is_the_script_of_exports_and_needs_what_the_extra_needs(subject: Callable[..., Subject]) -> None:
    made = files(subject())
    assert made["predict.py"] == Path(base.__file__).with_name("_predict_script.py")
    project = tomllib.loads(Path(committee.__file__).parents[2].joinpath("pyproject.toml").read_text("utf-8"))
    needed = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["onnx"]]
    assert set(REQUIREMENTS.split()) <= set(needed)

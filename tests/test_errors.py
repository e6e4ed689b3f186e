"""Every error message is one sentence, composed of the same parts."""

from __future__ import annotations

import sys

import pytest

from committee import errors


def test_a_message_has_its_four_parts_and_its_place() -> None:
    error = errors.RecipeError(
        "runs.stacking.meta_learners[1]",
        expected="one of lr, xgb, rf, mlp",
        got="'xgbost'",
        todo=errors.nearest("xgbost", ["lr", "xgb", "rf", "mlp"]),
        where="recipe.yaml:41:20",
    )
    assert str(error) == (
        "runs.stacking.meta_learners[1]: expected one of lr, xgb, rf, mlp, got 'xgbost'. "
        "Did you mean 'xgb'? (recipe.yaml:41:20)"
    )


def test_parts_left_out_leave_no_trace() -> None:
    assert str(errors.DataError("labels.csv: no row fits.")) == "labels.csv: no row fits."
    assert str(errors.DataError("a.png", got="a text file")) == "a.png: got a text file."


@pytest.mark.parametrize(
    ("leaf", "builtin", "code"),
    [
        (errors.UsageError, ValueError, 2),
        (errors.RecipeError, ValueError, 2),
        (errors.UnknownNameError, LookupError, 2),
        (errors.DeviceError, RuntimeError, 2),
        (errors.DataError, ValueError, 1),
        (errors.LeakError, ValueError, 1),
        (errors.StoreError, OSError, 1),
        (errors.DependencyError, ImportError, 1),
        (errors.TrainingError, RuntimeError, 1),
        (errors.ExportError, RuntimeError, 1),
    ],
)
def test_each_leaf_is_a_builtin_error_too(
    leaf: type[errors.CommitteeError], builtin: type[Exception], code: int
) -> None:
    error = leaf("the store", expected="x", got="y", todo="Do z.")
    assert isinstance(error, builtin)
    assert error.exit_code == code
    assert str(error) == "the store: expected x, got y. Do z."


def test_nearest_is_silent_when_nothing_is_near() -> None:
    assert errors.nearest("resnet", ["vit", "swin"]) == ""
    assert errors.nearest("ResNet18", ["resnet18"]) == "Did you mean 'resnet18'?"


def test_first_five_counts_the_rest() -> None:
    assert errors.first_five(["a"]) == "'a'"
    assert errors.first_five(range(7)) == "'0', '1', '2', '3', '4' and 2 more"


def test_a_missing_package_names_its_install_line() -> None:
    error = errors.require("pyarrow", "parquet", "reading a.parquet")
    assert str(error) == (
        "reading a.parquet: expected the package 'pyarrow', got none installed. "
        "Install it with: pip install 'committee[parquet]'"
    )


def test_a_path_that_cannot_be_read_is_named_with_the_reason() -> None:
    gone, locked = FileNotFoundError(2, "No such file or directory"), PermissionError(13, "Permission denied")
    assert str(errors.missing(errors.DataError, "x.csv")) == "x.csv: the file does not exist."
    assert str(errors.unreadable(errors.DataError, "x.csv", gone, "Give another.")) == (
        "x.csv: the file does not exist. Give another."
    )
    error = errors.unreadable(errors.StoreError, "photos", locked, "Change its permissions.", "folder")
    assert isinstance(error, errors.StoreError)
    assert str(error) == ("photos: the folder cannot be read (permission denied). Change its permissions.")


def test_a_package_that_is_forbidden_is_not_installed(monkeypatch) -> None:
    class Forbids:
        def find_spec(self, name, path=None, target=None):
            if name == "xgboost":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "xgboost", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Forbids(), *sys.meta_path])
    assert [errors.is_installed(name) for name in ("onnx", "xgboost", "torch")] == [False, False, True]

"""A model of a store becomes a bundle, which is verified, and made again only where something changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

FILES = [
    "README.md",
    "SHA256SUMS",
    "class_names.json",
    "predict.py",
    "requirements.txt",
    "triton/test_resnet/1/model.onnx",
    "triton/test_resnet/config.pbtxt",
    "triton/test_resnet/labels.txt",
    "web/index.html",
]


@pytest.fixture(scope="module")
def bundled(
    once: Callable[..., Path], trained_root: Path, tiny_settings: list[str]
) -> tuple[Path, list[object]]:
    """A store whose member test_resnet is exported and bundled, and the options that name it."""
    import shutil

    from committee.cli.main import main

    options = [*(word for value in tiny_settings for word in ("--set", value))]

    def fill(folder: Path) -> None:
        shutil.copytree(trained_root, folder / "store")
        words = ["bundle", "test_resnet", *options, "--store", str(folder / "store"), "-q"]
        assert main(words) == 0

    return once("bundled", fill) / "store", options


def test_a_member_becomes_a_bundle(bundled: tuple[Path, list[object]], cli: Callable[..., Any]) -> None:
    root, _ = bundled
    found = cli("bundle", "--check", root / "bundles" / "test_resnet", "--json")
    assert found.code == 0, found
    answer = json.loads(found.out)
    assert answer["name"] == "test_resnet" and list(answer["files"]) == FILES
    card = (root / "bundles" / "test_resnet" / "README.md").read_text(encoding="utf-8")
    assert "model-index" not in card and "Not evaluated" in card  # the store is not evaluated
    assert "## Prediction sets" in card and "`timm:test_resnet`" in card


def test_the_export_is_used_again_and_an_equal_bundle_stays(
    bundled: tuple[Path, list[object]], cli: Callable[..., Any], tmp_path: Path
) -> None:
    import shutil

    root, options = bundled
    root = Path(shutil.copytree(root, tmp_path / "store"))
    files = [root / "deploy/test_resnet/onnx/model.onnx", root / "bundles/test_resnet/README.md"]
    before = [each.stat().st_mtime_ns for each in files]
    words = ("bundle", "test_resnet", *options, "--store", root)
    assert cli(*words).code == 0
    assert [each.stat().st_mtime_ns for each in files] == before
    assert cli(*words, "--license", "mit").code == 0  # a bundle in the store is replaced without --force
    assert "license: mit" in files[1].read_text(encoding="utf-8")
    out = tmp_path / "out.zip"
    assert cli(*words, "--out", out).code == 0
    assert f"The bundle {out.as_posix()} of test_resnet is intact" in cli("bundle", "--check", out).out
    refused = cli(*words, "--out", out, "--license", "mit")
    assert refused.code == 2
    assert refused.err.endswith(
        f"committee: {out}: a bundle with other content exists. "
        "Name another path, or replace it with --force.\n"
    )
    assert cli(*words, "--out", out, "--license", "mit", "--force").code == 0


def test_what_fails_is_named_and_leaves_nothing(
    bundled: tuple[Path, list[object]],
    cli: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import shutil

    from committee.errors import ExportError
    from committee.exporters.onnx import Onnx

    root, options = bundled
    root = Path(shutil.copytree(root, tmp_path / "store", ignore=shutil.ignore_patterns("deploy", "bundles")))
    words = ("bundle", *options, "--store", root)
    assert "got 'test_wit'. Did you mean 'test_vit'?" in cli(*words, "test_wit").err
    other = cli(*words, "test_vit", "--format", "state_dict")
    assert other.err.endswith(
        "committee: --format: expected onnx, possibly with options such as onnx:precision=float16, "
        "got 'state_dict'.\n"
    )

    def fail(self: Onnx, *arguments: object) -> None:
        raise ExportError("onnx of test_vit", expected="a module that torch.export can record", got="a loop")

    monkeypatch.setattr(Onnx, "export", fail)
    failed = cli(*words, "test_vit")
    assert failed.code == 1 and "a module that torch.export can record, got a loop." in failed.err
    assert not (root / "bundles").exists()


@pytest.mark.parametrize(("words", "got"), [((), "neither"), (("test_vit", "--check", "x.zip"), "both")])
def test_the_command_writes_or_checks(cli: Callable[..., Any], words: tuple[str, ...], got: str) -> None:
    result = cli("bundle", *words)
    assert (result.code, result.err) == (
        2,
        f"committee: bundle: expected NAME or --check PATH, got {got}.\n",
    )

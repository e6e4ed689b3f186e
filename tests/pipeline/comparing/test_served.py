"""Files in processes of their own: turns, memory, failures, and the process itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from committee.errors import ExportError
from committee.models.timing import interleaved
from committee.pipeline.comparing import child, served
from committee.pipeline.comparing.served import serve
from committee.pipeline.shared.photo import Photos


@pytest.fixture(autouse=True)
def _repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure as often as for users."""
    monkeypatch.setattr(served, "interleaved", interleaved)


PHOTOS = Photos(
    [np.zeros((1, 8, 6), np.uint8), np.ones((1, 4, 5), np.uint8)], np.zeros((32, 1, 8, 6), np.uint8), "photos"
)


def test_files_are_run_in_turns_and_the_peak_of_all_rounds_counts() -> None:
    order: list[str] = []

    def run(request: Path) -> Mapping[str, Any]:
        wanted = json.loads(request.read_text("utf-8"))
        order.append(wanted["file"])
        assert (wanted["device"], wanted["trusted"]) == ("cpu", ["python:nets:small"])
        with np.load(wanted["photos"]) as images:
            assert images["batch"].shape == (32, 1, 8, 6) and len(images.files) == 3
        peak = 100.0 + len(order)
        return {"times": {"1": [2.0, 2.0], "32": [9.0]}, "memory_mb": {"start": 50.0, "1": peak, "32": None}}

    found, failed = serve(
        {"a": Path("a.onnx"), "b": Path("b.onnx")}, PHOTOS, "cpu", {"python:nets:small"}, run
    )
    assert order == ["a.onnx", "b.onnx"] * 3 and not failed
    assert found["a"].latency["32"].median == 9.0
    assert found["b"].memory == {"start": 50.0, "1": 106.0, "32": None}


def test_a_file_whose_process_fails_does_not_stop_the_others() -> None:
    def run(request: Path) -> Mapping[str, Any]:
        if "bad" in json.loads(request.read_text("utf-8"))["file"]:
            raise ExportError("bad", expected="a file whose process answers", got="another")
        return {"times": {"1": [2.0], "32": [9.0]}, "memory_mb": {}}

    found, failed = serve({"bad": Path("bad.onnx"), "good": Path("good.onnx")}, PHOTOS, "cpu", run=run)
    assert list(found) == ["good"] and list(failed) == ["bad"]


def test_the_last_line_of_a_process_is_the_reason(tmp_path: Path) -> None:
    _, failed = serve({"none": tmp_path / "none.onnx"}, PHOTOS, "cpu")
    assert str(failed["none"]).startswith(
        f"{tmp_path / 'none.onnx'}: expected a file whose process answers, got one that ended with: "
        "committee.errors.UsageError: "
    )
    assert "Leave it out with compare.models" in str(failed["none"])


def test_a_process_that_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "PATIENCE", 0.01)
    _, failed = serve({"none": tmp_path / "none.onnx"}, PHOTOS, "cpu")
    assert "got one that took more than 0.01 seconds" in str(failed["none"])


def test_the_process_predicts_each_photo_and_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes: list[tuple[int, ...]] = []
    monkeypatch.setattr(child, "open_exported", lambda *_: lambda images: shapes.append(images.shape))
    np.savez(
        tmp_path / "photos.npz", batch=PHOTOS.batch, photo_0=PHOTOS.singles[0], photo_1=PHOTOS.singles[1]
    )
    request = {"file": "f", "photos": str(tmp_path / "photos.npz"), "device": "cpu", "trusted": []}
    (tmp_path / "request.json").write_text(json.dumps(request), "utf-8")
    child.main(tmp_path / "request.json")
    result = json.loads(capsys.readouterr().out)
    assert {size: len(times) for size, times in result["times"].items()} == child.CALLS
    # The first call with each shape is not timed.
    assert shapes[:4] == [(1, 1, 8, 6), (1, 1, 4, 5)] * 2
    assert shapes.count((32, 1, 8, 6)) == child.CALLS["32"] + 1
    assert set(result["memory_mb"]) == {"start", "1", "32"}

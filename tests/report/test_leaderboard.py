"""Order and text of the leaderboard."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from committee.pipeline.shared.draws import write_draws
from committee.pipeline.shared.records import model_source
from committee.pipeline.shared.reports import rank
from committee.pipeline.shared.summary import interval
from committee.report.leaderboard import leaderboard, table
from committee.scoring.draws import Draws
from committee.scoring.gains import Gain
from committee.store.commit import commit, write_json
from committee.store.layout import Store


class Said(NamedTuple):
    code: int
    out: str
    err: str


def report(name: str, value: float | None, **more: Any) -> dict[str, Any]:
    scores = {} if value is None else {"log_loss": {"value": value, "low": value, "high": value}}
    return {
        "name": name,
        "inference": "refit",
        "cross_fitted": scores,
        "metrics": scores,
        "gain": {},
        "latency_ms": {"median": 1.25},
        "size_mb": 3.0,
        **more,
    }


def test_best_first_ties_by_name_and_unknown_last() -> None:
    reports = [
        report("z", 0.1),
        report("none", None),
        report("b", 0.2),
        report("nan", math.nan),
        report("a", 0.2),
    ]
    assert [each["name"] for each in rank(reports)] == ["z", "a", "b", "nan", "none"]


HALF, QUARTER = "0.5000 [0.5000, 0.5000]", "0.2500 [0.2500, 0.2500]"
UNPROVEN = {"log_loss": {"text": "no proven gain", "proven": False}}
PROVEN = {"log_loss": {"text": "...", "proven": True, "value": 0.5, "low": 0.5, "high": 0.5}}
REPORTS = [
    report("net", 0.5, start="random"),
    report("vote", 0.25, gain=UNPROVEN, rows="val", inference="folds"),
    report("stack", 0.25, gain=PROVEN, seen=3),
]


def test_few_columns_by_default() -> None:
    columns, rows = table(REPORTS)
    assert columns == [
        "name",
        "networks",
        "log_loss cross-fitted",
        "gain over best single member",
        "test log_loss",
        "ms",
        "MB",
    ]
    half, quarter = "0.5000 [0.500, 0.500]", "0.2500 [0.250, 0.250]"
    assert rows == [
        ["net", "refit", half, "", "0.5000", "1.2", "3.0"],
        ["vote", "folds", f"{quarter}*", "no proven gain", "0.2500", "1.2", "3.0"],
        ["stack", "refit", quarter, "0.5 better", "0.2500+", "1.2", "3.0"],
    ]


def test_all_columns_of_a_wide_table() -> None:
    columns, rows = table(REPORTS, wide=True)
    assert columns == [
        "name",
        "networks",
        "start",
        "log_loss cross-fitted",
        "accuracy cross-fitted",
        "log_loss gain over best single member",
        "test log_loss",
        "test accuracy",
        "latency ms",
        "size MB",
    ]
    assert rows == [
        ["net", "refit", "random", HALF, "", "", HALF, "", "1.2", "3.0"],
        ["vote", "folds", "", f"{QUARTER}*", "*", "no proven gain", QUARTER, "", "1.2", "3.0"],
        ["stack", "refit", "", QUARTER, "", HALF, f"{QUARTER}+", "+", "1.2", "3.0"],
    ]


def test_the_metric_that_ranks_is_shown_once() -> None:
    columns, _ = table([report("net", 0.5)], "accuracy", wide=True)
    assert columns == [
        "name",
        "networks",
        "start",
        "accuracy cross-fitted",
        "accuracy gain over best single member",
        "test accuracy",
        "latency ms",
        "size MB",
    ]


def test_the_leaderboard_fits_80_columns(trained: Store, cli: Callable[..., Said], monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("test_resnet", "test_vit"):
        with commit(
            trained.member_metrics(name), kind="metrics", fingerprint=model_source(trained, name)
        ) as folder:
            gain = Gain("log_loss", 0.1, 0.2, 2.0, 100, "best single member (net)")
            write_json(folder / "metrics.json", report(name, 0.5, gain={"log_loss": gain.to_json()}, data={}))
            draws = np.random.default_rng(0).normal(size=(1, 100)).astype(np.float32)
            write_draws(folder, Draws(("log_loss",), draws, draws))
    for words in ((), ("--wide",)):
        lines = cli("leaderboard", "--store", trained.root, *words).out.splitlines()
        lines = [line for line in lines if str(trained.root) not in line]  # a path cannot be wrapped
        assert max(map(len, lines)) <= 80 and "no proven gain" in "\n".join(lines)
    assert "latency ms" in "\n".join(lines)


def test_an_empty_leaderboard_is_a_sentence(store: Store, trained: Store, cli: Callable[..., Said]) -> None:
    assert cli("leaderboard", "--store", store.root).err == (
        f"committee: {store.root}: expected evaluated models, got none. "
        "Train some with: committee run RECIPE\n"
    )
    assert cli("leaderboard", "--store", trained.root).err == (
        f"committee: {trained.root}: expected evaluated models, got none. Run: committee evaluate\n"
    )
    (store.root / "checkpoints" / "net").mkdir(parents=True)
    write_json(store.root / "checkpoints" / "net" / "failure.json", {"reason": "net: out of memory."})
    said = cli("leaderboard", "--store", store.root)
    assert (said.code, said.out) == (
        3,
        "failed: net: out of memory.\n"
        "No model is evaluated. Correct what failed, then run: committee run RECIPE\n",
    )


def test_no_interval_is_no_text() -> None:
    assert interval(None) == ""


def test_no_number_is_a_negative_zero() -> None:
    assert interval({"value": -1e-9, "low": -1e-7, "high": 1e-7}) == "0.0000 [0.0000, 0.0000]"


def test_a_damaged_report_is_named_and_left_out(trained: Store, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("test_resnet", "test_vit"):
        fingerprint = model_source(trained, name)
        with commit(trained.member_metrics(name), kind="metrics", fingerprint=fingerprint) as folder:
            write_json(folder / "metrics.json", report(name, 0.5))
    file = trained.member_metrics("test_vit") / "manifest.json"
    file.unlink()
    assert [each["name"] for each in leaderboard(trained)] == ["test_resnet"]
    assert caplog.messages == [
        f"test_vit is excluded: {file}: the file does not exist. "
        "Remove its folder and run the command that made it again."
    ]


def test_a_failure_is_shown_until_a_later_success(
    store: Store, tiny_settings: list[str], own_nets: str, tmp_path: Path, cli: Callable[..., Said]
) -> None:
    settings = [*tiny_settings, f"backbones.include=['{own_nets}:short']", "training.epochs=1"]
    words = ["--store", store.root, *(word for each in settings for word in ("--set", each))]
    shown = ("leaderboard", "--store", store.root, "--model-name", "own_nets_short")
    assert cli("train", *words).code == 1
    said = cli(*shown)
    assert said.code == 3
    assert said.out.startswith("failed: own_nets_short: ") and "logits of shape" in said.out
    as_json = json.loads(cli(*shown, "--json").out)
    assert as_json["kind"] == "member" and "logits of shape" in as_json["failed"]
    assert cli("leaderboard", "--store", store.root).code == 3
    mended = (tmp_path / "own_nets.py").read_text("utf-8").replace("classes - 1", "classes")
    (tmp_path / "own_nets.py").write_text(mended, "utf-8")
    sys.modules.pop("own_nets")
    importlib.invalidate_caches()
    assert cli("train", *words).code == cli("evaluate", *words).code == 0
    assert cli(*shown).out.startswith("own_nets_short (member)\n\nMetrics\n")
    (row,) = leaderboard(store)
    assert row["name"] == "own_nets_short" and "failed" not in row
    sys.modules.pop("own_nets")


def test_what_the_data_lack_is_said_below_the_table(trained: Store, cli: Callable[..., Said]) -> None:
    for name, data in (("test_resnet", {"quarantined": 1, "copies": 2}), ("test_vit", {})):
        with commit(
            trained.member_metrics(name), kind="metrics", fingerprint=model_source(trained, name)
        ) as folder:
            write_json(folder / "metrics.json", report(name, 0.5, data=data))
    said = cli("leaderboard", "--store", trained.root)
    assert said.out.splitlines()[-2:] == [
        "1 image could not be used: see quarantine.csv in the store.",
        "2 images of the data set repeat another: see copies.csv in the store.",
    ]

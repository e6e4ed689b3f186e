"""Runs with a time limit: what is done is combined, what is not is named, and the next run continues."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from committee.errors import UnfinishedError
from committee.pipeline.run import run
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.run_record import read_run, write_run
from committee.pipeline.stages.base import wanted
from committee.pipeline.time_limit import MOST, SHARE, TimeLimit
from committee.recipe.load import load_recipe
from committee.report.page import write_report
from committee.store.layout import Store

THIRD = "backbones.include=[timm:test_resnet, timm:test_vit, timm:test_convnext]"
QUICK = ("runs.score_ensemble.methods=[soft_voting]", "exports.enable=false")


def limit(store: Store, text: str | None, now: Callable[[], float], *words: str) -> TimeLimit:
    overrides = ["backbones.include=[timm:test_resnet, timm:test_vit]", *words]
    given = [] if text is None else [f"time_limit={text}"]
    return TimeLimit(load_recipe(None, [*overrides, *given]), store, now)


def test_a_share_of_the_limit_is_reserved_until_a_run_has_measured_the_later_stages(store: Store) -> None:
    recipe = load_recipe(None, ["backbones.include=[timm:test_resnet]"])
    train, *later = wanted(recipe)
    before = limit(store, "100s", lambda: 50.0)
    assert before.reserved(later) == pytest.approx(SHARE * 100) and before.reserved([]) == 0
    assert before.deadline(later).left() == pytest.approx(100 - SHARE * 100)
    assert before.deadline([]).left() == 100
    store.root.mkdir()
    seconds = {train.key: 500.0, **{stage.key: 3.0 for stage in later}}
    write_run(recipe, store, seconds)
    path = store.run_report()
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), "members": 1}), encoding="utf-8")
    # The last run had one member, and this one has two.
    assert limit(store, "100s", lambda: 0.0).reserved(later) == pytest.approx(2 * 3 * len(later))
    assert limit(store, "10s", lambda: 0.0).reserved(later) == MOST * 10
    path.write_text("{", encoding="utf-8")
    assert limit(store, "100s", lambda: 0.0).reserved(later) == pytest.approx(SHARE * 100)


def test_after_the_limit_only_what_a_result_needs_is_started(store: Store) -> None:
    now = [0.0]
    stages = wanted(load_recipe(None, ["runs.model_soup.enable=true", "compare.enable=true"]))
    found = limit(store, "1h", lambda: now[0])
    now[0] = 3601.0
    assert [stage.key for stage in stages if stage.optional] == ["model_soup", "compare"]
    for index, stage in enumerate(stages):
        text = f"{stage.key}: not started, since the time limit of 1h is over."
        refused = pytest.raises(UnfinishedError, match=text) if stage.optional else contextlib.nullcontext()
        with refused, found.of_stage(stage, stages[index + 1 :]):
            pass


def test_without_a_limit_nothing_is_reserved_or_refused(store: Store) -> None:
    found = limit(store, None, lambda: 0.0)
    assert not found.end.is_set and found.about(Outcome()) is None


def test_a_run_ends_with_what_is_done_and_the_next_one_continues(
    trained: Store, tiny_settings: list[str], cli: Callable[..., object]
) -> None:
    words = [each for key in (*tiny_settings, THIRD, *QUICK) for each in ("--set", key)]
    late = cli("run", "--store", trained.root, *words, "--time-limit", "0.001s")
    assert late.code == 3, late.err
    assert "unfinished: test_convnext: 4 fits not started, since the time limit is over." in late.out
    assert "failed:" not in late.out and "soft_voting_ensemble" in late.out and "Use " in late.out
    record = read_run(trained)["time_limit"]
    assert record["seconds"] == 0.001 and list(record["unfinished"]) == ["test_convnext"]
    html = (trained.root / "report.html").read_text("utf-8")
    assert "Left out by the time limit: 1 part" in html and "test_convnext" in html
    assert "Failed:" not in html

    recipe = load_recipe(None, [*tiny_settings, THIRD, *QUICK, "training.epochs=2"])
    outcome = run(recipe, trained)
    assert outcome.exit_code == 0 and "test_convnext" in outcome.done
    assert "time_limit" not in read_run(trained)
    write_report(trained, trained.root / "report.html")
    assert "Left out by the time limit" not in (trained.root / "report.html").read_text("utf-8")


def test_where_nothing_is_done_in_time_a_run_is_one_sentence(
    tmp_path: Path, tiny_settings: list[str], cli: Callable[..., object]
) -> None:
    words = [each for key in tiny_settings for each in ("--set", key)]
    said = cli("run", "--store", tmp_path / "store", *words, "--set", "time_limit=0.001", "-q")
    assert said.code == 1 and not said.out
    assert said.err.startswith(
        "committee: time_limit: expected a trained member within 0.001, got none: test_resnet: 4 fits not "
        "started, since the time limit is over. Run the same command again, with more time, to continue"
    )
    said = cli("train", "--store", tmp_path / "store", *words, "--time-limit", "1ms")
    assert said.code == 2 and "expected a duration above zero, such as 90s, 30m, 8h or 1h30m" in said.err
    said = cli("train", "--store", tmp_path / "store", *words, "--time-limit", "0.001s")
    assert said.code == 1 and "test_vit     unfinished" in said.out
    assert said.out.count("unfinished: test_resnet: 4 fits not started") == 1


def test_a_dry_run_estimates_what_would_be_trained(
    trained: Store, tiny_settings: list[str], cli: Callable[..., object]
) -> None:
    words = [each for key in (*tiny_settings, THIRD) for each in ("--set", key)]  # convnext is not stored
    said = cli("run", "--store", trained.root, *words, "--time-limit", "0.01s", "--dry-run")
    assert "Within the time limit of 0.01s, with 1 second kept for the later stages, " in said.out
    assert "about 2 of 3 members would be trained. Not: test_convnext." in said.out
    found = cli("run", "--store", trained.root, *words, "--time-limit", "9h", "--dry-run", "--json")
    assert json.loads(found.out)["time_limit"] == {"seconds": 32400.0, "unfinished": []}

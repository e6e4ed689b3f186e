"""The planner selects what is faster and equal, says why it does not select the rest, and stops in time."""

from __future__ import annotations

import json
import pickle
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from committee.base.shared_work import entered
from committee.errors import DataError, UnknownNameError, UsageError
from committee.models import engine_race
from committee.models.engine_parity import Reference
from committee.models.engine_race import Prepared, Race
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.optimized import Optimized
from committee.models.planner import optimize

pytestmark = pytest.mark.usefixtures("planted")


@pytest.fixture
def slow() -> nn.Module:
    from planted import Slow  # type: ignore[import-not-found]

    return Slow().eval()


def images(count: int = 4, height: int = 6) -> Tensor:
    return torch.randint(0, 256, (count, 3, height, 6), dtype=torch.uint8)


def verdicts(found: Optimized) -> dict[str, str]:
    return {f"{trial.engine} {trial.precision}": trial.verdict for trial in found.table}


def test_the_fastest_of_those_that_agree_is_selected_and_all_others_are_named(slow: nn.Module) -> None:
    engines = ["right", "wrong", "wrongforone", "slower", "absent", "nomemory"]
    found = optimize(slow, images(), 1.0, engines=engines, cache=False)
    said = verdicts(found)
    assert said.pop("wrong fp32").startswith("wrong: a difference of 0.00")
    assert said.pop("wrongforone fp32").startswith("wrong: a difference of 0.0")
    assert said == {
        "eager fp32": "the module as it is",
        "right fp32": "selected",
        "slower fp32": "slower",
        "absent fp32": "missing: the package 'fast' is not installed",
        "nomemory fp32": "failed: the stack needs 80 GB",
    }
    assert (found.engine, found.precision) == ("right", "fp32")
    assert "Slow runs on right, in 0." in repr(found)
    batch = images(5, height=9)
    assert torch.equal(found.infer(batch), slow(batch))


def test_the_module_runs_as_it_is_unless_the_gain_is_clear(slow: nn.Module) -> None:
    found = optimize(slow, images(), 0.5, engines=["slower", "absent"], cache=False)
    assert found.engine == "eager"
    assert found.table[0].verdict == "selected: no engine is clearly faster and agrees"
    assert found.choice.sentence("Slow") == "Slow runs as it is: no engine is clearly faster and agrees."
    assert torch.equal(found.infer(batch := images()), slow(batch))


def test_half_precision_is_tried_if_the_tolerance_allows_it(slow: nn.Module) -> None:
    strict = optimize(slow, images(), 0.5, engines=["half"], cache=False)
    assert [trial.precision for trial in strict.table] == ["fp32", "fp32"]
    loose = optimize(slow, images(), 0.5, 0.01, engines=["half"], cache=False)
    assert (loose.engine, loose.precision) == ("half", "bf16")
    assert 1e-5 < loose.table[-1].difference < 0.01


def test_the_module_has_a_time_even_if_the_budget_is_over_before_it_runs(slow: nn.Module) -> None:
    found = optimize(slow, images(), 1e-6, engines=["right"], cache=False)
    assert found.table[0].ms is not None and found.table[0].ms > 0


def test_an_engine_that_would_not_be_ready_in_time_is_not_tried_and_named(slow: nn.Module) -> None:
    start = time.perf_counter()
    found = optimize(slow, images(), 0.6, engines=["late", "right"], cache=False)
    assert time.perf_counter() - start < 2
    assert found.engine == "right", "engines of less effort come first"
    assert found.table[-1].engine == "late"
    assert found.table[-1].verdict.startswith("not tried: 0.")


def test_a_choice_is_kept_until_something_changes_or_its_file_is_damaged(
    slow: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    folder = tmp_path / "kept"
    races: list[int] = []
    run = Race.run
    monkeypatch.setattr(Race, "run", lambda race, entries: races.append(1) or run(race, entries))
    batch = images()

    def again(**options: object) -> Optimized:
        return optimize(
            slow, batch, **{"budget_s": 0.2, "engines": ["right", "late"], "cache": folder, **options}
        )

    first = again()
    assert (again().table, len(races)) == (first.table, 1)
    assert torch.equal(again().infer(batch), slow(batch))
    again(budget_s=0.25)
    assert len(races) == 2, "with more time, the engine that was not tried could be"
    again(tolerance=0.1)
    slow.register_buffer("more", torch.zeros(1))
    again()
    batch = images(3)
    again()
    assert len(races) == 5
    for file in folder.glob("*.json"):
        file.write_text(json.dumps({"protocol": 1, "facts": {}}))
    again(cache=str(folder))
    assert len(races) == 6
    assert "A stored engine is not used." in caplog.text
    assert "The engines are measured again." in caplog.text


def test_a_choice_that_does_not_run_any_more_is_made_again(
    slow: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from planted import Right

    batch = images()
    assert optimize(slow, batch, 0.4, engines=["right"], cache=tmp_path).engine == "right"
    monkeypatch.setattr(Right, "missing", lambda *_: "its license is over")
    found = optimize(slow, batch, 0.4, engines=["right"], cache=tmp_path)
    assert verdicts(found)["right fp32"] == "missing: its license is over"
    assert found.engine == "eager"


def test_what_an_engine_cannot_take_runs_as_it_is(
    slow: nn.Module, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = optimize(slow, images(), 0.5, engines=["good"], cache=False)
    assert found.engine == "good"
    for other in (images(2, height=9), images().float(), images(0)):
        assert torch.equal(found(other), slow(other))
    monkeypatch.setattr(found, "_run", lambda images: 1 / 0)
    batch = images()
    assert torch.equal(found(batch), slow(batch))
    assert "run without good: division by zero" in caplog.text


def test_a_pickle_prepares_its_engine_again_or_runs_as_it_is(
    slow: nn.Module, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from planted import Right

    batch, prepared = images(), list[int]()
    prepare = Right.prepare
    monkeypatch.setattr(Right, "prepare", lambda *given: prepared.append(1) or prepare(*given))
    data = pickle.dumps(optimize(slow, batch, 0.4, engines=["right"], cache=False))
    found = pickle.loads(data)
    assert (found.engine, len(prepared)) == ("right", 2)
    assert torch.equal(found.infer(batch), slow(batch))
    monkeypatch.setattr(Right, "missing", lambda *_: "its license is over")
    assert torch.equal(pickle.loads(data).infer(batch), slow(batch))
    assert "Slow runs as it is, without the engine right: its license is over" in caplog.text


def test_a_large_example_is_timed_in_part_and_what_is_clearly_slower_stops_early(
    slow: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[int]] = {"right": [], "slower": []}
    monkeypatch.setattr(engine_race, "CALL", slow.pause / 4)
    prepare = engine_race.prepare

    def noted(reference: Reference, name: str, *rest: Any) -> Prepared:
        found = prepare(reference, name, *rest)
        return replace(found, run=lambda batch: seen[name].append(len(batch)) or found.run(batch))

    monkeypatch.setattr(engine_race, "prepare", noted)
    found = optimize(slow, images(32), 1.0, engines=["slower", "right"], cache=False)
    assert verdicts(found)["slower fp32"] == "slower"
    assert seen["slower"] == seen["slower"][:1] * engine_race.FEWEST
    assert seen["slower"][0] <= 8
    assert max(seen["right"]) == 32, "the finalists take all of it"


def test_work_is_shared_by_the_engines_of_a_race(slow: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    from planted import Half

    made: list[int] = []

    def prepare(engine: Half, module: nn.Module, example: Tensor) -> Any:
        with entered("graph", lambda: nullcontext(made.append(1) or means(example))):
            return means

    from planted import means

    monkeypatch.setattr(Half, "prepare", prepare)
    optimize(slow, images(), 0.4, 0.1, engines=["half"], cache=False)
    assert made == [1]


def test_a_member_refuses_images_in_one_sentence_before_and_after() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 2))
    member = Member.from_module(net, classes=["a", "b"], size=8)
    with pytest.raises(DataError, match=r"^member: expected a batch uint8 \[batch, 3, height, width\], got "):
        member.optimize(images()[:, :2], 0.3, cache=False)
    found = Ensemble([member]).optimize(images(), 0.3, engines=["channels_last"], cache=False)
    with pytest.raises(DataError, match=r"^member: expected a batch uint8 \[batch, 3, height, width\], got "):
        found.infer(images()[:, :2])
    assert found.predict(images(5)).shape == (5, 2)


def test_a_folder_of_choices_that_cannot_be_made_is_named_and_the_engine_runs(
    slow: nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert optimize(slow, images(), 0.4, engines="right", cache=tmp_path / "file").engine == "right"
    assert "The selected engine is not stored." in caplog.text


@pytest.mark.parametrize("example", [None, "photo.jpg", [np.zeros((3, 4, 4)), np.zeros((3, 5, 4))]])
def test_what_is_no_batch_is_named(slow: nn.Module, example: object) -> None:
    text = (
        rf"^example: expected a tensor or an array of inputs of one size, got a {type(example).__name__}\. "
    )
    with pytest.raises(DataError, match=text):
        optimize(slow, example, cache=False)


def test_wrong_arguments_are_named(slow: nn.Module) -> None:
    text = r"^example: expected a batch as the model takes it, .*, got uint8 \[3, 6, 6\]"
    with pytest.raises(DataError, match=text):
        optimize(slow, images()[0], cache=False)
    with pytest.raises(UsageError, match=r"^budget_s: expected a number above 0, got 0\.0"):
        optimize(slow, images(), 0.0, cache=False)
    with pytest.raises(UsageError, match=r"^tolerance: expected a number above 0, got -1"):
        optimize(slow, images(), tolerance=-1, cache=False)
    with pytest.raises(UnknownNameError, match=r"Did you mean 'right'\?"):
        optimize(slow, images(), engines=["rihgt"], cache=False)

"""What every executor of this machine does: all tasks, groups as they are finished, and reports."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from committee.base.deadline import Deadline, in_effect
from committee.errors import UsageError
from committee.executors.base import EXECUTORS
from committee.executors.in_process import InProcess
from committee.executors.shared.scheduler import Scheduler
from committee.recipe.load import load_recipe
from committee.store.layout import Store
from committee.training.crossfit.crossfits import crossfit

CPU = torch.device("cpu")
LOCAL = sorted({*EXECUTORS.names()} - {"ray"})


class Doubling:
    """Doubles numbers; only the methods that executors of one machine call."""

    def do(self, task: int) -> int:
        return 2 * task

    def name(self, task: int) -> str:
        return str(task)


@pytest.mark.parametrize("name", LOCAL)
def test_all_tasks_are_done_and_reported(name: str) -> None:
    executor, reported = EXECUTORS.make(name), dict[int, int]()
    scheduler = Scheduler([[1, 2], [3]])
    work: Any = Doubling()
    groups = list(executor.run(scheduler, work, executor.division(3, CPU), reported.__setitem__))
    assert sorted(groups) == [0, 1] and scheduler.results == reported == {1: 2, 2: 4, 3: 6}
    assert executor.describe()


def test_a_recipe_names_an_executor_by_text_or_with_options() -> None:
    assert type(load_recipe(None, []).make_executor()).__name__ == "Processes"
    found = load_recipe(None, ["executor=processes", "workers=3"]).make_executor()
    assert found.division(9, CPU).workers == 3
    with pytest.raises(UsageError, match="executor: expected one of auto, in_process, processes"):
        load_recipe(None, ["executor=process"])
    with pytest.raises(UsageError, match=r"executor.workers: expected an option of processes \(none\)"):
        load_recipe(None, ["executor={name: processes, workers: 3}"])
    for value, words in (("two", "a whole number, got 'two'"), ("true", "a whole number, got true")):
        with pytest.raises(UsageError, match=f"executor.cpus: expected {words}"):
            load_recipe(None, [f"executor={{name: ray, cpus: {value}}}"])


def test_one_process_makes_one_fit_at_a_time() -> None:
    with pytest.raises(UsageError) as error:
        load_recipe(None, ["executor=in_process", "workers=3"]).make_executor()
    assert str(error.value) == (
        "workers: expected 1 or auto with executor: in_process, got 3. Set executor=processes."
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", LOCAL)
def test_a_fit_that_the_deadline_stops_is_continued_with_the_same_bytes(
    making: Any,
    plans_of: Callable[..., Any],
    contents: Callable[..., Any],
    alone: dict[str, Any],
    store: Store,
    tmp_path: Path,
    name: str,
) -> None:
    plans = plans_of(tmp_path / "data", store)
    executor = EXECUTORS.make(name, workers=1 if name == "in_process" else 2)
    with store.hold(), in_effect(Deadline(1, making.Ticking(12))):
        errors = [error for _, error in crossfit(plans, store, executor)]
    assert "Its state is stored" in str(errors) and list(store.root.glob("checkpoints/*/*.resume"))
    with store.hold():
        assert [error for _, error in crossfit(plans, store, InProcess())] == [None, None]
    assert contents(store) == alone

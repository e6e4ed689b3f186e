"""Order of tasks, tasks that need others, and failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from committee.executors.shared.scheduler import Scheduler

FOLDS = ["fold_0", "fold_1", "refit"]


def needs(task: str) -> list[str]:
    return ["fold_0", "fold_1"] if task == "refit" else []


def test_tasks_are_done_in_their_order_and_groups_are_yielded_when_finished() -> None:
    done = list[str]()
    scheduler = Scheduler([["a", "b"], [], ["c"]])
    finished = [(index, list(done)) for index in scheduler.run(done.append)]
    assert finished == [(0, ["a", "b"]), (1, ["a", "b"]), (2, ["a", "b", "c"])]
    assert set(scheduler.results) == {"a", "b", "c"}


def test_a_task_waits_for_what_it_needs() -> None:
    scheduler = Scheduler([FOLDS, ["other"]], needs)
    assert [scheduler.take() for _ in range(3)] == ["fold_0", "fold_1", "other"]
    taken = list[str | None]()
    thread = threading.Thread(target=lambda: taken.append(scheduler.take()))
    thread.start()
    scheduler.put("fold_0", None)
    thread.join(0.1)
    assert thread.is_alive() and not taken
    scheduler.put("fold_1", None)
    thread.join(60)
    assert taken == ["refit"]
    assert scheduler.take() is None


def test_a_failure_drops_the_tasks_of_its_group_that_are_not_started() -> None:
    scheduler = Scheduler([FOLDS, ["other"]], needs)
    error = ValueError("broken")
    done = list[str]()

    def do(task: str) -> object:
        done.append(task)
        return error if task == "fold_0" else True

    assert list(scheduler.run(do)) == [0, 1]
    assert done == ["fold_0", "other"]
    assert scheduler.results == {"fold_0": error, "other": True}


def test_a_group_is_unfinished_while_another_thread_runs_its_task() -> None:
    scheduler = Scheduler([["slow"], ["fast"]])
    assert scheduler.take() == "slow"
    order = list[object]()

    def finish() -> None:
        while "fast" not in scheduler.results:
            time.sleep(0.01)
        scheduler.put("slow", 1)

    thread = threading.Thread(target=finish)
    thread.start()
    order.extend(scheduler.run(lambda task: 2))
    thread.join()
    assert order == [1, 0]
    assert scheduler.results == {"fast": 2, "slow": 1}


def test_a_task_that_is_returned_is_handed_out_again() -> None:
    scheduler = Scheduler([["a", "b"]])
    assert scheduler.take() == "a"
    scheduler.put_back("a")
    assert list(scheduler.run(str.upper)) == [0]
    assert scheduler.results == {"a": "A", "b": "B"}


@pytest.mark.parametrize("taken", [0, 1])
def test_a_closed_scheduler_hands_out_nothing(taken: int) -> None:
    scheduler = Scheduler([["a", "b"]])
    for _ in range(taken):
        scheduler.take()
    scheduler.close()
    assert scheduler.take() is None
    assert list(scheduler.run(str.upper)) == []


def test_a_refused_task_drops_the_tasks_of_its_group_and_the_others_go_on() -> None:
    late, asked = TimeoutError("late"), list[tuple[str, list[str]]]()

    def refuse(task: str, waiting: Sequence[str]) -> Exception | None:
        asked.append((task, list(waiting)))
        return late if task == "fold_1" else None

    scheduler = Scheduler([FOLDS, ["other"]], needs, refuse)
    start = time.monotonic()
    assert list(scheduler.run(str.upper)) == [0, 1]
    assert time.monotonic() - start < 0.4, "it waited"
    assert scheduler.results == {"fold_0": "FOLD_0", "fold_1": late, "other": "OTHER"}
    assert asked[1] == ("fold_1", ["fold_1", "refit"])


def test_a_refused_task_is_not_taken_by_another_thread() -> None:
    scheduler = Scheduler([FOLDS, ["other"]], needs, lambda task, waiting: TimeoutError(task))
    assert scheduler.take() is None
    assert list(scheduler.results) == ["fold_0", "other"]

"""Worker processes: what they receive and send, and how they end."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from committee.errors import CommitteeError
from committee.executors.shared import pool as module
from committee.executors.shared import worker_process
from committee.executors.shared.do_all import do_all
from committee.executors.shared.pool import WorkerPool
from committee.executors.shared.scheduler import Scheduler
from committee.executors.shared.worker_process import PROGRAM


class Doubling:
    """Work that goes from process to process."""

    def do(self, task: Any) -> Any:
        return 2 * task

    def name(self, task: Any) -> str:
        return f"task {task}"


def test_a_worker_ends_with_the_process_that_started_it() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], input=b"", timeout=240, check=False)
    assert ended.returncode == 1


def test_where_no_process_starts_tasks_are_left_to_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any, **options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", none)
    scheduler = Scheduler([[1], [2]])
    with WorkerPool(scheduler, Doubling(), 2, 1, at_once=True) as pool:
        for thread in pool._serving:
            thread.join()
        assert list(scheduler.run(lambda task: 2 * task)) == [0, 1]
    assert scheduler.results == {1: 2, 2: 4}


def test_a_task_whose_process_dies_and_cannot_be_replaced_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the run would wait for it for ever."""
    started, real = [], subprocess.Popen

    def once(*args: Any, **options: Any) -> Any:
        started.append(args)
        if len(started) > 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real([sys.executable, "-c", DYING], **options)

    monkeypatch.setattr(worker_process.subprocess, "Popen", once)
    scheduler = Scheduler([[1]])
    with WorkerPool(scheduler, Doubling(), 1, 1, at_once=True) as pool:
        for thread in pool._serving:
            thread.join()
    assert isinstance(scheduler.results[1], CommitteeError)
    assert str(scheduler.results[1]) == (
        "task 1: expected a worker process that finishes it, got two that ended (none can be started: "
        "Resource temporarily unavailable). If memory is short, set workers=1 or a smaller batch_size."
    )


HANGING = """
import os, pickle, sys, time
for _ in range(2):
    pickle.load(sys.stdin.buffer)
pickle.dump(("ready", None), sys.stdout.buffer)
sys.stdout.buffer.flush()
time.sleep(600)
"""


def test_a_worker_that_hangs_is_ended_and_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = subprocess.Popen
    monkeypatch.setattr(
        worker_process.subprocess,
        "Popen",
        lambda *_, **options: real([sys.executable, "-c", HANGING], **options),
    )
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.5)
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.25)
    scheduler = Scheduler([[1]])
    with WorkerPool(scheduler, Doubling(), 1, 1, at_once=True) as pool:
        for thread in pool._serving:
            thread.join()
    assert caplog.messages.count("task 1: its worker process ended (no progress for 1 second)") == 2
    named = [
        message for message in caplog.messages if "its worker process is ended, and it is rep" in message
    ]
    assert len(named) == 2 and named[0].startswith("task 1: no progress for ")
    assert "got two that ended (no progress for 1 second)" in str(scheduler.results[1])


DYING = """
import os, pickle, sys
for _ in range(2):
    pickle.load(sys.stdin.buffer)
pickle.dump(("ready", None), sys.stdout.buffer)
sys.stdout.buffer.flush()
pickle.load(sys.stdin.buffer)
os._exit(7)
"""


def test_a_worker_that_starts_as_the_block_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = WorkerPool(Scheduler([[1]]), Doubling(), 1, 1, at_once=True)
    real = module.WorkerProcess

    def late(threads: int) -> Any:
        worker = real(threads)
        pool._over.set()
        return worker

    monkeypatch.setattr(module, "WorkerProcess", late)
    with pool:
        for thread in pool._serving:
            thread.join()
    assert pool._workers == []


def test_results_are_in_the_order_of_the_tasks() -> None:
    assert list(do_all(Doubling(), [3, 1, 2], 1, "tasks").items()) == [(3, 6), (1, 2), (2, 4)]

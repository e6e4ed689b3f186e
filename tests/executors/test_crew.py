"""Processes that help: what they are told, what they say, and how they end."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from committee.errors import CommitteeError
from committee.executors import crew as module
from committee.executors.crew import HELPER, Crew
from committee.executors.line import Line


class Doubling:
    """Work that goes from process to process."""

    def do(self, task: Any) -> Any:
        return 2 * task

    def name(self, task: Any) -> str:
        return f"task {task}"


def test_a_helper_ends_when_nobody_is_there_to_help() -> None:
    ended = subprocess.run([sys.executable, "-c", HELPER], input=b"", timeout=240, check=False)
    assert ended.returncode == 1


def test_where_no_process_starts_tasks_are_left_to_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*args: Any, **options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", none)
    line = Line([1, 2])
    with Crew(line, Doubling(), 2, 1, at_once=True) as crew:
        for thread in crew._serving:
            thread.join()
        while (task := line.take_or_wait()) is not None:
            line.put(task, 2 * task)
    assert line.results == {1: 2, 2: 4}


def test_a_task_whose_process_dies_and_cannot_be_replaced_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else the run would wait for it for ever."""
    started, real = [], subprocess.Popen

    def once(*args: Any, **options: Any) -> Any:
        started.append(args)
        if len(started) > 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real([sys.executable, "-c", LIAR], **options)

    monkeypatch.setattr(module.subprocess, "Popen", once)
    line = Line([1])
    with Crew(line, Doubling(), 1, 1, at_once=True) as crew:
        for thread in crew._serving:
            thread.join()
    assert isinstance(line.results[1], CommitteeError)
    assert str(line.results[1]).startswith(
        "task 1: expected a process that does it, got two that ended (none starts: Resource temporarily "
    )


LIAR = """
import os, pickle, sys
for _ in range(2):
    pickle.load(sys.stdin.buffer)
pickle.dump(("ready", None), sys.stdout.buffer)
sys.stdout.buffer.flush()
pickle.load(sys.stdin.buffer)
os._exit(7)
"""


def test_a_helper_that_starts_as_the_block_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = Crew(Line([1]), Doubling(), 1, 1, at_once=True)
    real = module._Helper

    def late(threads: int) -> Any:
        helper = real(threads)
        crew._over.set()
        return helper

    monkeypatch.setattr(module, "_Helper", late)
    with crew:
        for thread in crew._serving:
            thread.join()
    assert crew._helpers == []

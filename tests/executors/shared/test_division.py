"""How many tasks at once, and with how many threads."""

from __future__ import annotations

import pytest
import torch

from committee.executors.shared.division import Division, divide


@pytest.mark.parametrize(
    ("wanted", "tasks", "device", "threads", "expected"),
    [
        ("auto", 18, "cpu", 2, Division(2, 1)),
        ("auto", 18, "cpu", 1, Division(1, 1)),
        ("auto", 18, "cpu", 64, Division(8, 8)),
        ("auto", 4, "cpu", 6, Division(4, 1)),
        ("auto", 1, "cpu", 6, Division(1, 6)),
        ("auto", 18, "cuda", 16, Division(1, 16)),
        (1, 18, "cpu", 2, Division(1, 2)),
        (3, 18, "cpu", 2, Division(3, 1)),
        (3, 2, "cuda", 16, Division(2, 8)),
    ],
)
def test_threads_are_divided_among_tasks(
    wanted: int, tasks: int, device: str, threads: int, expected: Division, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert divide(wanted, tasks, torch.device(device)) == expected


def test_threads_are_as_before_after_the_block() -> None:
    before = torch.get_num_threads()
    with Division(1, before + 2).threads_set():
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before

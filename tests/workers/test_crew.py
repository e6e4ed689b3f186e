"""Processes that help: what they are told, what they say, and how they end."""

from __future__ import annotations

import subprocess
import sys

from committee.workers.crew import HELPER


def test_a_helper_ends_when_nobody_is_there_to_help() -> None:
    ended = subprocess.run([sys.executable, "-c", HELPER], input=b"", timeout=60, check=False)
    assert ended.returncode == 1

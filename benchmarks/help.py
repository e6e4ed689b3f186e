"""Seconds of `committee --help` and of the help of a verb, compared with the start of Python itself."""

from __future__ import annotations

import subprocess
import sys

from harness import Row, main, seconds, spread

ASKED = {
    "--help": ("-m", "committee", "--help"),
    "evaluate --help": ("-m", "committee", "evaluate", "--help"),
    "nothing but Python": ("-c", ""),
}


def answer(words: tuple[str, ...]) -> float:
    """Return the seconds of one call, from the start of the process to its end."""
    command = [sys.executable, *words]
    return seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def measure(quick: bool) -> list[Row]:
    """Measure in alternation."""
    times: dict[str, list[float]] = {asked: [] for asked in ASKED}
    for _ in range(3 if quick else 15):
        for asked, words in ASKED.items():
            times[asked].append(answer(words))
    rows = []
    for asked, found in times.items():
        median, low, high = spread(found)
        target = 0.2 if "help" in asked else None
        rows.append(Row("committee --help", asked, "", median, low=low, high=high, target=target))
    return rows


if __name__ == "__main__":
    main(measure)

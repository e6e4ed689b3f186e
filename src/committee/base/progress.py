"""Progress bars on a terminal: what is counted, how much of it is done, and the time left."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")


class Step(Protocol):
    """Function that advances a bar."""

    def __call__(self, steps: int, item: str = "") -> None:
        """Count `steps` more as done; `item` is the name of the one that is worked on now."""


def silent(steps: int, item: str = "") -> None:
    """Advance no bar."""


class _Screen:
    """The live display of the process: rich allows only one, so simultaneous bars are lines of it."""

    def __init__(self) -> None:
        self.display: Progress | None = None
        self.bars = 0
        self._lock = threading.Lock()
        self.elsewhere: Callable[[int | None, str], AbstractContextManager[Step]] | None = None

    def open(self) -> Progress:
        with self._lock:
            if self.display is None:
                self.display = _display()
                self.display.start()
            self.bars += 1
            return self.display

    def close(self) -> None:
        with self._lock:
            self.bars -= 1
            if self.bars == 0 and self.display is not None:
                self.display.stop()
                self.display = None


_SCREEN = _Screen()


def show_with(other: Callable[[int | None, str], AbstractContextManager[Step]]) -> None:
    """Show the bars of this process with another `bar` function, such as that of the parent process."""
    _SCREEN.elsewhere = other


def _display() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    # Without markup, since names of users may contain brackets.
    columns = TextColumn("{task.description}", markup=False), BarColumn(bar_width=20), TimeRemainingColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True)


def watched() -> bool:
    """Return whether bars are shown: stderr is a terminal, and the log shows more than errors."""
    return sys.stderr.isatty() and logging.getLogger("committee").isEnabledFor(logging.INFO)


@contextmanager
def bar(total: int | None, what: str) -> Iterator[Step]:
    """Show a bar while the block runs, such as `ensembles: 3 of 7, weighted`.

    Parameters
    ----------
    total : int or None
        How many there are; None if that is unknown.
    what : str
        What is counted.

    Yields
    ------
    Step
        `step(n)` counts n more as done; `step(0, item)` names the one that is worked on now.
    """
    if _SCREEN.elsewhere is not None:
        with _SCREEN.elsewhere(total, what) as step:
            yield step
        return
    if not watched():
        yield silent
        return
    display = _SCREEN.open()
    task = display.add_task(_text(what, 0, total), total=total)
    done = 0

    def advance(steps: int, item: str = "") -> None:
        nonlocal done
        done += steps
        display.update(task, completed=done, description=_text(what, done, total, item))

    try:
        yield advance
    finally:
        display.remove_task(task)
        _SCREEN.close()


def track(
    iterable: Iterable[Item],
    total: int | None = None,
    what: str = "",
    name: Callable[[Item], str] = lambda item: "",
) -> Iterator[Item]:
    """Yield from `iterable` under a bar.

    Parameters
    ----------
    iterable : iterable
    total : int, optional
        Its length; not needed if it has one.
    what : str
        What is counted.
    name : callable, optional
        Item -> its name, which the bar shows while the item is worked on.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with bar(total, what) as step:
        for item in iterable:
            step(0, name(item))
            yield item
            step(1)


def _text(what: str, done: int, total: int | None, item: str = "") -> str:
    """Return `ensembles: 3 of 7, weighted` while the third is worked on, and `ensembles: 3 of 7` after it."""
    counted = f"{what}: {done + bool(item)}"
    if total is not None:
        counted += f" of {total}"
    return f"{counted}, {item}" if item else counted

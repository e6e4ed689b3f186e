"""Progress bars with the time left, on a terminal; nothing where nobody watches."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")
Step = Callable[[int], None]


class _Screen:
    """The one live display: rich allows no second, so bars at one time, of any thread, become lines of it."""

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
    """Have the bars of this process shown by another `bar`, such as that of the process that started it."""
    _SCREEN.elsewhere = other


def _display() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


def watched() -> bool:
    """Return whether bars are shown: stderr is a terminal, and nobody asked for quiet."""
    return sys.stderr.isatty() and logging.getLogger("committee").isEnabledFor(logging.INFO)


@contextmanager
def bar(total: int | None, what: str) -> Iterator[Step]:
    """Show a bar while the block runs.

    Parameters
    ----------
    total : int or None
        How many steps there are; None when nobody knows.
    what : str
        The words before the bar.

    Yields
    ------
    callable
        `step(n)`: n more steps are done.
    """
    if _SCREEN.elsewhere is not None:
        with _SCREEN.elsewhere(total, what) as step:
            yield step
        return
    if not watched():
        yield lambda steps: None
        return
    display = _SCREEN.open()
    task = display.add_task(what, total=total)
    try:
        yield lambda steps: display.advance(task, steps)
    finally:
        display.remove_task(task)
        _SCREEN.close()


def track(iterable: Iterable[Item], total: int | None = None, what: str = "") -> Iterator[Item]:
    """Yield from `iterable` under a bar; `total` is its length where it has one."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with bar(total, what) as step:
        for item in iterable:
            yield item
            step(1)

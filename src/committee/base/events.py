"""Events of fits: where they begin, each of their epochs, and how they end, for listeners such as trackers.

They are emitted in the process that makes a fit. Worker processes forward them to the process that started
the run, as they do with log records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from committee.errors import UnfinishedError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Event:
    """What happened to a fit.

    Attributes
    ----------
    kind : str
        `begin`, `epoch` or `end`.
    fit : str
        `member/fold`.
    rows : tuple of mappings
        Of `begin`, the epochs that were made before; of `epoch`, this epoch.
    status : str
        Of `end`: `finished`, `failed`, or `killed` by a signal or a time limit.
    """

    kind: Literal["begin", "epoch", "end"]
    fit: str
    rows: tuple[Row, ...] = field(default=())
    status: str = ""


Listener = Callable[[Event], None]
_LISTENERS: list[Listener] = []


def emit(event: Event) -> None:
    """Pass an event to all listeners of this process."""
    for listener in _LISTENERS:
        listener(event)


def add_listener(listener: Listener) -> None:
    """Pass all events of this process to a function until the process ends."""
    _LISTENERS.append(listener)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Pass events to a function while the block runs; several threads may call it."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


@contextmanager
def reported(fit: str, before: Sequence[Row]) -> Iterator[Callable[[Row], None]]:
    """Emit that a fit begins and how it ends; yield a function that emits an epoch.

    Parameters
    ----------
    fit : str
        `member/fold`.
    before : sequence of mappings
        The epochs that an interrupted fit has made already.

    Examples
    --------
    >>> from committee.base.events import listening, reported
    >>> show = lambda event: print(event.kind, event.status or "-")
    >>> with listening(show), reported("a/fold_0", []) as epoch:
    ...     epoch({"epoch": 1, "train_loss": 0.5})
    begin -
    epoch -
    end finished
    """
    emit(Event("begin", fit, tuple(before)))
    try:
        yield lambda row: emit(Event("epoch", fit, (row,)))
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt | UnfinishedError)
        emit(Event("end", fit, status="killed" if stopped else "failed"))
        raise
    emit(Event("end", fit, status="finished"))

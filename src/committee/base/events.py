"""Events of fits: where they begin, each of their epochs, and how they end, for whoever listens.

They are told in the process that makes a fit, and heard in the one that started the run: worker processes
forward them, as they do with log records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

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
        Of `end`: `finished`, `failed` or `killed`.
    """

    kind: Literal["begin", "epoch", "end"]
    fit: str
    rows: tuple[Row, ...] = field(default=())
    status: str = ""


Listener = Callable[[Event], None]
_LISTENERS: list[Listener] = []


def tell(event: Event) -> None:
    """Pass an event to all listeners of this process."""
    for listener in _LISTENERS:
        listener(event)


def listen(listener: Listener) -> None:
    """Have a function hear all events of this process until it ends."""
    _LISTENERS.append(listener)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Have a function hear the events while the block runs; several threads may call it."""
    _LISTENERS.append(listener)
    try:
        yield
    finally:
        _LISTENERS.remove(listener)


@contextmanager
def told(fit: str, before: Sequence[Row]) -> Iterator[Callable[[Row], None]]:
    """Tell that a fit begins and how it ends; yield a function that tells an epoch.

    Parameters
    ----------
    fit : str
        `member/fold`.
    before : sequence of mappings
        The epochs that an interrupted fit has made already.

    Examples
    --------
    >>> from committee.base.events import heard_by, told
    >>> with heard_by(lambda event: print(event.kind, event.status or "-")), told("a/fold_0", []) as epoch:
    ...     epoch({"epoch": 1, "train_loss": 0.5})
    begin -
    epoch -
    end finished
    """
    tell(Event("begin", fit, tuple(before)))
    try:
        yield lambda row: tell(Event("epoch", fit, (row,)))
    except BaseException as error:
        tell(Event("end", fit, status="killed" if isinstance(error, KeyboardInterrupt) else "failed"))
        raise
    tell(Event("end", fit, status="finished"))

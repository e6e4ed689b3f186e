"""The trackers of one run: what they record, and what happens when one of them fails."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from committee.base.events import Event, listening
from committee.errors import StoreError
from committee.store.commit import write_json
from committee.trackers.base import Results, Run, Tracker
from committee.untrusted.documents import read_json

log = logging.getLogger(__name__)

KEYS = "fits.json"


class Record:
    """Passes the events of a run to its trackers, which begin with the first event.

    A tracker that raises an error is named, and left out from then on.

    Parameters
    ----------
    trackers : mapping of str to Tracker
    begin : callable
        From the name of a tracker to the `Run`; it is called when the first fit begins, or at the end.
    folder : Path
        `tracking` of the store, which has the keys of fits by which they are continued.

    Attributes
    ----------
    failed : dict of str to Exception
        Name of a tracker -> its error.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.base.events import reported
    >>> from committee.trackers.base import Results, Run
    >>> from committee.trackers.csv import Csv
    >>> from committee.trackers.shared.record import Record
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     place = Path(folder)
    ...     record = Record({"csv": Csv()}, lambda name: Run("1", "digits", place / name), place)
    ...     with record.listening(), reported("a/fold_0", []) as epoch:
    ...         epoch({"epoch": 1, "train_loss": 0.5})
    ...     record.close(Results(), "finished")
    ...     print((place / "csv" / "1" / "epochs.csv").read_text().splitlines()[1])
    a/fold_0,1,train_loss,0.5
    """

    def __init__(self, trackers: Mapping[str, Tracker], begin: Callable[[str], Run], folder: Path) -> None:
        self.failed: dict[str, Exception] = {}
        self._waiting, self._begin, self._folder = dict(trackers), begin, folder
        self._open: dict[str, Tracker] = {}
        self._fits: dict[str, None] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Record the fits of this process and of its workers while the block runs."""
        with listening(self._record):
            yield

    def close(self, results: Results, status: str) -> None:
        """Record the results, and end the run: `finished`, `failed` or `killed`."""
        with self._lock:
            self._start()
            for fit in list(self._fits):
                self._end(fit, "killed" if status == "killed" else "failed")
            self._all(lambda name, tracker: tracker.close(results, status))

    def _record(self, event: Event) -> None:
        with self._lock:
            self._start()
            if event.kind == "begin":
                self._begin_fit(event)
            elif event.kind == "end":
                self._end(event.fit, event.status)
            elif event.fit in self._fits:
                self._all(lambda name, tracker: tracker.epoch(event.fit, event.rows[0]))

    def _start(self) -> None:
        """Open the trackers that are not yet open."""
        self._open |= self._waiting
        waiting, self._waiting = self._waiting, {}

        def open_it(name: str, tracker: Tracker) -> None:
            if name in waiting:
                tracker.require()
                tracker.open(self._begin(name))

        self._all(open_it)

    def _begin_fit(self, event: Event) -> None:
        known = self._keys()
        if event.fit in self._fits:  # it begins again, after memory ran out
            self._end(event.fit, "failed")

        def begin(name: str, tracker: Tracker) -> None:
            keys = known.setdefault(name, {})
            before = str(keys.get(event.fit, "")) if event.rows else ""
            keys[event.fit] = tracker.begin(event.fit, before)
            for row in () if before else event.rows:
                tracker.epoch(event.fit, row)

        self._fits[event.fit] = None
        self._all(begin)
        with contextlib.suppress(OSError):  # without the keys, a resumed fit is recorded anew
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._folder / KEYS, known)

    def _end(self, fit: str, status: str) -> None:
        if self._fits.pop(fit, 0) is None:
            self._all(lambda name, tracker: tracker.end(fit, status))

    def _keys(self) -> dict[str, dict[str, Any]]:
        try:
            return dict(read_json(self._folder / KEYS, "the keys of tracked fits"))
        except StoreError:
            return {}

    def _all(self, call: Callable[[str, Tracker], None]) -> None:
        """Call a function with each open tracker; one that raises an error is left out from then on."""
        for name, tracker in list(self._open.items()):
            try:
                call(name, tracker)
            except Exception as error:
                del self._open[name]
                self.failed[name] = error
                text = (str(error).strip().splitlines() or [type(error).__name__])[0]
                log.warning("The tracker %s failed and records no more of this run: %s", name, text)

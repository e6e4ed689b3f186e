"""The result of a stage: what was made, what failed, and which images were left out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from committee.base import interrupt
from committee.errors import UnfinishedError

log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """The result of a stage that continues when one of its parts fails.

    Attributes
    ----------
    done : list of str
        Names of the models and packages that were made.
    failed : dict of str to str
        Name -> reason of each failure.
    quarantined : dict of str to str
        Sample id -> reason of each image that was excluded.
    unfinished : dict of str to str
        Name -> reason of what the time limit of the run left no time for.

    See Also
    --------
    committee.pipeline.stages.base.Stage.run : Returns an outcome.

    Examples
    --------
    >>> from committee.pipeline.shared.outcome import Outcome
    >>> outcome = Outcome()
    >>> for name, divisor in {"a": 2, "b": 0}.items():
    ...     with outcome.attempt(name):
    ...         _ = 1 / divisor
    >>> outcome.done, outcome.failed, outcome.exit_code
    (['a'], {'b': 'ZeroDivisionError: division by zero'}, 3)
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    quarantined: dict[str, str] = field(default_factory=dict)
    unfinished: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 if everything was made, 1 if nothing was, and 3 if some parts are missing or were excluded."""
        if self.missing and not self.done:
            return 1
        return 3 if self.missing or self.quarantined else 0

    @property
    def missing(self) -> dict[str, str]:
        """What failed, and what the time limit left no time for, with the reasons."""
        return {**self.failed, **self.unfinished}

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Run the block for `name`, and record an error instead of raising it."""
        try:
            yield
        except Exception as error:
            interrupt.raise_if_requested()
            self.record(name, error)
        else:
            self.record(name, None)

    def record(self, name: str, error: Exception | None) -> None:
        """Record the success of `name`, or its failure if there is an error."""
        if error is None:
            self.done.append(name)
        else:
            self.fail(name, error)

    def fail(self, name: str, error: Exception) -> None:
        """Record and log the failure of `name`, or that the time limit left no time for it."""
        late = isinstance(error, UnfinishedError)
        log.debug("%s failed", name, exc_info=error)
        text = reason(error)
        (self.unfinished if late else self.failed)[name] = text
        text = text if text.startswith((f"{name}:", f"{name}/")) else f"{name}: {text}"
        log.log(logging.WARNING if late else logging.ERROR, "%s", text)

    def merge(self, other: Outcome) -> None:
        """Add the outcome of another stage; names in both are listed once."""
        self.done += [name for name in other.done if name not in self.done]
        self.failed |= other.failed
        self.unfinished |= other.unfinished
        self.quarantined |= other.quarantined

    def to_json(self) -> dict[str, object]:
        """Return the attributes as plain JSON values."""
        return asdict(self)


def reason(error: Exception) -> str:
    """Return the first line of an error; for errors of other packages, preceded by the class."""
    text = str(error).strip().partition("\n")[0]
    is_own = type(error).__module__.startswith("committee.")
    return text if is_own and text else f"{type(error).__name__}: {text}".rstrip(": ")

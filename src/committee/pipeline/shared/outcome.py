"""What a stage did, what failed and why, and what was asked for but is not there yet."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from committee.base import interrupt

log = logging.getLogger(__name__)


@dataclass
class Outcome:
    """The result of a stage that goes on when one of its parts fails.

    Attributes
    ----------
    done : list of str
        Names of what was made.
    failed : dict
        Name -> reason of what could not be made.
    unbuilt : list of str
        Enabled parts of the recipe that this version does not have.
    quarantined : dict
        Sample id -> reason, of the images that were left out.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    unbuilt: list[str] = field(default_factory=list)
    quarantined: dict[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0: all done; 1: nothing done; 3: some."""
        if self.failed and not self.done:
            return 1
        return 3 if self.failed or self.unbuilt or self.quarantined else 0

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Run the block for `name`; an error is kept as the reason, and the stage goes on."""
        try:
            yield
        except Exception as error:
            interrupt.raise_if_requested()
            self.take(name, error)
        else:
            self.take(name, None)

    def take(self, name: str, error: Exception | None) -> None:
        """Keep that `name` was made, or why it could not be."""
        if error is None:
            self.done.append(name)
        else:
            self.fail(name, error)

    def fail(self, name: str, error: Exception) -> None:
        """Keep and log why `name` could not be made."""
        log.debug("%s failed", name, exc_info=error)
        self.failed[name] = why = reason(error)
        log.error("%s", why if why.startswith((f"{name}:", f"{name}/")) else f"{name}: {why}")

    def merge(self, other: Outcome) -> None:
        """Add what another stage did; what both name is named once."""
        self.done += [name for name in other.done if name not in self.done]
        self.failed |= other.failed
        self.quarantined |= other.quarantined
        self.unbuilt += [name for name in other.unbuilt if name not in self.unbuilt]

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return asdict(self)


def reason(error: Exception) -> str:
    """Return the first line of an error, with its class where the text alone would say too little."""
    text = str(error).strip().partition("\n")[0]
    known = type(error).__module__.startswith("committee.")
    return text if known and text else f"{type(error).__name__}: {text}".rstrip(": ")

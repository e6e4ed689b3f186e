"""What a measurement says of one engine, and the table of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

EAGER = "eager"
"""The engine that runs the module as it is."""
UNFINISHED = ("not tried", "stopped")
"""How the verdicts begin that a larger budget may change."""
COLUMNS = ("engine", "ms", "ratio", "difference", "setup s", "verdict")


@dataclass(frozen=True)
class Trial:
    """The measurement of an engine, or why there is none.

    Attributes
    ----------
    engine, precision : str
    ms : float or None
        Median of the milliseconds of a batch.
    ratio : float or None
        Median of the times relative to those of the module as it is, measured in turns.
    high : float or None
        Upper quartile of these ratios.
    difference : float or None
        Largest difference of a probability, or of a number relative to its size.
    seconds : float or None
        Time in which the engine was prepared.
    verdict : str
        What follows, or why the engine was not measured.

    See Also
    --------
    committee.models.planner.optimize : Measures all engines.

    Examples
    --------
    >>> from committee.models.engine_trials import Trial, table_text
    >>> print(table_text([Trial("eager", "fp32", 4.0, 1.0, 1.0, 0.0, 0.0, "the module as it is")]))
    engine   ms  ratio  difference  setup s  verdict
    eager   4.0   1.00           0      0.0  the module as it is
    """

    engine: str
    precision: str = "fp32"
    ms: float | None = None
    ratio: float | None = None
    high: float | None = None
    difference: float | None = None
    seconds: float | None = None
    verdict: str = ""

    @property
    def title(self) -> str:
        """Name of the engine, with its precision if it is not fp32, as `--engine` takes it."""
        return self.engine if self.precision == "fp32" else f"{self.engine}:{self.precision}"

    @property
    def is_unfinished(self) -> bool:
        """Whether the time was over before the engine was measured."""
        return self.verdict.startswith(UNFINISHED)

    @property
    def is_missing(self) -> bool:
        """Whether the engine cannot run the module on this machine."""
        return self.verdict.startswith("missing")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return the trial that `to_json` described.

        Raises
        ------
        ValueError
            The values are not those of a trial.
        """
        made = cls(**values)
        numbers = (made.ms, made.ratio, made.high, made.difference, made.seconds)
        texts = (made.engine, made.precision, made.verdict)
        known = all(each is None or isinstance(each, int | float) for each in numbers)
        if not known or not all(isinstance(each, str) for each in texts):
            raise ValueError(f"a trial with the values {values}")
        return made

    def cells(self) -> list[str]:
        """Return the cells of `COLUMNS`."""
        return [
            self.title,
            "" if self.ms is None else _three_digits(self.ms),
            "" if self.ratio is None else f"{self.ratio:.2f}",
            "" if self.difference is None else f"{self.difference:.2g}",
            "" if self.seconds is None else f"{self.seconds:.1f}",
            self.verdict,
        ]


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def table_text(trials: Sequence[Trial]) -> str:
    """Return a table of trials as text; numbers are aligned at the right."""
    cells = [list(COLUMNS), *(trial.cells() for trial in trials)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(COLUMNS))]
    right = COLUMNS[1:-1]
    lines = [
        "  ".join(
            cell.rjust(width) if name in right else cell.ljust(width)
            for name, cell, width in zip(COLUMNS, row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)

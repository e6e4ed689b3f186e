"""Where the fits of a run are made: the key `executor`."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, model_validator

from committee.executors.base import EXECUTORS, Executor
from committee.executors.shared.division import Workers
from committee.recipe.section import Section, check_options, entry_of, or_text

AUTO = "auto"


class ExecutorChoice(Section):
    """An executor with its options.

    Examples
    --------
    >>> from committee.recipe.load import load_recipe
    >>> recipe = load_recipe(None, ["executor={name: ray, cpus: 2}"])
    >>> recipe.executor.options
    {'cpus': 2}
    """

    model_config = ConfigDict(extra="allow")

    name: entry_of(EXECUTORS.package, AUTO) = Field(  # type: ignore[valid-type]
        description="Name of the executor; further keys are its options."
    )

    @model_validator(mode="after")
    def _check_options(self) -> ExecutorChoice:
        check_options(EXECUTORS, self.entry, self.options, given=["workers"])
        return self

    @property
    def entry(self) -> str:
        """Name of the executor; `auto` is `processes`."""
        return "processes" if self.name == AUTO else str(self.name)

    @property
    def options(self) -> dict[str, Any]:
        """Options of the executor."""
        return dict(self.model_extra or {})

    def make(self, workers: Workers) -> Executor:
        """Return the executor.

        Raises
        ------
        UsageError
            It cannot make this many fits at once.
        """
        return EXECUTORS.make(self.entry, workers=workers, **self.options)


AnyExecutor = Annotated[ExecutorChoice, or_text(ExecutorChoice, "name")]

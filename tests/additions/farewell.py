"""A stage that writes a file."""

from __future__ import annotations

from typing import ClassVar

from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.summary import Summary
from committee.pipeline.stages.base import Names, Stage, Verbs
from committee.recipe.model import Recipe
from committee.store.layout import Store


class Farewell(Stage):
    """Write a farewell.

    Parameters
    ----------
    name : str
        Who is addressed.
    """

    sections = ()
    order = 200
    verbs: ClassVar[Verbs] = {
        "farewell": {"--name": {"default": "world", "metavar": "NAME", "help": "who leaves"}}
    }
    debug = "farewell"

    def __init__(self, name: str = "world") -> None:
        self.name = name

    def names(self, recipe: Recipe) -> Names:
        """Return no names."""
        return Names()

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the text."""
        return Summary({"name": self.name}, [f"A farewell to {self.name}."])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Write the file."""
        (store.root / "farewell.txt").write_text(f"Goodbye, {self.name}\n", encoding="utf-8")
        return Outcome()

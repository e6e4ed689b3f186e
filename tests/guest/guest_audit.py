"""A stage with a section of its own: it counts the ensembles and writes the count to a file."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from committee.pipeline.discover import require_store
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.summary import Summary
from committee.pipeline.stages.base import Names, Stage, Verbs
from committee.recipe.model import Recipe
from committee.recipe.section import Section
from committee.store.layout import Store


class GuestAudit(Stage):
    """Count the ensembles of the store, and write the count to a file."""

    class Settings(Section):
        """Audit of the ensembles of a store."""

        enable: bool = Field(True, description="Write the audit.")
        file: str = Field("audit.txt", description="File in the store.")

    sections = ("guest_audit",)
    order = 150
    verbs: ClassVar[Verbs] = {
        "guest-audit": {
            "--file": {
                "metavar": "FILE",
                "help": "file of the audit in the store",
                "sets": "guest_audit.file",
                "enables": "guest_audit.enable",
            }
        }
    }
    debug = "guest_audit"
    todo = "Enable it with: --set guest_audit.enable=true"

    def names(self, recipe: Recipe) -> Names:
        """Return no names: nothing is made but a file."""
        return Names()

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the name of the file."""
        require_store(store)
        file = self.section(recipe).file
        return Summary({"file": file}, [f"The audit would be written to {file}."])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Write the file."""
        names = [*store.ensembles()] or [*store.members()]
        (store.root / self.section(recipe).file).write_text(f"{len(store.ensembles())} ensembles\n")
        return Outcome(done=names[:1])

    def report(self, outcome: Outcome, store: Store) -> Summary:
        """Return the number of ensembles."""
        return Summary({"ensembles": len(store.ensembles())}, [f"{len(store.ensembles())} ensembles"])

"""Cross-fits of plans, and the record of what each came to."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence

from committee.executors.division import Workers
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import failure_file
from committee.store.commit import write_json
from committee.store.layout import Store
from committee.training.crossfit.crossfits import crossfit
from committee.training.plans.base import Plan


def fit_all(plans: Sequence[Plan], store: Store, workers: Workers, outcome: Outcome) -> None:
    """Cross-fit plans; one that fails is named in the outcome and in the store, and the others go on."""
    with _settled_memory():
        for plan, error in crossfit(plans, store, workers):
            for name in (plan.name, *plan.others) if error is None else (plan.name,):
                outcome.take(name, error)
            remember(store, plan.name, outcome.failed.get(plan.name))


def remember(store: Store, member: str, why: str | None) -> None:
    """Keep the reason why a member could not be made, or forget the one that there was."""
    path = failure_file(store, member)
    if why is None:
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"name": member, "reason": why})


@contextlib.contextmanager
def _settled_memory() -> Iterator[None]:
    """Keep what is loaded by now from the garbage collector, which runs after each fit and would walk it."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

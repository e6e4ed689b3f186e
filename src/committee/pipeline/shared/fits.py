"""Cross-fitting of several plans, with a record of their failures in the store."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Sequence

from committee.executors.base import Executor
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import failure_file
from committee.store.commit import write_json
from committee.store.layout import Store
from committee.training.crossfit.crossfits import crossfit
from committee.training.plans.base import Plan


def fit_plans(plans: Sequence[Plan], store: Store, executor: Executor, outcome: Outcome) -> None:
    """Cross-fit plans; a failure is recorded in the outcome and in the store, and the other plans go on."""
    if not plans:
        return
    with _frozen_memory():
        for plan, error in crossfit(plans, store, executor):
            for name in (plan.name, *plan.others) if error is None else (plan.name,):
                outcome.record(name, error)
            record_failure(store, plan.name, outcome.failed.get(plan.name))


def record_failure(store: Store, member: str, reason: str | None) -> None:
    """Store the reason why a member could not be fitted, or remove an earlier one if it is None."""
    path = failure_file(store, member)
    if reason is None:
        path.unlink(missing_ok=True)
    else:
        write_json(path, {"name": member, "reason": reason})


@contextlib.contextmanager
def _frozen_memory() -> Iterator[None]:
    """Exclude existing objects from garbage collection, which runs after each fit and would traverse them."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()

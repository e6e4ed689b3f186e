"""Cross-fitting of several plans, with a record of their failures in the store."""

from __future__ import annotations

from collections.abc import Sequence

from committee.executors.base import Executor
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import failure_file
from committee.store.commit import write_json
from committee.store.layout import Store
from committee.training.crossfit.crossfits import crossfit
from committee.training.plans.base import Plan


def fit_plans(plans: Sequence[Plan], store: Store, executor: Executor, outcome: Outcome) -> None:
    """Cross-fit plans; a failure is recorded in the outcome and in the store, and the other plans go on.

    So is a plan for which the deadline that is in effect leaves no time.
    """
    if not plans:
        return
    for plan, error in crossfit(plans, store, executor):
        for name in (plan.name, *plan.others) if error is None else (plan.name,):
            outcome.record(name, error)
        record_failure(store, plan.name, outcome)


def record_failure(store: Store, member: str, outcome: Outcome) -> None:
    """Store the reason why a member was not fitted, and whether that was the time limit, or remove it."""
    path = failure_file(store, member)
    if member in outcome.missing:
        late = {"unfinished": True} if member in outcome.unfinished else {}
        write_json(path, {"name": member, "reason": outcome.missing[member], **late})
    else:
        path.unlink(missing_ok=True)

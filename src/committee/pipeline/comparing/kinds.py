"""What a person calls the kinds of models that are compared."""

from __future__ import annotations

from committee.pipeline.shared.records import member_facts
from committee.pipeline.shared.reports import Report
from committee.store.layout import Store

SINGLE = "single"
"""The kind of members that are single networks."""
KINDS = {
    "soft_voting": "vote",
    "hard_voting": "vote",
    "logit_averaging": "vote",
    "weighted": "weighted",
    "greedy_selection": "weighted",
    "stacking_lr": "stack",
    "stacking_mlp": "stack",
    "stacking_rf": "stack",
    "stacking_xgb": "stack",
    "compose": "meta-fuser",
    "fallback": "TTA",
    "stacking_ridge": "stack",
    "distillation": "student",
    "moe": "mixture of experts",
    "channel_pruning": "pruned channels",
    "view": "single, TTA",
}
"""The words for combiners of ensembles and plans of members, where these are not their own names."""
PRECISIONS = {"float16": "float16", "int8": "int8", "dynamic": "int8"}
"""The precision of a file, by what the name of its folder in the package contains."""


def kind_of(store: Store, report: Report) -> str:
    """Return the kind of a model, such as `single`, `soup`, `vote`, `stack`, `cascade`, `TTA` or `student`.

    An ensemble of test-time views that leaves the views out is `TTA, left out`.
    """
    if report["kind"] != "ensemble":
        plan = str(member_facts(store, report["name"]).get("plan", SINGLE))
        return KINDS.get(plan, plan)
    method = str(report["method"])
    is_left_out = method == "fallback" and report.get("notes", {}).get("used") != "inner"
    return KINDS.get(method, method) + (", left out" if is_left_out else "")


def kind_of_file(kind: str, package: str) -> str:
    """Return the kind of a file whose probabilities are not those of the model, such as `int8 student`.

    Parameters
    ----------
    kind : str
        The kind of the model.
    package : str
        The folder of the file in the package of the model.

    Examples
    --------
    >>> from committee.pipeline.comparing.kinds import kind_of_file
    >>> kind_of_file("student", "onnx_int8"), kind_of_file("vote", "custom")
    ('int8 student', 'approximate vote')
    """
    found = (its for part, its in PRECISIONS.items() if part in package)
    return f"{next(found, 'approximate')} {kind}"

"""Names of the metrics that weights and selections of members can optimize."""

from __future__ import annotations

OBJECTIVES = ("log_loss", "brier", "accuracy", "balanced_accuracy", "f1_macro", "auroc")
"""The metrics of classes that can be optimized by name, besides functions of the user."""
MAP_OBJECTIVES = ("log_loss", "brier", "accuracy", "balanced_accuracy", "mean_iou", "mean_dice")
"""Those of the classes of pixels."""
NUMBER_OBJECTIVES = ("rmse", "mae", "r2")
"""Those of numbers."""
AUTO = "auto"
"""The default objective of a task: `log_loss` of classes, `rmse` of numbers."""
PREFIX = "python:"


def is_custom(name: str) -> bool:
    """Return whether a name has the form `python:module.function`; a colon may replace the last dot."""
    parts = name.removeprefix(PREFIX).replace(":", ".").split(".")
    return name.startswith(PREFIX) and len(parts) > 1 and all(part.isidentifier() for part in parts)

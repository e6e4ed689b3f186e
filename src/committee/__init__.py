"""Train, combine, compress and ship ensembles of deep vision models.

The names below load when they are first used, so that `import committee` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from committee._version import __version__

if TYPE_CHECKING:
    from committee.combiners.base import Combiner
    from committee.errors import CommitteeError
    from committee.models.ensemble import Ensemble
    from committee.models.member import Member
    from committee.pipeline.combine import combine
    from committee.pipeline.run import run
    from committee.pipeline.shared.models import load_model
    from committee.pipeline.shared.splits import load_predictions
    from committee.predictions.table import Predictions
    from committee.recipe.load import load_recipe
    from committee.store.layout import Store

_HOME = {
    "Combiner": "committee.combiners.base",
    "CommitteeError": "committee.errors",
    "Ensemble": "committee.models.ensemble",
    "Member": "committee.models.member",
    "Predictions": "committee.predictions.table",
    "Store": "committee.store.layout",
    "combine": "committee.pipeline.combine",
    "load_model": "committee.pipeline.shared.models",
    "load_predictions": "committee.pipeline.shared.splits",
    "load_recipe": "committee.recipe.load",
    "run": "committee.pipeline.run",
}

__all__ = [
    "Combiner",
    "CommitteeError",
    "Ensemble",
    "Member",
    "Predictions",
    "Store",
    "__version__",
    "combine",
    "load_model",
    "load_predictions",
    "load_recipe",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'committee' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

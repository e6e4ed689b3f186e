"""Settings of fits in memory: those of the section `training` of a recipe, as keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import ValidationError

from committee.errors import UsageError, nearest
from committee.recipe.document import Document
from committee.recipe.training import Training
from committee.recipe.validation_errors import recipe_error

OF_STORES = {
    "body_lr",
    "crops_per_image",
    "folds",
    "head_epochs",
    "inference",
    "output_stride",
    "pretrained",
    "shared_start",
    "start_seed",
}
"""Settings that need backbones by name, masks or a store."""
DEFAULTS = {"augment": "none", "folds": 0, "pretrained": False}
KEYS = tuple(key for key in Training.model_fields if key not in OF_STORES)


def training_settings(given: Mapping[str, Any], *, judged: bool = False) -> Training:
    """Return checked settings; others have the defaults of a recipe, without augmentation.

    Parameters
    ----------
    given : mapping
        What the user has set: only that is named where it has no effect.
    judged : bool
        Whether there are rows that judge epochs, of which the best is then kept by default.

    Raises
    ------
    UsageError
        A key does not exist or has no effect in memory, or a value is not valid.

    Examples
    --------
    >>> from committee.in_memory.settings import training_settings
    >>> training_settings({"epochs": 3, "optimizer": "sgd"}).rate()
    0.05
    """
    for key in given:
        if key not in KEYS:
            raise UsageError(
                "fit_members",
                expected=f"settings of training among {', '.join(KEYS)}",
                got=f"'{key}'",
                todo=nearest(key, KEYS),
            )
    defaults = {**DEFAULTS, "best_checkpoint": judged}
    values = {**defaults, **{key: _plain(value) for key, value in given.items()}}
    try:
        found = Training.model_validate(values)
    except ValidationError as error:
        raise recipe_error(error, Document(values), Training) from None
    found.model_fields_set.difference_update(defaults.keys() - given.keys())
    return found


def _plain(value: Any) -> Any:
    """Return numbers of numpy as those of Python."""
    return value.item() if isinstance(value, np.generic) else value

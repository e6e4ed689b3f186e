"""Errors for outputs that are not finite: the inputs are named if they are the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from committee.base.text import wrong_rows
from committee.errors import DataError
from committee.models._images import channels_of, image_batches
from committee.tasks.base import task_of_model


def require_finite_inputs(who: str, images: Any, channels: int) -> None:
    """Raise a DataError that names the first row of inputs of a floating type with NaN or infinity."""
    finite = [batch.isfinite().flatten(1).all(1) for batch in image_batches(images, channels)]
    right = torch.cat(finite).cpu().numpy() if finite else np.ones(0, bool)
    if not right.all():
        raise DataError(
            who,
            expected="finite numbers",
            got=f"NaN or infinity{wrong_rows(right)}",
            todo="Leave out these rows, or fill in values: numpy.nan_to_num.",
        )


def not_finite(module: nn.Module, images: Any, which: str) -> DataError:
    """Return the error for outputs that are not finite; raise that for the inputs if these are the reason."""
    who, task = str(getattr(module, "name", type(module).__name__)), task_of_model(module)
    require_finite_inputs(f"{who}: inputs", images, channels_of(module))
    return DataError(
        who,
        expected=f"finite {'logits' if task.logits else task.target_type.answers}",
        got=f"NaN or infinity for {which}",
        todo="Check the weights of the networks.",
    )

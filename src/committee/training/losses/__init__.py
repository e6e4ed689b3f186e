"""Losses of training: what a network has to learn from the labels."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.training.losses.base import Loss as Loss

__getattr__, __dir__ = reexport(__name__, family=True)

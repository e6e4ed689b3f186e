"""Prediction files: formats of tables of sample ids and scores."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.predictions.files.base import PredictionFile as PredictionFile
    from committee.predictions.files.base import Table as Table
    from committee.predictions.files.base import read as read
    from committee.predictions.files.base import read_labels as read_labels

__getattr__, __dir__ = reexport(__name__, family=True)

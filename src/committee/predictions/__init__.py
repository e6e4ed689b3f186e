"""Predictions: logits of members on samples, joined by sample id and class name."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.predictions.simulation import simulate as simulate
    from committee.predictions.simulation import simulate_maps as simulate_maps
    from committee.predictions.simulation import simulate_numbers as simulate_numbers
    from committee.predictions.table import Predictions as Predictions

__getattr__, __dir__ = reexport(__name__)

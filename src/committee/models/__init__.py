"""Models: members, ensembles of members, and measurements of their size and speed."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.models.ensemble import Ensemble as Ensemble
    from committee.models.measure import batch_times as batch_times
    from committee.models.measure import call_times as call_times
    from committee.models.measure import parameters as parameters
    from committee.models.measure import size_mb as size_mb
    from committee.models.member import Member as Member
    from committee.models.optimized import Optimized as Optimized
    from committee.models.planner import optimize as optimize
    from committee.models.predictor import ModulePredictor as ModulePredictor
    from committee.models.predictor import Predictor as Predictor
    from committee.models.timing import Timing as Timing
    from committee.models.timing import interleaved as interleaved
    from committee.models.timing import peak_memory_mb as peak_memory_mb
    from committee.models.vote import Vote as Vote

__getattr__, __dir__ = reexport(__name__)

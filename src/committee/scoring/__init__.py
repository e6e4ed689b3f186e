"""Scores: cross-fitted metrics of combiners, and paired comparisons between them."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.scoring.baselines import Baselines as Baselines
    from committee.scoring.calibrations import calibrated as calibrated
    from committee.scoring.calibrations import calibration_change as calibration_change
    from committee.scoring.divergence import disagreement as disagreement
    from committee.scoring.equivalent import Equivalent as Equivalent
    from committee.scoring.equivalent import deep_ensemble_equivalent as deep_ensemble_equivalent
    from committee.scoring.family import simultaneous as simultaneous
    from committee.scoring.gains import Gain as Gain
    from committee.scoring.gains import gain as gain
    from committee.scoring.leave_one_out import contribution_seconds as contribution_seconds
    from committee.scoring.leave_one_out import contributions as contributions
    from committee.scoring.scores import Scores as Scores
    from committee.scoring.scores import cross_fit as cross_fit
    from committee.scoring.scores import score as score
    from committee.scoring.scores import score_all as score_all
    from committee.scoring.singles import best_single as best_single

__getattr__, __dir__ = reexport(__name__)

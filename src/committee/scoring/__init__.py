"""Scores: cross-fitted metrics of combiners, and paired comparisons between them."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.scoring.scoring import Baselines as Baselines
    from committee.scoring.scoring import Gain as Gain
    from committee.scoring.scoring import Scores as Scores
    from committee.scoring.scoring import best_single as best_single
    from committee.scoring.scoring import calibration_change as calibration_change
    from committee.scoring.scoring import contributions as contributions
    from committee.scoring.scoring import cross_fit as cross_fit
    from committee.scoring.scoring import disagreement as disagreement
    from committee.scoring.scoring import gain as gain
    from committee.scoring.scoring import score as score
    from committee.scoring.scoring import score_all as score_all

__getattr__, __dir__ = reexport(__name__)

"""Train, combine, compress and ship ensembles of deep vision models.

The names below load on first use, so that `import committee` is fast.
"""

from typing import TYPE_CHECKING

from committee._version import __version__ as __version__
from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.combiners.base import Combiner as Combiner
    from committee.errors import CommitteeError as CommitteeError
    from committee.in_memory.estimators import EnsembleClassifier as EnsembleClassifier
    from committee.in_memory.estimators import EnsembleRegressor as EnsembleRegressor
    from committee.in_memory.members import fit_members as fit_members
    from committee.models.ensemble import Ensemble as Ensemble
    from committee.models.member import Member as Member
    from committee.pipeline.combine import combine as combine
    from committee.pipeline.run import run as run
    from committee.pipeline.shared.models import load_model as load_model
    from committee.pipeline.shared.sample_weights import sample_weights as sample_weights
    from committee.pipeline.shared.splits import load_predictions as load_predictions
    from committee.predictions.table import Predictions as Predictions
    from committee.recipe.load import load_recipe as load_recipe
    from committee.report.leaderboard import leaderboard as leaderboard
    from committee.report.page import write_report as write_report
    from committee.store.layout import Store as Store

__getattr__, __dir__ = reexport(__name__)

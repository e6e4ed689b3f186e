"""Metrics of classes, numbers and maps, confidence intervals, ranking, diversity, conformal prediction."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.metrics.class_images import ClassImages as ClassImages
    from committee.metrics.classification import confusion as confusion
    from committee.metrics.classification import evaluate as evaluate
    from committee.metrics.classification import mistakes as mistakes
    from committee.metrics.classification import per_class as per_class
    from committee.metrics.confidence import intervals as intervals
    from committee.metrics.conformal import class_thresholds as class_thresholds
    from committee.metrics.conformal import nonconformity as nonconformity
    from committee.metrics.conformal import sets as sets
    from committee.metrics.conformal import threshold as threshold
    from committee.metrics.conformal_numbers import coverage_and_width as coverage_and_width
    from committee.metrics.conformal_numbers import interval_limits as interval_limits
    from committee.metrics.conformal_numbers import prediction_intervals as prediction_intervals
    from committee.metrics.conformal_numbers import residual_scores as residual_scores
    from committee.metrics.curves import Reliability as Reliability
    from committee.metrics.curves import reliability as reliability
    from committee.metrics.curves import risk_coverage as risk_coverage
    from committee.metrics.diversity import error_correlation as error_correlation
    from committee.metrics.diversity import pairwise_diversity as pairwise_diversity
    from committee.metrics.interval_table import IntervalTable as IntervalTable
    from committee.metrics.metric import Metric as Metric
    from committee.metrics.mixtures import Moments as Moments
    from committee.metrics.mixtures import gaussian_crps as gaussian_crps
    from committee.metrics.mixtures import gaussian_log_loss as gaussian_log_loss
    from committee.metrics.mixtures import gaussian_scores as gaussian_scores
    from committee.metrics.mixtures import mixture_moments as mixture_moments
    from committee.metrics.named import METRICS as METRICS
    from committee.metrics.named import get_metric as get_metric
    from committee.metrics.number_images import NumberImages as NumberImages
    from committee.metrics.ranking import Ranking as Ranking
    from committee.metrics.risk import RiskCoverage as RiskCoverage
    from committee.metrics.sampling import Interval as Interval
    from committee.metrics.set_coverage import coverage_and_size as coverage_and_size
    from committee.metrics.set_table import SetTable as SetTable
    from committee.metrics.set_table import selective as selective
    from committee.metrics.summaries import Summary as Summary
    from committee.metrics.summaries import summary as summary
    from committee.metrics.uncertainty import entropy as entropy
    from committee.metrics.uncertainty import expected_entropy as expected_entropy
    from committee.metrics.uncertainty import mutual_information as mutual_information
    from committee.metrics.uncertainty import variation_ratio as variation_ratio

__getattr__, __dir__ = reexport(__name__)

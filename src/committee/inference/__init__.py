"""Inference: prediction of images with stored models and exported files."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.inference.answers import Answers as Answers
    from committee.inference.into_parts import InProcess as InProcess
    from committee.inference.into_parts import PartsReport as PartsReport
    from committee.inference.into_parts import predict_parts as predict_parts
    from committee.inference.on_ray import OnRay as OnRay
    from committee.inference.origins import model_digest as model_digest
    from committee.inference.photos import find_photos as find_photos
    from committee.inference.predict import Prediction as Prediction
    from committee.inference.predict import open_model as open_model
    from committee.inference.prediction_csv import PredictionCsv as PredictionCsv
    from committee.inference.rules import rule_of as rule_of
    from committee.inference.shipping import ship as ship

__getattr__, __dir__ = reexport(__name__)

"""Inference: prediction of images with stored models and exported files."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.inference.answers import Answers as Answers
    from committee.inference.predict import Prediction as Prediction
    from committee.inference.predict import find_photos as find_photos
    from committee.inference.predict import open_model as open_model
    from committee.inference.prediction_csv import PredictionCsv as PredictionCsv

__getattr__, __dir__ = reexport(__name__)

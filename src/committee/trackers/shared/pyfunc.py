"""Exported models as MLflow models of the flavor `python_function`."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from committee._version import __version__
from committee.errors import require
from committee.exporters.base import format_of, open_exported
from committee.models.predictor import Predictor
from committee.predictions.target_types import target_type_of


def save_pyfunc(file: Path, folder: Path) -> Path:
    """Write an exported file as an MLflow model, which `mlflow.pyfunc.load_model` opens.

    The model predicts images, uint8 `[B, c, H, W]`. It returns a data frame with a column for each class or
    target, float32, or an array of maps `[B, C, H, W]`. Where it runs, it needs `committee` and the runtime
    of the file.

    Parameters
    ----------
    file : Path
        A file of `committee export` that predicts on its own, such as `deploy/NAME/onnx/model.onnx`.
    folder : Path
        The folder to write, which does not exist.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    DependencyError
        MLflow, or the runtime of the file, is not installed.
    UsageError
        The file may run code, which a registry must not hand out.
    StoreError
        The file is damaged.

    See Also
    --------
    committee.trackers.mlflow.Mlflow : Registers such a model (`register`).
    """
    try:
        from mlflow import pyfunc
    except ImportError as error:
        raise require("mlflow", "mlflow", "MLflow models") from error
    model = open_exported(file)
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        for each in (file, file.with_name(f"{file.name}.data")):
            if each.is_file():
                shutil.copyfile(each, Path(temporary) / each.name)
        # The signature is derived from the model, and need not be tried out with an example.
        warnings.filterwarnings("ignore", ".*An input example was not provided", UserWarning)
        pyfunc.save_model(
            str(folder),
            loader_module=_load_pyfunc.__module__,
            data_path=temporary,
            signature=_signature(model),
            pip_requirements=[f"committee[onnx]=={__version__}"],
            metadata={"name": model.name, "class_names": list(model.class_names)},
        )
    return folder


def _signature(model: Predictor) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    images = TensorSpec(np.dtype(np.uint8), (-1, model.channels, -1, -1), "images")
    if target_type_of(model).dense:
        shape = (-1, len(model.class_names), -1, -1)
        return ModelSignature(Schema([images]), Schema([TensorSpec(np.dtype(np.float32), shape)]))
    return ModelSignature(Schema([images]), Schema([ColSpec("float", name) for name in model.class_names]))


class _Model:
    """What `mlflow.pyfunc.load_model` wraps."""

    def __init__(self, model: Predictor) -> None:
        self.model = model

    def predict(self, images: Any, params: Any = None) -> Any:
        """Return the predictions of images, uint8 `[B, c, H, W]`."""
        found = self.model(np.asarray(next(iter(images.values())) if isinstance(images, dict) else images))
        if target_type_of(self.model).dense:
            return found
        import pandas as pd

        return pd.DataFrame(found, columns=list(self.model.class_names))


def _load_pyfunc(path: str) -> _Model:
    """Open the model in a folder that `save_pyfunc` wrote; MLflow calls it by this name."""
    files = [each for each in sorted(Path(path).iterdir()) if format_of(each)]
    return _Model(open_exported(files[0]))

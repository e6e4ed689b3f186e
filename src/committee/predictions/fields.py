"""The fields of a predictions table, as its files and its joins read them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Fields(Protocol):
    """An object with the fields of `committee.predictions.Predictions`, which describes them."""

    @property
    def logits(self) -> NDArray[np.float32]: ...
    @property
    def members(self) -> tuple[str, ...]: ...
    @property
    def class_names(self) -> tuple[str, ...]: ...
    @property
    def sample_ids(self) -> NDArray[np.str_]: ...
    @property
    def labels(self) -> NDArray[np.int64] | None: ...
    @property
    def folds(self) -> NDArray[np.int64] | None: ...
    @property
    def groups(self) -> NDArray[np.int64] | None: ...
    @property
    def seen(self) -> NDArray[np.bool_]: ...

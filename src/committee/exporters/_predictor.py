"""What every exported file becomes when it is loaded: uint8 images in, probabilities out. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Probabilities = NDArray[np.float32]


class Predictor(Protocol):
    """A model behind one call, wherever it runs.

    Attributes
    ----------
    name : str
        What it is called.
    class_names : tuple of str, length C
        Column order of its probabilities.
    channels : int
        Of the images that it takes: 1 or 3.
    provenance : mapping
        What is known of it.
    """

    @property
    def name(self) -> str: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def channels(self) -> int: ...

    @property
    def provenance(self) -> Mapping[str, Any]: ...

    def __call__(self, images: Images) -> Probabilities:
        """Turn uint8 `[B, c, H, W]`, any H and W, into probabilities float32 `[B, C]`."""
        ...

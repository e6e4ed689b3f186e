"""The base class of methods that compress an exported file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from committee.base.registry import Family

Images = NDArray[np.uint8]


class Compressor(ABC):
    """Base class of the methods that make a smaller or faster file of an ONNX file.

    A method changes the networks only: preprocessing, combiner and softmax remain float32. Its options are
    parameters of its constructor, which are stored under their own names. The attributes are literals.

    Attributes
    ----------
    format : str
        The export format that opens the result, such as `onnx`.
    folder : str
        Name of the folder of the result in a package, such as `onnx_int8`.
    calibrated : bool
        Whether the method needs images: activations are then rounded to ranges that are measured on them.
    precision : str
        The option `precision` of the export format that the result has.
    tolerance : float
        Largest difference between a probability of the result and that of the module with which an export is
        kept. It only guards against broken files; the losses that matter are measured on held-out rows.
    needs : tuple of str
        The packages that the method imports.
    extra : str
        The extra of `committee` that installs them.
    branches : bool
        Whether the result keeps the branches of a graph; otherwise every network runs on every image.
    mixes : bool
        Whether the method applies other methods to single networks.

    See Also
    --------
    committee.pipeline.stages.compress.Compress : Measures what each method costs, and selects one.

    Examples
    --------
    >>> from committee.compression.base import COMPRESSORS
    >>> COMPRESSORS.load("onnx_static").folder, COMPRESSORS.load("float16").calibrated
    ('onnx_int8', False)
    """

    format: ClassVar[str] = "onnx"
    folder: ClassVar[str]
    calibrated: ClassVar[bool] = True
    precision: ClassVar[str] = "int8"
    tolerance: ClassVar[float] = 0.5
    needs: ClassVar[tuple[str, ...]] = ("onnx", "onnxruntime")
    extra: ClassVar[str] = "onnx"
    branches: ClassVar[bool] = True
    mixes: ClassVar[bool] = False

    @abstractmethod
    def compress(
        self, file: Path, images: Images, folder: Path, networks: Collection[str] | None = None
    ) -> Path:
        """Write a compressed version of a file into a folder, and return it.

        Parameters
        ----------
        file : Path
            A float32 ONNX file that the exporter `onnx` wrote.
        images : uint8 array `[N, c, H, W]`
            Images to calibrate with, which the compressed file will not be measured on.
        folder : Path
            An existing folder.
        networks : collection of str, optional
            Names of the networks that are compressed, as members are named; all by default.

        Raises
        ------
        ExportError
            The file cannot be compressed by this method.
        DependencyError
            A package that the method needs is not installed.
        """


COMPRESSORS: Family[Compressor] = Family("committee.compression", "compression method")

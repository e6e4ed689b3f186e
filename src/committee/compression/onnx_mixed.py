"""A method of its own for each network of an ONNX file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from committee.base.onnx_networks import network_names
from committee.compression import _onnx as files
from committee.compression.base import COMPRESSORS, Compressor, Images
from committee.errors import ExportError, UsageError, first_five

ORDER = ("onnx_static", "onnx_dynamic", "float16")
"""The methods in the order in which they are applied: half precision last, since the others need float32."""
FLOAT = "float32"


class OnnxMixed(Compressor):
    """One method for each network of an ensemble, in one file: 8 bits for those that gain by them.

    Networks with batch norm and ReLU gain most by 8 bits, and mobile networks and transformers may lose
    accuracy, or time. `methods: auto` of the section `compress` chooses the method of each network by
    measurement.

    Parameters
    ----------
    networks : mapping of str to str
        Name of a network, which is that of its member -> `onnx_static`, `onnx_dynamic`, `float16`, or
        `float32` for a network that stays as it is.
    others : str
        The method of the networks that are not named.

    See Also
    --------
    OnnxStatic, Float16 : The methods, with their default options.

    Examples
    --------
    >>> from committee.compression.onnx_mixed import OnnxMixed
    >>> OnnxMixed({"resnet18": "onnx_static"}, others="float16").folder
    'onnx_mixed'
    """

    folder = "onnx_mixed"
    precision = "mixed"
    mixes = True

    def __init__(self, networks: Mapping[str, str] | None = None, others: str = "float16") -> None:
        self.networks, self.others = dict(networks or {}), others
        for key, method in {**self.networks, "others": others}.items():
            if method not in (*ORDER, FLOAT):
                raise UsageError(key, expected=f"one of {', '.join((*ORDER, FLOAT))}", got=f"'{method}'")

    def compress(
        self, file: Path, images: Images, folder: Path, networks: Collection[str] | None = None
    ) -> Path:
        """Apply one method after the other; see the base class."""
        files.require_packages(self.needs, self.extra, "quantization of an ONNX file")
        names = network_names(file, networks)
        if networks is None and (unknown := self.networks.keys() - names):
            raise ExportError(
                str(file), expected=f"networks among {first_five(names)}", got=first_five(unknown)
            )
        with tempfile.TemporaryDirectory() as temporary:
            for method in ORDER:
                chosen = [name for name in names if self.networks.get(name, self.others) == method]
                if chosen:
                    place = Path(temporary, method)
                    place.mkdir()
                    file = COMPRESSORS.make(method).compress(file, images, place, chosen)
            for part in file.parent.glob(f"{file.name}*"):
                shutil.copyfile(part, folder / part.name.replace(file.name, files.FILE))
        return folder / files.FILE

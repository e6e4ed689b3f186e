"""Static quantization to 8 bits with NNCF, for OpenVINO."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from committee.base.onnx_networks import network_nodes, read
from committee.base.openvino_core import openvino_core
from committee.base.quiet import quiet
from committee.compression import _onnx as files
from committee.compression.base import Compressor, Images
from committee.errors import UsageError

FILE = "model.xml"
KEY = "committee"
"""Place of the card in the file; the same as that of the exporter `openvino`."""
DATA = ("Constant", "Parameter", "Result")
PRESETS = {"mixed": "MIXED", "performance": "PERFORMANCE"}


class Nncf(Compressor):
    """Weights and activations as 8-bit integers, quantized by NNCF for OpenVINO.

    NNCF corrects the bias of each layer after the quantization, and knows which operations of a transformer
    lose accuracy, so transformers and mobile networks usually lose less than with `OnnxStatic`. The result
    are two files that OpenVINO runs. They have no branches: every network of a cascade runs on every image.

    Parameters
    ----------
    preset : {"mixed", "performance"}
        `performance` quantizes activations symmetrically, which is faster and less accurate.
    transformer : bool
        Whether the networks are transformers, of which attention is treated in a special way.
    accurate_bias : bool
        Whether the bias is corrected layer by layer, which takes longer and is more accurate.

    See Also
    --------
    OnnxStatic : The same for onnxruntime, without corrections.

    Examples
    --------
    >>> from committee.compression.nncf import Nncf
    >>> Nncf().folder, Nncf().format
    ('openvino_int8', 'openvino')
    """

    format = "openvino"
    folder = "openvino_int8"
    needs = ("openvino", "nncf")
    extra = "openvino"
    branches = False

    def __init__(self, preset: str = "mixed", transformer: bool = False, accurate_bias: bool = False) -> None:
        if preset not in PRESETS:
            raise UsageError("preset", expected=f"one of {', '.join(PRESETS)}", got=f"'{preset}'")
        self.preset, self.transformer, self.accurate_bias = preset, transformer, accurate_bias

    def compress(
        self, file: Path, images: Images, folder: Path, networks: Collection[str] | None = None
    ) -> Path:
        """Write the quantized files; see the base class."""
        files.require_packages(("onnx",), "onnx", "quantization of an ONNX file")
        with _silence():
            files.require_packages(self.needs, self.extra, "quantization for OpenVINO")
            import nncf
            import openvino

            model = read(file)
            inside = {node.name for node in network_nodes(model, str(file), networks)}
            with (
                tempfile.TemporaryDirectory() as temporary
            ):  # NNCF cannot read branches with choices around them
                graph = openvino_core().read_model(files.save(model, Path(temporary)))
            quantized = nncf.quantize(
                graph,
                nncf.Dataset(list(files.batches(images)), lambda batch: {graph.input(0).any_name: batch}),
                preset=nncf.QuantizationPreset[PRESETS[self.preset]],
                model_type=nncf.ModelType.TRANSFORMER if self.transformer else None,
                fast_bias_correction=not self.accurate_bias,
                subset_size=-(-len(images) // files.BATCH),
                ignored_scope=nncf.IgnoredScope(names=_outside(graph, model, inside), validate=False),
            )
            quantized.set_rt_info(_card(model), KEY)
            openvino.save_model(quantized, folder / FILE, compress_to_fp16=False)
        return folder / FILE


def _outside(graph: Any, model: Any, inside: Collection[str]) -> list[str]:
    """Return the names of the operations of an OpenVINO graph that belong to no network."""
    values = {value for node in model.graph.node if node.name not in inside for value in node.output}
    found = []
    for operation in graph.get_ordered_ops():
        names = {name for output in operation.outputs() for name in output.get_names()}
        if operation.get_type_name() not in DATA and (
            names & values or operation.get_friendly_name() in values
        ):
            found.append(operation.get_friendly_name())
    return found


def _card(model: Any) -> str:
    """Return what the metadata of an ONNX file say about its model, as the exporter `openvino` stores it."""
    facts = {entry.key: entry.value for entry in model.metadata_props}
    keys = ("class_names", "provenance", "input", "target_type", "units")
    card = {key: json.loads(facts[key]) for key in keys if key in facts}
    channels = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    return json.dumps({"name": facts["name"], "channels": channels, **card}, ensure_ascii=False)


@contextmanager
def _silence() -> Iterator[None]:
    """Silence the progress, the warnings and the telemetry of NNCF and OpenVINO."""
    # Otherwise NNCF sends a record of each quantization to its authors.
    os.environ.setdefault("NNCF_CI", "1")
    logger = logging.getLogger("nncf")
    disabled = logger.disabled
    try:
        with quiet("nncf"), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = disabled

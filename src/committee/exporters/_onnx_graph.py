"""Translation of a module to an ONNX file."""

from __future__ import annotations

import ast
import importlib
import json
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from committee.backbones.base import Backbone
from committee.base.onnx_networks import NETWORK
from committee.base.quiet import quiet
from committee.base.tracing import tracing
from committee.errors import require
from committee.exporters._program import FREE, linked, recorded
from committee.exporters.base import STD, Card
from committee.models.moments import has_variance

log = logging.getLogger(__name__)

# A protobuf file contains at most 2 GiB; a part of it is reserved for the graph beside the weights.
LARGEST_FILE = 2**31 - 2**26

_BACKBONE = f"{Backbone.__module__}.{Backbone.__qualname__}"


def write(
    module: nn.Module, example: Tensor, path: Path, card: Card, *, always_resized: bool = False
) -> Path:
    """Write a module to an ONNX file and return its path; see `Exporter.export`.

    Unless images are `always_resized`, those of the size of the canvas are not.
    """
    require_packages("exporting to ONNX")
    from committee.base.onnx_branches import add_branches

    model = _translate(module, example, card, always_resized)
    add_branches(model.graph)
    networks = _Networks(module)
    for node in model.graph.all_nodes():
        node.name = f"{networks.prefix(node.metadata_props)}{node.name}"
        # The source line of each node: half of a small file, and paths of this machine.
        node.metadata_props.clear()
    model.metadata_props.update(
        name=card.name,
        class_names=json.dumps(card.class_names, ensure_ascii=False),
        provenance=json.dumps(dict(card.facts), ensure_ascii=False),
        input=json.dumps(card.input),
        **{name: json.dumps(value, ensure_ascii=False) for name, value in card.predicts().items()},
        networks=json.dumps(networks.classes, ensure_ascii=False),
    )
    return save(model, path)


class _Networks:
    """The networks of a module, which are named by the members that they belong to.

    Attributes
    ----------
    classes : dict of str to (list of str or None)
        Name of each network -> the names of its classes.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.classes: dict[str, list[str] | None] = {}

    def prefix(self, facts: Mapping[str, str]) -> str:
        """Return the prefix of the name of a node from its metadata; empty for a node of no network."""
        if _BACKBONE not in facts.get("pkg.torch.onnx.class_hierarchy", ""):
            return ""
        kinds = ast.literal_eval(facts["pkg.torch.onnx.class_hierarchy"])
        if kinds.index(_BACKBONE) == len(kinds) - 2:  # how its output is read, which is not compressed
            return ""
        path = ast.literal_eval(facts["pkg.torch.onnx.name_scopes"])[kinds.index(_BACKBONE)]
        # What `linked` returns has the module as `model`; a module that is called twice has `@1` in its path.
        owner = re.sub(r"@\d+", "", path).removeprefix("model").removeprefix(".").rpartition(".")[0]
        member = self.module.get_submodule(owner)
        name = re.sub(r"[^\w.-]", "_", str(getattr(member, "name", "") or owner or "network"))
        self.classes[name] = list(map(str, getattr(member, "class_names", ()))) or None
        return f"{NETWORK}{name}/"


def _translate(module: nn.Module, example: Tensor, card: Card, always_resized: bool) -> Any:
    from committee.exporters._onnx_operations import ALWAYS_RESIZED, TRANSLATIONS

    model = linked(module).eval()
    outputs = [card.target_type.answers, *([STD] if has_variance(module) else [])]
    images = [model.example(example)]
    translations = ALWAYS_RESIZED if always_resized else TRANSLATIONS
    free, who = {"images": model.free}, f"onnx of {card.name}"
    return record(model, images, free, ["images"], outputs, who, translations)


def record(
    model: nn.Module,
    images: Sequence[Tensor],
    free: Any,
    inputs: Sequence[str],
    outputs: Sequence[str],
    who: str,
    translations: dict[Any, Any],
) -> Any:
    """Translate a module to an ONNX model in memory.

    Parameters
    ----------
    model : torch.nn.Module
        What is recorded; networks of one architecture are recorded once.
    images : sequence of Tensor
        What `model` is called with.
    free : Any
        The free dimensions, as `torch.export.export` takes them.
    inputs, outputs : sequence of str
        Names in the graph.
    who : str
        Format and name of the model, for the error.
    translations : dict
        How operations of `committee` are written in ONNX.
    """
    from committee.exporters._onnx_networks import Alike
    from committee.exporters._onnx_operations import OPERATIONS
    from committee.exporters._onnx_simplify import simplify

    def export() -> Any:
        alike = Alike(model, images)
        with tracing(alike.model, alike.operations):
            found = _exported(alike.model, images, free, translations, inputs, outputs)
        alike.put(found.graph, lambda net, pixels: _exported(net, [pixels], ({0: FREE[0]},)).graph)
        simplify(found)
        return found

    def again() -> object:
        return torch.export.export(model, tuple(images), dynamic_shapes=free, strict=False)

    @contextmanager
    def within() -> Iterator[None]:
        with _quiet(), tracing(model, OPERATIONS):
            yield

    return recorded(model, export, who, "torch.export", within, again)


def _exported(
    model: nn.Module,
    images: Sequence[Tensor],
    free: Any,
    translations: dict[Any, Any] | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Any:
    """Return a module as an ONNX model in memory, as torch translates it."""
    from onnxscript.optimizer import inline

    program: Any = torch.onnx.export(
        model,
        tuple(images),
        dynamo=True,
        verbose=False,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=free,
        custom_translation_table=translations,
        optimize=False,
    )
    inline(program.model)
    return program.model


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' log messages, and log their warnings for debugging.

    They are about what libraries do themselves, and not about what the user can change.
    """
    loggers = quiet("torch.onnx", "onnxscript", "onnx_ir")
    # A member of weight zero has the logarithm -inf, about which constant folding warns.
    with loggers, np.errstate(divide="ignore"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        yield
    for each in caught:
        log.debug("while a graph was recorded: %s", each.message)


def save(model: Any, path: Path) -> Path:
    """Write an ONNX model, and weights beyond 2 GiB to a second file; return the path."""
    import onnx_ir

    size = sum(value.const_value.nbytes for part in model.graphs() for value in part.initializers.values())
    onnx_ir.save(model, path, external_data=f"{path.name}.data" if size > LARGEST_FILE else None)
    return path


def require_packages(what: str) -> None:
    """Raise DependencyError unless the packages that write ONNX files are installed."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise require(package, "onnx", what) from None

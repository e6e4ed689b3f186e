"""Bundles: one folder or zip file with all that someone needs to use a model, without committee."""

from __future__ import annotations

from pathlib import Path

from committee.errors import ExportError, UsageError
from committee.exporters.base import EXPORTERS, open_exported
from committee.images.record import load_record
from committee.pipeline.bundling import card, script, triton, web
from committee.pipeline.bundling.reading import Bundle
from committee.pipeline.bundling.subject import Subject
from committee.pipeline.bundling.writing import write
from committee.pipeline.discover import require_store
from committee.pipeline.model_card.described import Data
from committee.pipeline.shared.package_model import package_model
from committee.pipeline.shared.reports import read_reports
from committee.predictions.target_types import target_type_of
from committee.recipe.exports import ExportFormat
from committee.recipe.model import Recipe
from committee.store.layout import Store


def bundle(
    recipe: Recipe,
    store: Store,
    name: str,
    out: Path | None = None,
    *,
    format: str = "onnx",
    web_runtime: str = "none",
    license: str = "",
    force: bool = False,
) -> Bundle:
    """Write a model of a store as a bundle: the ONNX file, a script, a card, a page, and a Triton repository.

    The ONNX file is exported first, and compared with the model, unless it is up to date.

    Parameters
    ----------
    recipe : Recipe
        Its data set, for the comparison, and the `python:` backbones that may be built.
    store : Store
    name : str
        A member or an ensemble, by full or short name.
    out : Path, optional
        The folder, or a zip file whose name ends in `.zip`; `bundles/NAME` of the store by default.
    format : str
        The export format, with its options: `onnx`, or such as `onnx:precision=float16`.
    web_runtime : str
        Source of onnxruntime-web for the page: `none`, `npm`, which downloads it, or a folder that has it.
    license : str
        Identifier of the license of the weights, as the Hugging Face hub writes it, such as `apache-2.0`;
        empty is `model_card.license` of the recipe.
    force : bool
        Whether to replace a bundle with other content at `out`; that of the store is always replaced.

    Raises
    ------
    UnknownNameError
        The store has no such model.
    ExportError
        The model cannot be exported to ONNX.
    UsageError
        `out` exists with other content, or `format` or `web_runtime` is not valid.
    DependencyError
        A package is not installed.
    StoreError
        A file is damaged, or the disk is full, read-only or failing. Then nothing was written.

    See Also
    --------
    committee.pipeline.bundling.reading.check : Verify a bundle.
    committee.pipeline.stages.export.Export : Other formats.
    """
    require_store(store)
    full, its = store.resolve(name), _onnx_format(format)
    path = store.bundle(full) if out is None else out
    with store.hold(), web.runtime_files(web_runtime) as runtime:
        subject = _subject(recipe, store, full, its, license)
        content = {**script.files(subject), **triton.files(subject), **web.files(subject, runtime)}
        content |= card.files(subject, content)
        return Bundle(full, path, write(content, path, full, force=force or out is None))


def _onnx_format(text: str) -> ExportFormat:
    """Return the format of the model in the bundle, of which the script, the page and Triton need ONNX."""
    found = ExportFormat.of(text)
    if EXPORTERS.constants(found.format).get("suffix") != ".onnx":
        expected = "onnx, possibly with options such as onnx:precision=float16"
        raise UsageError("--format", expected=expected, got=f"'{text}'")
    return found


def _subject(recipe: Recipe, store: Store, name: str, its: ExportFormat, license: str) -> Subject:
    """Export a model if need be, and return what is known about it."""
    entry = package_model(recipe, store, name, store.deploy(name), [its])["formats"][its.name]
    if entry["status"] != "done":
        raise ExportError(entry["reason"])
    file = store.deploy(name) / entry["file"]
    model = open_exported(file)
    return Subject(
        name,
        tuple(model.class_names),
        model.channels,
        model.provenance,
        next(iter(read_reports(store, name)), {}),
        float(entry["parity"]["max_abs_diff"]),
        Data.of(load_record(store)),
        recipe.model_card.model_copy(update={"license": license or recipe.model_card.license}),
        target_type_of(model),
        tuple(getattr(model, "units", ())),
        file=file,
    )

"""The folder format of saved predictions: NPY arrays and one JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import StoreError
from committee.predictions.blocks import blocks_of, outputs_of
from committee.predictions.checks import (
    as_float32,
    check_seen,
    check_shape,
    check_unique,
    check_variances,
    whole_numbers,
)
from committee.predictions.fields import Fields
from committee.predictions.target_types import CLASSES, TARGET_TYPES
from committee.store.mapped import create_array
from committee.untrusted.documents import build, read_json
from committee.untrusted.growth import text_array
from committee.untrusted.npy import load_npy

PROTOCOL = 1
_COLUMNS = ("labels", "folds", "groups", "seen", "variances")
_OF_MEMBERS = ("seen", "variances")


def write(predictions: Fields, folder: Path) -> None:
    """Write `logits.npy`, an NPY file for each column, and `predictions.json` into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_logits(predictions.logits, folder / "logits.npy")
    columns = [name for name in _COLUMNS if getattr(predictions, name) is not None]
    for name in columns:
        np.save(folder / f"{name}.npy", getattr(predictions, name))
    text = json.dumps(
        {
            "protocol": PROTOCOL,
            "members": predictions.members,
            "class_names": predictions.class_names,
            "target_type": predictions.target_type.name,
            "columns": columns,
            "sample_ids": predictions.sample_ids.tolist(),
        },
        ensure_ascii=False,
    )
    (folder / "predictions.json").write_text(text + "\n", encoding="utf-8")


def read(folder: Path, mmap: bool) -> dict[str, Any]:
    """Read and check the fields of saved predictions.

    Whether the logits are finite is not checked, since that would read the whole array.

    Raises
    ------
    StoreError
        A file is missing or damaged, has another shape, or was written with another protocol.
    """
    facts = read_json(folder / "predictions.json", "saved predictions")
    if facts.get("protocol") != PROTOCOL:
        raise StoreError(
            str(folder / "predictions.json"), expected=f"protocol {PROTOCOL}", got=str(facts.get("protocol"))
        )
    return build(lambda: _fields(folder, facts, mmap), folder, "saved predictions")


def read_logits(folder: Path, rows: slice) -> NDArray[np.float32]:
    """Read some rows of saved predictions into memory, `[M, n, C, ...]`; the file does not stay mapped."""
    return np.array(load_npy(folder / "logits.npy", mmap=True)[:, rows], np.float32)


def _write_logits(logits: NDArray[np.float32], path: Path) -> None:
    """Write logits; those that are not in memory one member after the other, in float16 if they are."""
    kept = blocks_of(logits)
    if kept is None:
        np.save(path, logits)
        return
    file = create_array(path, kept.shape, kept.stored_as)
    for place, member in enumerate(kept):
        file[place] = member
    file.flush()


def _fields(folder: Path, facts: Mapping[str, Any], mmap: bool) -> dict[str, Any]:
    who = str(folder)
    members, classes = tuple(facts["members"]), tuple(facts["class_names"])
    target_type = TARGET_TYPES[facts.get("target_type", CLASSES.name)]
    ids = text_array(facts["sample_ids"])
    check_unique(ids, f"{who}: sample ids")
    logits = load_npy(folder / "logits.npy", mmap=mmap)
    shape = (len(members), len(ids), len(classes))
    if logits.dtype not in (np.float32, np.float16) or logits.shape[:3] != shape:
        raise StoreError(
            str(folder / "logits.npy"),
            expected=f"float32 or float16 {list(shape)}",
            got=f"{logits.dtype} {list(logits.shape)}",
        )
    check_shape(logits, members, classes, who, target_type)
    columns = {name: load_npy(folder / f"{name}.npy") for name in _COLUMNS if name in facts["columns"]}
    for name, column in columns.items():
        own, wanted = (column.shape[:2], shape[:2]) if name in _OF_MEMBERS else (column.shape[:1], shape[1:2])
        if own != wanted:
            raise StoreError(
                str(folder / f"{name}.npy"), expected=f"{shape[1]} rows", got=f"an array {list(column.shape)}"
            )
    rows = len(ids)
    if logits.dtype == np.float16:
        of_classes = target_type.of_rows is CLASSES
        logits = outputs_of(logits, who) if of_classes else as_float32(logits, who)
    return {
        "logits": logits,
        "members": members,
        "class_names": classes,
        "sample_ids": ids,
        "labels": target_type.stored(columns.get("labels"), rows, len(classes), f"{who}: labels"),
        "folds": whole_numbers(columns.get("folds"), rows, f"{who}: folds"),
        "groups": whole_numbers(columns.get("groups"), rows, f"{who}: groups"),
        "seen": check_seen(columns["seen"], shape[:2], who),
        "target_type": target_type,
        "variances": _variances(columns.get("variances"), logits.shape, who),
    }


def _variances(
    column: NDArray[np.float32] | None, shape: tuple[int, ...], who: str
) -> NDArray[np.float32] | None:
    return None if column is None else check_variances(column, shape, who)

"""The writer of CSV files of probabilities."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.predictions.files._columns import ID, KNOWN
from committee.store.commit import replacing_text


def write_csv(
    path: Path,
    sample_ids: ArrayLike,
    probabilities: NDArray[np.floating],
    class_names: tuple[str, ...],
    labels: ArrayLike | None = None,
) -> None:
    """Write one row for each sample: its id, the probability of each class, and optionally its label.

    Class columns have the names of the classes, or `p0`, `p1`, ... if the classes are numbered or one of them
    has the name of another column. `committee combine` can read the file.

    Parameters
    ----------
    path : Path
        The file; its folder is created.
    sample_ids : str array [N]
    probabilities : float array [N, C]
    class_names : tuple of str
    labels : int array [N], optional
        Class indices, which are written as class names.
    """
    numbered = class_names == tuple(map(str, range(len(class_names)))) or {*class_names} & {ID, *KNOWN}
    header = [f"p{index}" for index in range(len(class_names))] if numbered else list(class_names)
    numbers = ",".join(["%.7g"] * len(class_names))
    ids, rows = np.asarray(sample_ids).tolist(), np.asarray(probabilities)
    names = None if labels is None else [_quoted(class_names[label]) for label in np.asarray(labels).tolist()]
    with replacing_text(path) as file:
        file.write(",".join(map(_quoted, [ID, *header, *([] if names is None else ["label"])])) + "\n")
        for start in range(0, len(ids), 4096):
            for place, row in enumerate(rows[start : start + 4096].tolist(), start):
                label = "" if names is None else f",{names[place]}"
                file.write(f"{_quoted(str(ids[place]))},{numbers % tuple(row)}{label}\n")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if re.search(r'[",\r\n]', text) else text

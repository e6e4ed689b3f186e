"""The process that runs one exported file and measures it: `python -m committee.pipeline.comparing.child`.

It imports what the file needs and nothing else, so that its memory is that of a program that serves the file.
The argument is a JSON file with the `file`, the `photos`, the `device` and `trusted`; the result is a line of
JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from committee.exporters.base import open_exported
from committee.models.timing import peak_memory_mb, times_of

CALLS = {"1": 30, "32": 6}
"""Number of timed calls by the number of images."""
SECONDS = 2.0
"""No further call is started after this time."""


def main(request: Path) -> None:
    """Measure the file that a request names, and print the result."""
    wanted = json.loads(request.read_text(encoding="utf-8"))
    with np.load(wanted["photos"], allow_pickle=False) as stored:
        images = {name: stored[name] for name in stored.files}
    batches = {
        "1": [image[None] for name, image in sorted(images.items()) if name != "batch"],
        "32": [images["batch"]],
    }
    start = peak_memory_mb()
    opened = time.perf_counter()
    predict = open_exported(wanted["file"], wanted["device"], wanted["trusted"])
    result: dict[str, Any] = {"open_s": time.perf_counter() - opened, "memory_mb": {"start": start}}
    result["times"] = {}
    for size, given in batches.items():
        result["times"][size] = times_of(predict, given, CALLS[size], SECONDS).tolist()
        result["memory_mb"][size] = peak_memory_mb()
    print(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

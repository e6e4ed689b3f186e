"""Seconds of each stage of `examples/digits/recipe.yaml`, and of their longest parts.

Runs the recipe in this process, with timers around some functions; time in a function with a timer of its
own counts for that function. Worker processes run at the same time as the stage that waits for them.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import Row, main, seconds

from committee.recipe.load import load_recipe
from committee.store.layout import Store

RECIPE = Path(__file__).parents[1] / "examples" / "digits" / "recipe.yaml"
QUICK = [
    "backbones.include=[timm:test_vit]",
    "training.epochs=1",
    "training.folds=2",
    "exports.formats=[state_dict]",
    "runs.score_ensemble.methods=[soft_voting]",
    "runs.stacking.enable=false",
]
IMPORTS = "import committee.pipeline.run"
PARTS = {
    "images: read, decode, split": ["pipeline.shared.to_train:open_dataset"],
    "training: folds and refits": ["pipeline.stages.train:Train.run"],
    "building: fits and scores of ensembles": [
        "pipeline.stages.score_ensemble:ScoreEnsemble.run",
        "pipeline.stages.stacking:Stacking.run",
    ],
    "building: contribution of each member": ["pipeline.shared.build:contributions"],
    "evaluating: test scores, intervals, latency": ["pipeline.stages.evaluate:Evaluate.run"],
    "exporting: files and records": ["pipeline.stages.export:Export.run"],
    "exporting: translation to ONNX": ["exporters._onnx_graph:_translate"],
    "exporting: parity": ["pipeline.shared.package:check_parity"],
    "catalog": ["pipeline.run:discover"],
}


class Clock:
    """Seconds by part, each without the parts inside it."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._inside = [0.0]

    def around(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with a timer around it."""

        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            self._inside.append(0.0)
            start = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                whole = time.perf_counter() - start
                self.spent[part] = self.spent.get(part, 0.0) + whole - self._inside.pop()
                self._inside[-1] += whole

        return timed


@contextlib.contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Add timers to the functions of `PARTS` while the block runs."""
    before = []
    for part, places in PARTS.items():
        for place in places:
            module, _, path = place.partition(":")
            *owners, name = path.split(".")
            owner = functools.reduce(getattr, owners, importlib.import_module(f"committee.{module}"))
            before.append((owner, name, getattr(owner, name)))
            setattr(owner, name, clock.around(part, getattr(owner, name)))
    try:
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def measure(quick: bool) -> list[Row]:
    """Return the seconds of each part, longest first, and their sum."""
    clock = Clock()
    if not quick:
        clock.spent["imports"] = seconds(lambda: subprocess.run([sys.executable, "-c", IMPORTS], check=True))
    run = importlib.import_module("committee.pipeline.run")
    recipe = load_recipe(RECIPE, QUICK if quick else [])
    with tempfile.TemporaryDirectory() as folder, watched(clock):
        run.run(recipe, Store(Path(folder) / "store"))
    total = sum(clock.spent.values())
    rows = [Row("the digits example", "all", "", total)]
    for part, spent in sorted(clock.spent.items(), key=lambda pair: -pair[1]):
        rows.append(Row("the digits example", f"{part} ({spent / total:.0%})", "", spent))
    return rows


if __name__ == "__main__":
    main(measure, threads=None)

"""Use the additions in every way that a user would, and write what was found to `found.json`."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from importlib.metadata import distribution
from pathlib import Path

import numpy as np

RECIPE = """
dataset: {path: images.blobs, img_size: 16, num_workers: 0, batch_size: 8}
device: cpu
training: {plan: plain, folds: 2, epochs: 1, warmup_epochs: 0, lr: 1e-2}
models: [{name: "own:tiny", seeds: [0, 1]}]
runs:
  score_ensemble: {methods: [soft_voting, second], calibrate: none}
  model_soup: {methods: [newest], over: [folds]}
  fusion: {fusion_methods: [summed], fusion_config: {epochs: 1}}
pruning: {methods: [last_first]}
exports: {formats: [sealed], which: [second_ensemble]}
"""


def say(*words: str, code: int = 0) -> str:
    """Run a command and return what it printed."""
    from committee.cli.main import main

    with contextlib.redirect_stdout(io.StringIO()) as out:
        got = main(list(words))
    assert got == code, f"{words}: exit code {got}\n{out.getvalue()}"
    return out.getvalue()


def images() -> None:
    """Write 40 dark and light images."""
    random = np.random.default_rng(0)
    array = random.integers(0, 100, (40, 12, 12)) + 120 * (np.arange(40) % 2)[:, None, None]
    with Path("images.blobs").open("wb") as file:
        np.save(file, array.astype(np.uint8))
    from PIL import Image

    Image.fromarray(array[0].astype(np.uint8)).save("one.png")


def predictions() -> None:
    """Write the predictions of two models, and the labels."""
    random = np.random.default_rng(0)
    ids = [f"s{row}" for row in range(60)]
    labels = random.integers(0, 2, 60)
    for name in ("one", "two"):
        noisy = 1 / (1 + np.exp(-(4.0 * labels - 2 + random.normal(0, 1.5, 60))))
        lines = [f"{key},{value:.6f}" for key, value in zip(ids, noisy, strict=True)]
        Path(f"{name}.pairs").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [f"{key},{value}" for key, value in zip(ids, labels, strict=True)]
    Path("labels.csv").write_text("\n".join(["id,label", *rows]) + "\n", encoding="utf-8")


def difference() -> float:
    """Return by how much the new combiner differs after it was saved and loaded."""
    from committee.combiners.base import COMBINERS, load, save
    from committee.predictions.simulation import simulate

    rows = simulate({"good": 3.0, "fair": 2.0})
    rule = COMBINERS.make("second").fit(rows)
    Path("rule").mkdir()
    save(rule, Path("rule"))
    return float(np.abs(load(Path("rule")).combine(rows.logits) - rule.combine(rows.logits)).max())


def reference(scripts: str) -> str:
    """Return the generated reference pages."""
    sys.path.insert(0, scripts)
    import write_reference

    return "".join(page() for page in write_reference.PAGES.values())


def main(scripts: str) -> None:
    """Use everything."""
    from committee.base.registry import Family
    from committee.store.layout import Store

    points = distribution("additions").entry_points
    loaded = {point.group: Family(point.group, "entry").load(point.name).__name__ for point in points}
    images()
    predictions()
    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    found: dict[str, object] = {
        "loaded": loaded,
        "schema": say("schema"),
        "help": say("--help"),
        "farewell --help": say("farewell", "--help"),
        "reference": reference(scripts),
        "run --dry-run": say("run", "recipe.yaml", "--dry-run"),
        "difference": difference(),
        "combine": say("combine", "one.pairs", "two.pairs", "--labels", "labels.csv"),
    }
    say("run", "recipe.yaml")
    store = Store(Path("store"))
    file = next(store.deploy("second_ensemble").rglob("*.sealed"))
    found |= {
        "members": store.members(),
        "ensembles": store.ensembles(),
        "farewell": (store.root / "farewell.txt").read_text(encoding="utf-8"),
        "file": str(file),
        "predict": json.loads(say("predict", str(file), "one.png", "--json")),
        "debug": [
            row
            for section in ("greeting", "farewell")
            for row in json.loads(say("debug", "recipe.yaml", "--fast", "--section", section, "--json"))
        ],
    }
    Path("found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])

"""Training of fusion heads on stored embeddings, compared with training head and backbones end to end.

Uses scikit-learn's digits, the same number of epochs, and two backbones with random weights, since their
quality does not matter here. Both run in alternation in one process; the note has the time to extract the
embeddings once for all heads.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch
from harness import Row, main, seconds, spread

from committee.base.devices import resolve
from committee.pipeline.discover import discover
from committee.pipeline.shared.derived_members import open_context
from committee.pipeline.stages.fusion import extracted
from committee.pipeline.stages.train import Train
from committee.recipe.load import load_recipe
from committee.recipe.runs import Fusion, Network
from committee.store.layout import Store
from committee.training.fit.resume import forget
from committee.training.plans.fusion import FusionPlan

QUESTION, PEER, TARGET = "a fusion head", "training end to end", 1


def measure(quick: bool) -> list[Row]:
    """Compare one fit on all training rows."""
    names = ("test_resnet", "test_vit") if quick else ("resnet18", "mobilenetv3_small_100")
    size, epochs, repeats = (32, 1, 1) if quick else (64, 3, 3)
    device = resolve("auto")
    recipe = load_recipe(
        None,
        [
            "dataset.name=digits",
            "dataset.channels=1",
            f"dataset.img_size={size}",
            "dataset.batch_size=64",
            "training.folds=0",
            "training.epochs=1",
            "training.pretrained=false",
            f"models=[{', '.join(f'{{name: timm:{name}}}' for name in names)}]",
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store")
        Train().run(recipe, store)
        with store.hold():
            context = open_context(recipe, store, discover(store), names)
            start = time.perf_counter()
            with extracted(context, names) as places:
                extracting = time.perf_counter() - start
                rows = context.dataset.rows("train")

                def plan(end_to_end: bool) -> FusionPlan:
                    config = Network(epochs=epochs)
                    section = Fusion(fusion_config=config, end_to_end=end_to_end)
                    inputs = context.inputs(names)
                    return FusionPlan("fusion", "concat_mlp", inputs, section, places, recipe.training)

                heads, ends = [], []
                for _ in range(repeats):
                    heads.append(seconds(lambda: plan(False).run(rows, "refit", fingerprint="a")))
                    forget(store.resume("fusion", "refit"))
                    ends.append(seconds(lambda: plan(True).run(rows, "refit", fingerprint="b")))
    ratios = [end / head for end, head in zip(ends, heads, strict=True)]
    middle, low, high = spread(ratios)
    where = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    work = f"{' + '.join(names)}, {size} px, {len(rows)} rows, {epochs} epochs, {where}"
    note = f"extraction of embeddings: {extracting:.1f} s; a head includes the choice of epochs"
    return [Row(QUESTION, work, PEER, sorted(heads)[len(heads) // 2], middle, low, high, TARGET, note)]


if __name__ == "__main__":
    main(measure, threads=None)

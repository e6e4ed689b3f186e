"""The debug section that runs one training step of each network."""

from __future__ import annotations

from committee.base.devices import resolve
from committee.base.text import count
from committee.debug.base import Section, log_facts, statistics
from committee.debug.shared.bench import Bench, names_of
from committee.pipeline.shared.to_train import members_to_train, open_for
from committee.training.fit.smoke import smoke


class Smoke(Section):
    """Run one batch forward and backward through each network: shapes, finite loss and gradients.

    See Also
    --------
    committee.training.fit.smoke.smoke : The function that it runs.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.debug.shared.bench import Bench
    >>> from committee.debug.smoke import Smoke
    >>> from committee.recipe.load import load_recipe
    >>> from committee.store.layout import Store
    >>> recipe = load_recipe(None, ["backbones.include=[timm:resnet18]"])
    >>> bench = Bench(Store(Path("store")), Store(Path("scratch")), recipe, fast=False)
    >>> Smoke().plan(bench)
    'one batch forward and backward through resnet18'
    """

    order = 5

    def plan(self, bench: Bench) -> str:
        return f"one batch forward and backward through {names_of(bench.recipe)}"

    def run(self, bench: Bench) -> str:
        specs, device = members_to_train(bench.recipe), resolve(bench.recipe.device)
        dataset = open_for(bench.recipe, specs, bench.scratch)
        log_facts(
            "data set",
            images=statistics(
                next(iter(dataset.canvases.values())) if dataset.maps is None else dataset.maps.image(0)
            ),
            classes=", ".join(dataset.class_names),
        )
        for spec in specs:
            smoke(spec, dataset, device)
            log_facts(spec.name, backbone=spec.backbone, img_size=spec.img_size, device=device)
        return f"{count(len(specs), 'network')} with finite loss and gradients"

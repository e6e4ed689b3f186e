"""Whole images of maps with the worst predictions, and those on which members disagree most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import printable
from committee.images.dataset import Dataset, open_dataset
from committee.images.stored import stored_maps
from committee.pipeline.shared.map_scores import MapsOfMembers, Scored, map_from_files
from committee.pipeline.shared.reports import Report
from committee.pipeline.shared.sets import voting
from committee.report.blocks import Block, Card, Gallery
from committee.report.cells import name_of
from committee.report.facts import Facts
from committee.report.map_picture import map_panels, sized
from committee.report.sections._cards import image_of, uri
from committee.report.sections.base import ReportSection

LISTED, WIDTH = 6, 360
Pairs = list[tuple[str, str]]
TITLES = {"worst": "Worst images", "disagreements": "Images with most disagreement"}


class MapImages(ReportSection):
    """Galleries of an image, its mask, the prediction, and both laid over the image.

    See Also
    --------
    committee.report.map_picture.map_panels : Makes the panels.
    """

    title = "Images with maps"
    order = 165

    def applies(self, facts: Facts) -> bool:
        """Return whether the recommended model lists whole images."""
        return any(facts.shown[0].get(key) for key in TITLES) if facts.shown else False

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield a gallery of each kind."""
        report = facts.shown[0]
        pictures = _Pictures(facts, report)
        for key, title in TITLES.items():
            listed = (report.get(key) or [])[:LISTED]
            cards = [pictures.card(each) for each in listed]
            if cards:
                text = f"{name_of(report)}, test split.{pictures.note}"
                yield Gallery(title, text, cards, wide=True)


def _lines(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, f"{value:.4g}") for key, value in found.items() if key != "sample_id" and value is not None]


class _Pictures:
    """Pictures of images with masks, and with the predictions of a model if all of its maps are stored."""

    def __init__(self, facts: Facts, report: Report) -> None:
        self.facts, self.note = facts, ""
        self.shown = set[str]()
        self.maps: MapsOfMembers | None = None
        record, store, name = facts.record, facts.store, str(report["name"])
        if record is None or stored_maps(store, record) is None:
            self.note = facts.about_images or " Masks and predictions are not shown: there is no record."
            return
        dataset: Dataset = open_dataset(None, store, folds=0, seed=0)
        self.maps = MapsOfMembers(store, dataset, "test", device=None)  # type: ignore[arg-type]
        rule = facts.combiner(name) if name in store.ensembles() else voting(dataset.task)
        self.model = Scored(rule, facts.deployed_of(name))

    def card(self, found: Mapping[str, Any]) -> Card:
        """Return an image, its mask and prediction as panels, or what there is of them, and its scores."""
        sample = str(found["sample_id"])
        if sample in self.shown:
            return Card(printable(sample), "", [*_lines(found), ("image", "shown above")])
        self.shown.add(sample)
        panels, legend = self._panels(sample)
        return Card(printable(sample), "", _lines(found), panels=panels, legend=legend)

    def _panels(self, sample: str) -> tuple[Pairs, Pairs]:
        row = self.facts.rows.get(sample)
        if self.maps is None or row is None:
            image_alone = image_of(self.facts, sample)
            return [("image", image_alone)] if image_alone else [], []
        dataset = self.maps.dataset
        assert dataset.maps is not None
        image, mask = np.array(dataset.maps.image(row)), np.array(dataset.maps.map(row))
        outputs = map_from_files(self.model, self.maps, row)
        if outputs is None:
            self.note = " Predictions are not shown: their maps are not stored (dataset.keep_maps)."
            return [("image", uri(image, WIDTH))], []
        found = map_panels(
            image.transpose(2, 0, 1),
            dataset.task.linked(outputs),
            dataset.class_names,
            dataset.target_type,
            mask=_first(mask),
        )
        panels = [(name, uri(np.asarray(sized(pixels)), WIDTH)) for name, pixels in found.panels]
        return panels, [(printable(name), uri(np.array([[color]], np.uint8))) for name, color in found.legend]


def _first(mask: NDArray[Any]) -> NDArray[Any]:
    return mask if mask.ndim == 2 else mask[..., 0]

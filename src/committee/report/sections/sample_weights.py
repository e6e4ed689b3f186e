"""The weights that attention and mixtures of experts give their members on single images."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import numpy as np

from committee.errors import StoreError, printable
from committee.pipeline.shared.sample_weights import SampleWeights, sample_weights
from committee.report.bars import Scale, value_bar
from committee.report.blocks import Block, Cell, Chart, Row, Table
from committee.report.cells import name_of
from committee.report.charts.axes import Axis
from committee.report.charts.lines import Line, lines
from committee.report.charts.theme import SERIES
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

ROWS = 2000
"""Largest number of images in a chart."""
SPLITS = {"test": "test", "oof": "out-of-fold"}


class WeightsOfImages(ReportSection):
    """A chart of each model whose weights differ between images.

    See Also
    --------
    committee.sample_weights : The weights.
    """

    title = "Weights of images"
    order = 115

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the charts; of a mixture of an earlier version, a table of the use of its experts."""
        found = {name: _of(facts, name) for name in map(name_of, facts.reports)}
        charts = [weights_chart(each) for each in found.values() if each is not None]
        if charts:
            yield Row(charts)
        for report in facts.reports:
            usage = (report.get("provenance") or {}).get("usage")
            if isinstance(usage, Mapping) and usage and found[name_of(report)] is None:
                yield _usage(name_of(report), usage)


def _of(facts: Facts, name: str) -> SampleWeights | None:
    """Return weights on the test split, or out-of-fold; None if they are the same for all images."""
    for split in ("test", "oof"):
        with contextlib.suppress(StoreError):
            return sample_weights(facts.store, name, split, ROWS)
    return None


def weights_chart(found: SampleWeights) -> Chart:
    """Return the weights of each member, sorted over the images: a flat line is the same weight for all."""
    name, members, weights = found.name, found.members, found.weights
    order = np.argsort(-weights.mean(axis=0))[:SERIES].tolist()
    shares = np.linspace(0, 1, len(weights))
    drawn = [
        Line(
            f"{printable(members[member])}, mean {weights[:, member].mean():.2f}",
            shares,
            np.sort(weights[:, member]),
            series,
        )
        for series, member in enumerate(order)
    ]
    caption = (
        f"Weights of each member on {len(weights)} {SPLITS[found.split]} images, the smallest first: a flat "
        "line is a member with the same weight on all images, and 0 is an image on which it does not run."
    )
    if weights.shape[1] > SERIES:
        caption += f" The {SERIES} members with the largest mean weights of {weights.shape[1]}."
    top = max(float(weights.max()) * 1.05, 0.1)
    spec = lines(drawn, Axis("share of the images", (0, 1)), Axis("weight", (0, top)))
    return Chart(name, spec, caption, [(line.series, line.name) for line in drawn])


def _usage(name: str, usage: Mapping[str, float]) -> Table:
    scale = Scale(0, 1)
    rows = [
        [printable(expert), Cell(f"{share:.1%}", float(share), value_bar(float(share), scale))]
        for expert, share in usage.items()
    ]
    note = (
        "The gating network chooses the experts of each image; the version of committee that trained it did "
        "not store its weights of single images."
    )
    return Table(["expert", "share of the images that it processes"], rows, name, note)

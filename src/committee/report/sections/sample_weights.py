"""The weights that attention gives the members on single images, and the use of the experts of a mixture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.combiners.base import Combiner
from committee.errors import CommitteeError, printable
from committee.pipeline.shared.splits import split_rows
from committee.predictions.table import Predictions
from committee.report.blocks import Block, Cell, Chart, Row, Table
from committee.report.cells import name_of
from committee.report.charts.bars import value_bar
from committee.report.charts.frame import Frame
from committee.report.charts.scale import Scale
from committee.report.charts.svg import SERIES
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

ROWS = 2000


class SampleWeights(ReportSection):
    """A chart of each ensemble whose weights differ between images, and a table of each mixture.

    See Also
    --------
    committee.combiners.Attention : Has weights for each image.
    """

    title = "Weights of images"
    order = 115

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the charts and the tables."""
        charts = [chart for report in facts.ensembles if (chart := _of(facts, name_of(report))) is not None]
        if charts:
            yield Row(charts)
        for report in facts.reports:
            usage = (report.get("provenance") or {}).get("usage")
            if isinstance(usage, Mapping) and usage:
                yield _usage(name_of(report), usage)


def _of(facts: Facts, name: str) -> Chart | None:
    """Return the chart of an ensemble, or None if its weights do not differ between images."""
    if name not in facts.store.ensembles():
        return None
    try:
        rule = attending(facts.combiner(name))
        if rule is None:
            return None
        rows = split_rows(facts.store, rule.member_names, "test", facts.deployed_of(name))
    except (CommitteeError, KeyError):
        return None
    return weights_chart(name, rule.member_names, weights_of(rule, rows))


def attending(rule: Combiner) -> Any:
    """Return the part of a combiner that has weights for each image, or None."""
    return next((part for part in rule.modules() if hasattr(part, "attend")), None)


def weights_of(rule: Any, rows: Predictions) -> NDArray[np.float32]:
    """Return the weights `[R, M]` of members on some of the rows."""
    places = np.linspace(0, len(rows) - 1, min(len(rows), ROWS)).astype(np.int64)
    with torch.no_grad():
        found: NDArray[np.float32] = rule.attend(torch.from_numpy(np.array(rows.logits[:, places]))).numpy()
    return found


def weights_chart(name: str, members: Sequence[str], weights: NDArray[np.float32]) -> Chart:
    """Return the weights of each member, sorted over the images: a flat line is the same weight for all."""
    order = np.argsort(-weights.mean(axis=0))[:SERIES]
    frame = Frame(
        Scale(0, 1), Scale(0, max(float(weights.max()) * 1.05, 0.1)), "share of the images", "weight"
    )
    shares = np.linspace(0, 1, len(weights))
    for series, member in enumerate(order.tolist()):
        frame.line(shares, np.sort(weights[:, member]), series, printable(members[member]))
    legend = [
        (series, f"{printable(members[member])}, mean {weights[:, member].mean():.2f}")
        for series, member in enumerate(order.tolist())
    ]
    caption = (
        f"Weights of each member on {len(weights)} test images, the smallest first: a flat line is a "
        "member with "
        "the same weight on all images."
    )
    if weights.shape[1] > SERIES:
        caption += f" The {SERIES} members with the largest mean weights of {weights.shape[1]}."
    return Chart(name, frame.svg(caption), caption, legend)


def _usage(name: str, usage: Mapping[str, float]) -> Table:
    scale = Scale(0, 1)
    rows = [
        [printable(expert), Cell(f"{share:.1%}", float(share), value_bar(float(share), scale))]
        for expert, share in usage.items()
    ]
    note = (
        "The gating network chooses the experts of each image; its weights of single images are not stored."
    )
    return Table(["expert", "share of the images that it processes"], rows, name, note)

"""Cards of galleries: the image of a sample, its label, and what the members predict."""

from __future__ import annotations

import base64
import io
import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from committee.errors import CommitteeError, printable
from committee.predictions.checks import find
from committee.predictions.table import Predictions
from committee.report.blocks import Card
from committee.report.facts import Facts
from committee.tasks.base import task_of

log = logging.getLogger(__name__)

LISTED = 20
"""Cards of a gallery."""
VOTERS = 12
"""Members whose predictions a card lists, the best first."""
SIDE, TINY = 192, 64
QUALITY = 82


def image_of(facts: Facts, sample: str) -> str:
    """Return the image of a sample as the address of a small file in the page itself; empty without one."""
    row = facts.rows.get(sample)
    if facts.images is None or row is None:
        return ""
    try:
        return uri(facts.images(row))
    except CommitteeError as error:  # of the source, which may have changed
        log.debug("%s", error)
        return ""


def uri(pixels: NDArray[np.uint8], side: int = SIDE) -> str:
    """Return an image, uint8 `[H, W, channels]`, as JPEG of at most `side` pixels; tiny ones as PNG."""
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    kind = "PNG" if max(picture.size) <= TINY else "JPEG"
    picture.thumbnail((side, side))
    file = io.BytesIO()
    picture.save(file, kind, quality=QUALITY, optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def cards_of(
    facts: Facts, rows: Predictions, places: Sequence[int], lines: Sequence[Sequence[tuple[str, str]]]
) -> list[Card]:
    """Return a card for each of these rows of predictions of members, with their votes.

    Parameters
    ----------
    facts : Facts
    rows : Predictions
        Predictions of members, or of one model whose votes are not listed.
    places : sequence of int
        Rows of the predictions.
    lines : sequence of sequence of (str, str)
        What is known about each of these rows.
    """
    ids = rows.sample_ids[list(places)]
    votes = votes_on(facts, ids.tolist())
    return [
        Card(printable(name), image_of(facts, name), known, cast)
        for name, known, cast in zip(ids.tolist(), lines, votes, strict=True)
    ]


def votes_on(facts: Facts, ids: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Return what the best members predict for samples, out of fold or on the test split."""
    held_out = None if facts.held_out is None else facts.held_out.rows
    found: list[list[tuple[str, str]]] = [[] for _ in ids]
    for voters in filter(None, (facts.compared, held_out)):
        places, missing = find(voters.sample_ids, np.array(ids, np.str_))
        task = task_of(voters)
        for name, outputs in list(zip(voters.members, voters.logits, strict=True))[:VOTERS]:
            words = task.described(np.asarray(outputs[places]), voters.class_names)
            for card, word, lacks in zip(found, words, missing.tolist(), strict=True):
                if not lacks and printable(name) not in dict(card):
                    card.append((printable(name), printable(word)))
    return found

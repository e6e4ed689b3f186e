"""The card of a model as JSON text, which exported files contain, and predictors on a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from committee.errors import CommitteeError, DataError, DeviceError, StoreError
from committee.exporters.base import REDO, STD, Card, canvases_in
from committee.models.predictor import Images, Probabilities
from committee.predictions.target_types import CLASSES, TARGET_TYPES

CARD = "card.json"


def card_text(card: Card, channels: int, **more: Any) -> str:
    """Return a card as JSON text: `name`, `class_names`, `provenance`, `channels`, `input` and `more`.

    That of a model of numbers also has `target_type` and `units`; that of a model of maps also `maps`.
    """
    facts = {
        "name": card.name,
        "class_names": list(card.class_names),
        "provenance": dict(card.facts),
        "channels": channels,
        "input": card.input,
        **card.predicts(),
        **({"shape": list(card.shape)} if card.shape else {}),
        **more,
    }
    return json.dumps(facts, ensure_ascii=False)


def read_card(text: str | bytes, path: Path) -> dict[str, Any]:
    """Return the card that `card_text` wrote.

    Raises
    ------
    StoreError
        The text is not such a card.
    """
    try:
        facts = json.loads(text)
        valid = (
            isinstance(facts["name"], str)
            and isinstance(facts["provenance"], dict)
            and isinstance(facts["channels"], int)
            and all(isinstance(name, str) for name in facts["class_names"])
            and facts.get("target_type", CLASSES.name) in TARGET_TYPES
            and len(facts.get("units", ())) in (0, len(facts["class_names"]))
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        valid = False
    if not valid:
        raise StoreError(
            str(path), expected="a file that committee wrote", got="one without its card", todo=REDO
        )
    return dict(facts)


class CalledPredictor:
    """A function of images to probabilities or numbers, with the card of its model, as a `Predictor`.

    Parameters
    ----------
    path : Path
        The exported file.
    card : dict
        What `read_card` returned.
    call : callable
        Images, uint8 `[B, c, H, W]` -> probabilities or numbers, float32 `[B, C]`, or maps `[B, C, H, W]`; or
        a pair of numbers and their standard deviations, if the card says so.
    tile : int
        Side of the images that a program of maps takes, of which others are divided into tiles; 0 if it takes
        images of any size.
    """

    def __init__(
        self, path: Path, card: dict[str, Any], call: Callable[[Images], Any], tile: int = 0
    ) -> None:
        self._path, self._call, self.tile = path, call, tile
        self.name: str = card["name"]
        self.class_names: tuple[str, ...] = tuple(card["class_names"])
        self.provenance: dict[str, Any] = card["provenance"]
        self.channels: int = card["channels"]
        self.input_shape: tuple[int, ...] = tuple(card.get("shape", ()))
        self.target_type = TARGET_TYPES[card.get("target_type", CLASSES.name)]
        self.units: tuple[str, ...] = tuple(card.get("units", ()))
        self.canvases = canvases_in(card.get("canvas"), self.channels)
        self.std_names: tuple[str, ...] = (STD,) if card.get(STD) is True else ()

    def __call__(self, images: Images) -> Probabilities:
        """Return the probabilities or numbers, float32 `[B, C]`, of images uint8 `[B, c, H, W]`.

        Raises
        ------
        DataError
            The program fails on these images.
        """
        found = self._run(images)
        return found[0] if self.std_names else found

    def spread_of(self, images: Images) -> Probabilities:
        """Return numbers and their standard deviations, float32 `[B, T, 2]`; raise as for values."""
        return np.stack([*self._run(images)], axis=-1)

    def _run(self, images: Images) -> Probabilities:
        try:
            return np.asarray(self._call(np.ascontiguousarray(images)), dtype=np.float32)
        except CommitteeError:
            raise
        except Exception as error:  # each runtime raises classes of its own
            raise DataError(
                str(self._path),
                expected=f"a program that runs on images {list(images.shape)}",
                got=(str(error).strip().splitlines() or [type(error).__name__])[0],
                todo=REDO,
            ) from error


def damaged(path: Path, what: str) -> StoreError:
    """Return the error for a file that its runtime cannot read."""
    return StoreError(str(path), expected=f"a complete {what}", got="a damaged one", todo=REDO)


def require_cpu(device: str, what: str) -> None:
    """Raise DeviceError unless a format that runs on the CPU alone is opened there."""
    if device not in ("cpu", "auto"):
        raise DeviceError(
            "device",
            expected=f"cpu, on which {what} run",
            got=f"'{device}'",
            todo="Use it with --set device=cpu.",
        )

"""What is shown and written of predicted maps: one row of numbers for each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import UsageError
from committee.inference.answers import TOLERANCE
from committee.models.predictor import Predictor
from committee.predictions.files.shared.writing import class_columns

ROWS_AT_ONCE = 2**20
"""Values of maps that are read at once."""
SHOWN = 5
"""Number of classes in a cell of a table."""
Maps = NDArray[np.float32]


@dataclass(frozen=True)
class ClassMaps:
    """Rule that summarizes maps of probabilities, float32 `[C, H, W]`.

    Parameters
    ----------
    class_names : sequence of str, length C

    See Also
    --------
    NumberMaps : The rule for maps of numbers.
    committee.inference.map_files.MapFiles : Writes the maps themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.map_rules import ClassMaps
    >>> rule = ClassMaps(["ground", "cell"])
    >>> rule.entry(np.array([[[0.75, 0.5]], [[0.25, 0.5]]], np.float32))["shares"]
    {'ground': 1.0, 'cell': 0.0}
    """

    class_names: Sequence[str]
    note: str = ""

    def suffix(self) -> str:
        """Return an empty string: there are no settings."""
        return ""

    def header(self) -> list[str]:
        """Return the columns of a CSV file between `id` and `model`."""
        shares = [f"share of {name}" for name in self.class_names]
        return ["height", "width", *shares, "confidence", "entropy"]

    def cells(self, maps: Maps) -> list[str]:
        """Return the cells of these columns."""
        shares, confidence, entropy = self._measured(maps)
        return [*map(str, maps.shape[1:]), *(f"{each:.7g}" for each in (*shares, confidence, entropy))]

    def types(self) -> list[str]:
        """Return the Arrow types of the columns of `header`."""
        return ["int32", "int32", *["double"] * (len(self.class_names) + 2)]

    def typed(self, maps: Maps) -> list[Any]:
        """Return the values of these columns."""
        shares, confidence, entropy = self._measured(maps)
        return [*maps.shape[1:], *shares, confidence, entropy]

    def columns(self) -> list[str]:
        """Return the columns of a table after `image`."""
        return ["size", "shares of pixels", "confidence"]

    def shown(self, maps: Maps) -> list[object]:
        """Return the cells of these columns: the largest shares first."""
        shares, confidence, _ = self._measured(maps)
        order = sorted(range(len(shares)), key=lambda index: -shares[index])
        listed = [f"{self.class_names[index]} {shares[index]:.1%}" for index in order if shares[index]]
        text = ", ".join(listed[:SHOWN]) + ", ..." * (len(listed) > SHOWN)
        return [f"{maps.shape[2]} x {maps.shape[1]}", text, confidence]

    def entry(self, maps: Maps) -> dict[str, Any]:
        """Return what JSON says of an image."""
        shares, confidence, entropy = self._measured(maps)
        return {
            **_size(maps),
            "shares": dict(zip(self.class_names, shares, strict=True)),
            "confidence": confidence,
            "entropy": entropy,
        }

    def facts(self) -> dict[str, Any]:
        """Return what JSON says of all images."""
        return {}

    def _measured(self, maps: Maps) -> tuple[list[float], float, float]:
        """Return the share of each class, and the means of the largest probability and of the entropy."""
        counts, confidence, entropy = np.zeros(len(maps), np.int64), 0.0, 0.0
        for part in _strips(maps):
            counts += np.bincount(part.argmax(axis=0).ravel(), minlength=len(maps))
            confidence += float(part.max(axis=0).sum(dtype=np.float64))
            logs = np.log(np.maximum(part, np.finfo(np.float32).tiny))
            entropy -= float((part * logs).sum(dtype=np.float64))
        pixels = maps.shape[1] * maps.shape[2]
        return (counts / pixels).tolist(), confidence / pixels, entropy / pixels


@dataclass(frozen=True)
class NumberMaps:
    """Rule that summarizes maps of numbers, float32 `[T, H, W]`.

    Parameters
    ----------
    target_names : sequence of str, length T
    units : sequence of str
        Unit of each target; none if they are not known.

    See Also
    --------
    ClassMaps : The rule for maps of probabilities.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.map_rules import NumberMaps
    >>> NumberMaps(["depth"]).cells(np.array([[[1.0, 2.0]]], np.float32))
    ['1', '2', '1.5', '1', '2']
    """

    target_names: Sequence[str]
    units: Sequence[str] = ()
    note: str = ""

    def suffix(self) -> str:
        """Return an empty string: there are no settings."""
        return ""

    def header(self) -> list[str]:
        """Return the columns of a CSV file between `id` and `model`."""
        names = [f"{what} of {name}" for name in self.target_names for what in ("mean", "least", "greatest")]
        return ["height", "width", *class_columns(names)]

    def cells(self, maps: Maps) -> list[str]:
        """Return the cells of these columns."""
        numbers = [f"{value:.7g}" for each in self._measured(maps) for value in each]
        return [*map(str, maps.shape[1:]), *numbers]

    def types(self) -> list[str]:
        """Return the Arrow types of the columns of `header`."""
        return ["int32", "int32", *["double"] * (3 * len(self.target_names))]

    def typed(self, maps: Maps) -> list[Any]:
        """Return the values of these columns."""
        return [*maps.shape[1:], *(value for each in self._measured(maps) for value in each)]

    def columns(self) -> list[str]:
        """Return the columns of a table after `image`: the targets with their units."""
        units = self.units or [""] * len(self.target_names)
        pairs = zip(self.target_names, units, strict=True)
        return ["size", *(f"{name} ({unit})" if unit else name for name, unit in pairs)]

    def shown(self, maps: Maps) -> list[object]:
        """Return the cells of these columns: the mean, and the range in brackets."""
        numbers = [f"{mean:.6g} [{low:.6g}, {high:.6g}]" for mean, low, high in self._measured(maps)]
        return [f"{maps.shape[2]} x {maps.shape[1]}", *numbers]

    def entry(self, maps: Maps) -> dict[str, Any]:
        """Return what JSON says of an image."""
        names = ("mean", "least", "greatest")
        found = [dict(zip(names, each, strict=True)) for each in self._measured(maps)]
        return {**_size(maps), "values": dict(zip(self.target_names, found, strict=True))}

    def facts(self) -> dict[str, Any]:
        """Return what JSON says of all images: the units."""
        return {"units": dict(zip(self.target_names, self.units, strict=True))} if self.units else {}

    def _measured(self, maps: Maps) -> list[tuple[float, float, float]]:
        return [(float(each.mean(dtype=np.float64)), float(each.min()), float(each.max())) for each in maps]


def class_maps_of(model: Predictor, **options: Any) -> ClassMaps:
    """Return the rule for a model of classes of pixels; see `rule_of` for the options, which have no use."""
    _refuse(model, **options)
    return ClassMaps(model.class_names)


def number_maps_of(model: Predictor, **options: Any) -> NumberMaps:
    """Return the rule for a model of numbers of pixels; see `rule_of` for the options, which have no use."""
    _refuse(model, **options)
    return NumberMaps(model.class_names, tuple(getattr(model, "units", ())))


def why_no_probabilities(maps: NDArray[Any], classes: int) -> str:
    """Return why the answer of a model for one image is not the probabilities of its pixels, or ''.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.map_rules import why_no_probabilities
    >>> why_no_probabilities(np.full((2, 4, 4), 0.4), classes=2)
    'values that sum to 0.8'
    """
    reason = why_no_maps(maps, classes)
    if reason:
        return reason
    for part in _strips(maps):
        if part.min() < -TOLERANCE or part.max() > 1 + TOLERANCE:
            return f"the value {part.min() if part.min() < -TOLERANCE else part.max():.4g}"
        totals = part.sum(axis=0)
        furthest = float(totals.flat[np.abs(totals - 1).argmax()])
        if abs(furthest - 1) > TOLERANCE:
            return f"values that sum to {furthest:.4g}"
    return ""


def why_no_maps(maps: NDArray[Any], outputs: int) -> str:
    """Return why the answer of a model for one image is not finite numbers of its pixels, or ''."""
    if maps.ndim != 3 or len(maps) != outputs:
        return f"an array {list(maps.shape)}"
    return "" if all(np.isfinite(part).all() for part in _strips(maps)) else "NaN or infinity"


def _refuse(model: Predictor, *, coverage: float | None, method: str, abstain_below: float | None) -> None:
    """Raise UsageError for an option that is about one answer for an image."""
    kind = None if method == "lac" else method
    for option, value in (("--coverage", coverage), ("--sets", kind), ("--abstain-below", abstain_below)):
        if value is not None:
            raise UsageError(
                option,
                expected="a model with one answer for an image",
                got=f"{model.name}, which predicts maps",
                todo="Leave the option out.",
            )


def _size(maps: Maps) -> dict[str, int]:
    return {"height": maps.shape[1], "width": maps.shape[2]}


def _strips(maps: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield some rows of maps after others."""
    step = max(1, ROWS_AT_ONCE // max(1, maps.shape[0] * maps.shape[2]))
    return (maps[:, start : start + step] for start in range(0, maps.shape[1], step))

"""Metrics that are functions of the user: `python:module.function`."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from committee.base.objectives import PREFIX
from committee.errors import UsageError, first_five, nearest
from committee.metrics.metric import Floats, Metric
from committee.metrics.sampling import Interval, Sample

MOST_BLOCKS = 50
"""Largest number of blocks of a jackknife; each costs a call of the function."""
LOWER_IS_BETTER = ("_loss", "_error", "_deviance")


@dataclass(frozen=True)
class CustomMetric:
    """A metric of classes, `function(labels, probabilities) -> float`.

    Labels are int64 `[N]`, and probabilities `[N, C]`. Larger values are better, unless the function has an
    attribute `higher_is_better` that is False or its name ends with `_loss`, `_error` or `_deviance`, as
    scikit-learn names what is minimized. The function is called with the rows of a fit, of one fold or of all
    others, in which a class may be absent.

    Attributes
    ----------
    name : str
        `python:module.function`.
    function : callable
        The function.
    higher_is_better : bool
        Whether larger values are better.
    who : str
        The option that names the metric, for error messages.

    See Also
    --------
    CustomNumberMetric : The same for numbers.
    committee.metrics.get_metric : Look up a metric by name.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics.custom import CustomMetric
    >>> metric = CustomMetric.load("python:sklearn.metrics.log_loss", who="metric")
    >>> round(metric.value(np.log([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1])), 4)
    0.4904
    >>> metric.higher_is_better
    False
    """

    name: str
    function: Callable[..., Any] = field(repr=False)
    higher_is_better: bool
    who: str = "metric"

    @classmethod
    def load(cls, name: str, who: str) -> Self:
        """Import a function by its name `python:module.function`.

        Raises
        ------
        UsageError
            The module cannot be imported, or has no such function.
        """
        path, _, attribute = name.removeprefix(PREFIX).replace(":", ".").rpartition(".")
        try:
            module = importlib.import_module(path)
        except Exception as error:
            raise UsageError(
                who,
                expected=f"'{name}' with a module that can be imported",
                got=f"{type(error).__name__}: {error}",
                todo="Install it, or put its folder on PYTHONPATH.",
            ) from error
        function = getattr(module, attribute, None)
        if not callable(function):
            raise UsageError(
                who,
                expected=f"a function of {path}",
                got=f"'{attribute}'",
                todo=nearest(attribute, vars(module)),
            )
        minimized = attribute.endswith(LOWER_IS_BETTER)
        return cls(name, function, bool(getattr(function, "higher_is_better", not minimized)), who)

    def as_metric(self, read: Callable[[Any, Any], Any]) -> Metric:
        """Return the function as a metric of rows, which `read` returns."""
        return Metric(self.name, self.of_summary, self.higher_is_better, self.influence, self.interval, read)

    def value(self, outputs: NDArray[np.floating], labels: NDArray[Any]) -> float:
        """Return the metric of log-probabilities `[N, C]`, or of numbers.

        Raises
        ------
        UsageError
            The function raises an exception, or does not return one finite number.
        """
        arguments = self._arguments(outputs, labels)
        try:
            number = float(self.function(*arguments))
        except Exception as error:
            raise self._refusal(f"{type(error).__name__}: {error}", outputs, labels) from error
        if not math.isfinite(number):
            raise self._refusal(str(number), outputs, labels)
        return number

    def of_summary(self, found: Any) -> Floats:
        """Return the metric of what rows have as `whole`."""
        return np.array(self.value(*self._columns(found)))

    def influence(self, rows: Any) -> Floats:
        """Return the influence of each row `[N]`, by leaving out blocks of rows.

        The rows of a block share its influence, so that the variance of the sum is that of independent rows.
        """
        outputs, labels = self._columns(rows.whole)
        block = _blocks(len(labels))
        counts = np.bincount(block)
        value, without = self.value(outputs, labels), self._without_blocks(rows, block)
        sums = (value - without) * (len(block) - counts)
        shares = (sums - sums.mean()) / np.sqrt(counts)
        return shares[block]

    def interval(self, rows: Any, sample: Sample, resamples: int, seed: int) -> Interval:
        """Return the metric of rows with its interval, by the jackknife over blocks of rows or groups."""
        value = self.value(*self._columns(rows.whole))
        block = _blocks(sample.units)
        count = int(block.max()) + 1
        if count == 1:
            return Interval(value, -math.inf, math.inf)
        without = self._without_blocks(rows, block if sample.unit is None else block[sample.unit])
        error = math.sqrt(np.square(without - without.mean()).sum() * (count - 1) / count)
        reach = float(stdtrit(count - 1, (1 + sample.level) / 2)) * error
        return Interval(value, value - reach, value + reach)

    def _without_blocks(self, rows: Any, block: NDArray[np.int64]) -> Floats:
        """Return the metric of all rows without each block, `[B]`."""
        outputs, labels = self._columns(rows.whole)
        kept = (block != each for each in range(int(block.max()) + 1))
        return np.array([self.value(outputs[each], labels[each]) for each in kept])

    def _arguments(self, outputs: NDArray[np.floating], labels: NDArray[Any]) -> tuple[Any, Any]:
        """Return the arguments of the function."""
        probabilities = np.exp(outputs, dtype=np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        return labels, probabilities

    def _columns(self, whole: Any) -> tuple[Floats, NDArray[Any]]:
        """Return outputs and labels of what rows have as `whole`."""
        return whole.rows.log_probs, whole.rows.labels

    def _absent(self, outputs: NDArray[np.floating], labels: NDArray[Any]) -> str:
        """Return what may be missing in the rows, for an error message."""
        absent = np.flatnonzero(np.bincount(labels, minlength=outputs.shape[1]) == 0)
        return f", none of class {first_five(absent.tolist())}" if len(absent) else ""

    def _refusal(self, got: str, outputs: NDArray[np.floating], labels: NDArray[Any]) -> UsageError:
        return UsageError(
            self.who,
            expected=f"a finite number from '{self.name}'",
            got=f"{got} (for {len(labels)} rows{self._absent(outputs, labels)})",
            todo="It is called with parts of the rows, such as those of one fold.",
        )


class CustomNumberMetric(CustomMetric):
    """A metric of numbers, `function(labels, values) -> float`.

    Labels and values are float64, each in the unit of its target: `[N]` if there is one target, and `[N, T]`
    if there are several. Larger values are better, with the exceptions of `CustomMetric`.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics.custom import CustomNumberMetric
    >>> metric = CustomNumberMetric.load("python:sklearn.metrics.mean_absolute_error", who="metric")
    >>> metric.value(np.array([[1.0], [3.0]]), np.array([[1.0], [2.0]])), metric.higher_is_better
    (0.5, False)
    """

    def _arguments(self, outputs: NDArray[np.floating], labels: NDArray[Any]) -> tuple[Any, Any]:
        values = np.asarray(outputs, np.float64)
        return (labels[:, 0], values[:, 0]) if labels.shape[1] == 1 else (labels, values)

    def _columns(self, whole: Any) -> tuple[Floats, NDArray[Any]]:
        return whole.values, whole.truth

    def _absent(self, outputs: NDArray[np.floating], labels: NDArray[Any]) -> str:
        return ""


def _blocks(units: int) -> NDArray[np.int64]:
    """Return the block of each unit, `[U]`, drawn at random with a fixed seed."""
    return np.random.default_rng(0).permutation(units) % min(units, MOST_BLOCKS)

"""A model of a server: what runs it, its answers, and the digest of what was loaded."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from committee.errors import StoreError, UsageError
from committee.inference.predict import (
    Prediction,
    open_model,
    predict_maps,
    predict_window,
    tiles_of,
)
from committee.inference.rules import Rule, as_needed, rule_of
from committee.inference.time_limit import TimeLimit
from committee.inference.wanted import Wanted
from committee.predictions.target_types import target_type_of
from committee.serving.batching import Batcher, Parts
from committee.serving.edition import Edition
from committee.serving.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from committee.models.predictor import Canvas, Predictor
    from committee.recipe.model import Recipe
    from committee.store.layout import Store

VERSION = "1"
"""The version of each model: a server has one of each name."""
MANY = 10**9
"""Number of images that a server predicts, for which an engine is prepared."""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")
_GIVEN = re.compile(r"([A-Za-z0-9._-]+)=(.+)")


class Served:
    """A model that a server answers with.

    Parameters
    ----------
    model : Predictor
        The model, which returns what its rule needs (`as_needed`).
    rule : Rule
        What is said of a prediction, as by `committee predict`.
    edition : Edition, optional
        What the model was loaded from.
    limits : Limits
    name : str, optional
        Name of the model in the server; that of the model by default.
    on_batch : callable, optional
        Gets the number of images and the seconds of each call.

    See Also
    --------
    open_served : Opens a model of a store or a file.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.answers import Answers
    >>> from committee.serving.limits import Limits
    >>> from committee.serving.served import Served
    >>> class Half:
    ...     name, class_names, channels, provenance = "half", ("a", "b"), 1, {}
    ...
    ...     def __call__(self, images):
    ...         return np.full((len(images), 2), 0.5, np.float32)
    >>> served = Served(Half(), Answers(("a", "b")), Limits())
    >>> prediction = served.batcher.submit(("a.png", [np.zeros((1, 8, 8), np.uint8)])).result()
    >>> served.answer(prediction)["prediction"]
    'a'
    >>> served.close()
    """

    def __init__(
        self,
        model: Predictor,
        rule: Rule,
        limits: Limits,
        *,
        name: str = "",
        edition: Edition | None = None,
        on_batch: Callable[[str, int, float], None] = lambda name, images, seconds: None,
    ) -> None:
        self.model, self.rule, self.name = model, rule, name or model.name
        self.edition = edition
        self.digest = edition.digest if edition else ""
        self.type = target_type_of(model)
        self.canvases: Sequence[Canvas] = getattr(model, "canvases", ())
        self.input_shape: tuple[int, ...] = tuple(getattr(model, "input_shape", ()))
        self._limited, self._seconds = TimeLimit(model, math.inf), limits.seconds
        self._tiles: Mapping[str, Any] = tiles_of(limits.batch) if self.type.dense else {}
        self.batcher = Batcher(
            self._predict,
            limits.batch,
            limits.delay,
            lambda images, seconds: on_batch(self.name, images, seconds),
        )

    @property
    def is_stuck(self) -> bool:
        """Whether the present call of the model takes longer than a request may."""
        return self.batcher.busy_for > self._seconds

    def recover(self) -> None:
        """Stop a call that takes too long, if what runs the model can: its images are answered already."""
        stop = getattr(self.model, "stop", None)
        if self.is_stuck and stop is not None:
            stop()

    @property
    def datatype(self) -> str:
        """Type of the elements of its input, as the Open Inference Protocol names it."""
        return "FP32" if self.input_shape else "UINT8"

    @property
    def shape(self) -> list[int]:
        """Shape of its input, with -1 for axes of any length."""
        return [-1, *self.input_shape] if self.input_shape else [-1, self.model.channels, -1, -1]

    @property
    def output_shape(self) -> list[int]:
        """Shape of its output, with -1 for axes of any length."""
        width = [self.model.width] if hasattr(self.model, "width") else []
        return [-1, len(self.model.class_names), *width, *([-1, -1] if self.type.dense else [])]

    def answer(self, prediction: Prediction) -> dict[str, Any]:
        """Return what `committee predict --json` says of a prediction."""
        assert prediction.probabilities is not None
        return self.rule.entry(prediction.probabilities)

    def close(self) -> None:
        """Predict what waits, and end the thread, unless the model hangs."""
        self.batcher.close(self._seconds)

    def _predict(self, window: Sequence[Parts]) -> Iterable[Prediction]:
        if self.type.dense:
            return [predict_maps(self._limited, name, parts, self._tiles) for name, parts in window]
        return predict_window(self._limited, window)


def open_served(
    given: str,
    store: Store,
    recipe: Recipe,
    limits: Limits,
    *,
    engine: str = "auto",
    coverage: float | None = None,
    method: str | None = None,
    std: bool = False,
    abstain_below: float | None = None,
    on_batch: Callable[[str, int, float], None] = lambda name, images, seconds: None,
) -> Served:
    """Open a model for a server, and predict one image with it.

    Parameters
    ----------
    given : str
        A model of the store, or a path, as `open_model` takes it; or `NAME=MODEL`, with a name in the server.
    store, recipe :
        See `open_model`.
    limits : Limits
    engine : str
        Engine of a model of the store; see `Wanted`.
    on_batch : callable, optional
        Gets the name of the model, the number of images and the seconds of each call.
    coverage, method, std, abstain_below :
        Options of `rule_of`.

    Raises
    ------
    UsageError
        The name is not valid in an address, or an option does not apply to the model.
    StoreError
        The model is damaged, or changed while it was opened.
    """
    match = _GIVEN.fullmatch(given)
    name, what = (match[1], match[2]) if match else ("", given)
    edition = Edition(what, store)
    wanted = Wanted(engine, MANY, limits.batch).for_options(std=std, sets=method)
    model = open_model(what, store, recipe, stream=False, wanted=wanted)
    rule = rule_of(model, coverage=coverage, method=method, abstain_below=abstain_below, std=std)
    if edition.is_changed():
        raise StoreError(what, expected="files that do not change", got="other bytes", todo="Start again.")
    served = Served(as_needed(model, rule), rule, limits, name=name, edition=edition, on_batch=on_batch)
    if not _NAME.fullmatch(served.name):
        raise UsageError(
            f"'{served.name}'",
            expected="a name of letters, digits, dots, dashes and underscores",
            got="another",
            todo=f"Give the model a name in the server: NAME={what}",
        )
    _warm_up(served)
    return served


def _warm_up(served: Served) -> None:
    """Predict one image, so that a model that cannot run is refused at the start."""
    shape = served.input_shape or (
        served.model.channels,
        *[served.canvases[0][0] if served.canvases else 64] * 2,
    )
    zeros: Any = np.zeros(shape, np.float32 if served.input_shape else np.uint8)
    found = served.batcher.submit(("a black image", [zeros] * max(1, len(served.canvases)))).result()
    if found.probabilities is None:
        raise StoreError(found.reason)

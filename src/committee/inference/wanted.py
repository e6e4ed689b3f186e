"""Which engine a model predicts on. It does not import torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from committee.errors import UsageError
from committee.models.engine_trials import EAGER

AUTO = "auto"


@dataclass(frozen=True)
class Wanted:
    """Which engine is wanted, and for what.

    Parameters
    ----------
    engine : str
        `auto`: that which `committee optimize` has selected, if what it saves is more than the time in which
        it is prepared; `eager`: none; or the name of an engine, with a precision as in `channels_last:bf16`.
    photos : int
        Number of images that will be predicted.
    batch : int
        Largest number of images in one call.

    See Also
    --------
    committee.inference.engines.on_engine : Prepare it.

    Examples
    --------
    >>> from committee.inference.wanted import Wanted
    >>> Wanted("channels_last:bf16", photos=100).precision
    'bf16'
    """

    engine: str = AUTO
    photos: int = 1
    batch: int = 32

    @property
    def key(self) -> str:
        """Name of the engine, without its precision."""
        return self.engine.partition(":")[0]

    @property
    def is_named(self) -> bool:
        """Whether a certain engine is wanted, and not the model as it is."""
        return self.key not in (AUTO, EAGER)

    def for_options(self, *, std: bool = False, sets: str | None = None) -> Wanted:
        """Return the engine for predictions with these options.

        Standard deviations need the outputs of each member: the model as it is.

        Parameters
        ----------
        std : bool
            Whether standard deviations are shown.
        sets : str, optional
            Kind of the prediction sets or intervals; `normalized` intervals follow from standard deviations.

        Raises
        ------
        UsageError
            A certain engine is wanted, which would not be used.

        Examples
        --------
        >>> from committee.inference.wanted import Wanted
        >>> Wanted("auto").for_options(std=True).engine
        'eager'
        """
        option = "--std" if std else "--sets normalized" if sets == "normalized" else ""
        if not option:
            return self
        if self.is_named:
            raise UsageError(
                "--engine",
                expected=f"eager with {option}, which needs the outputs of each member",
                got=f"'{self.engine}'",
                todo="Leave one of the options out.",
            )
        return replace(self, engine=EAGER)

    @property
    def precision(self) -> str:
        """Precision of the networks."""
        return self.engine.partition(":")[2] or "fp32"

"""A loss that is no number: back to the last good epoch with half the learning rate, three times at most."""

from __future__ import annotations

from committee.errors import TrainingError

MOST = 3


class Diverged(ArithmeticError):
    """An epoch came to no number.

    Parameters
    ----------
    epoch : int
    what : str
        Where it shows, such as `a loss of nan`.
    rollbacks : int
        How often the fit went back before.
    """

    def __init__(self, epoch: int, what: str, rollbacks: int) -> None:
        super().__init__(epoch, what, rollbacks)
        self.epoch, self.what, self.rollbacks = epoch, what, rollbacks


def rate(lr: float, rollbacks: int) -> float:
    """Return the learning rate `lr` after so many rollbacks, each of which halves it."""
    return lr / 2**rollbacks


def lower(diverged: Diverged, who: str, lr: float) -> str:
    """Return what is done about it, for the log.

    Raises
    ------
    TrainingError
        It was done three times already.
    """
    tried = diverged.rollbacks
    if tried == MOST:
        raise TrainingError(
            who,
            expected="a finite loss",
            got=f"{diverged.what} in epoch {diverged.epoch}, also after the learning rate was halved "
            f"{MOST} times, from {lr:g} to {rate(lr, MOST):g}",
            todo="Lower training.lr by far, set training.clip_grad=1.0, or take training.precision=fp32.",
        ) from diverged
    return (
        f"{who}: {diverged.what} in epoch {diverged.epoch}; back to the last good epoch, with half the "
        f"learning rate: {rate(lr, tried + 1):g} (rollback {tried + 1} of {MOST})"
    )

"""Divergence of a fit: the training continues from the last good epoch at half the learning rate."""

from __future__ import annotations

from committee.errors import TrainingError
from committee.training.fit.schedule import halved

MOST = 3
"""Rollbacks of a fit, at most."""


class Diverged(ArithmeticError):
    """The loss, a weight or a score of an epoch is not finite.

    Parameters
    ----------
    epoch : int
    what : str
        What is not finite, such as `a loss of nan`.
    rollbacks : int
        Number of rollbacks before this one.
    """

    def __init__(self, epoch: int, what: str, rollbacks: int) -> None:
        super().__init__(epoch, what, rollbacks)
        self.epoch, self.what, self.rollbacks = epoch, what, rollbacks


def describe_rollback(diverged: Diverged, who: str, lr: float) -> str:
    """Return the log message of a rollback.

    Raises
    ------
    TrainingError
        The fit has been rolled back `MOST` times already.
    """
    tried = diverged.rollbacks
    if tried == MOST:
        raise TrainingError(
            who,
            expected="a finite loss",
            got=f"{diverged.what} in epoch {diverged.epoch}, also after the learning rate was halved "
            f"{MOST} times, from {lr:g} to {halved(lr, MOST):g}",
            todo="Lower training.lr by far, set training.clip_grad=1.0, or use training.precision=fp32.",
        ) from diverged
    return (
        f"{who}: {diverged.what} in epoch {diverged.epoch}; continuing from the last good epoch with half "
        f"the learning rate, {halved(lr, tried + 1):g} (rollback {tried + 1} of {MOST})"
    )

"""Learning rate of a fit."""

from __future__ import annotations

import math

from committee.recipe.training import Training


class Schedule:
    """Learning rate at every point of a fit.

    While only the head is trained, the rate is constant. From then on it rises linearly from zero during
    `warmup_epochs`, or during a fifth of the remaining epochs where that is shorter, and then stays constant,
    falls to zero as half a cosine, or falls repeatedly in cycles of `cycle_epochs` (warm restarts,
    Loshchilov and Hutter 2017). The warm-up of a cyclic schedule is part of the first cycle.

    Parameters
    ----------
    settings : Training
        `lr`, `scheduler`, `epochs`, `warmup_epochs` and `cycle_epochs` are used.
    head_epochs : int
        First epochs, in which only the head is trained.
    published : bool
        Whether the initial weights are published ones, which decides the default of `lr`.

    See Also
    --------
    committee.training.fit.optimizer.make_optimizer : Parameter groups, which scale the rate.

    Examples
    --------
    >>> from committee.recipe.training import Training
    >>> schedule = Schedule(Training(lr=0.1, epochs=10, warmup_epochs=2))
    >>> [round(schedule.rate(epoch), 3) for epoch in (1, 2, 6, 10)]
    [0.05, 0.1, 0.05, 0.0]
    >>> schedule.rate(2, rollbacks=1)
    0.05
    """

    def __init__(self, settings: Training, head_epochs: int = 0, published: bool = False) -> None:
        self.settings, self.head_epochs, self.lr = settings, head_epochs, settings.rate(published)

    def rate(self, epoch: float, rollbacks: int = 0) -> float:
        """Return the learning rate after `epoch` epochs, which may be a fraction.

        Parameters
        ----------
        epoch : float
            Position in the fit, counted in epochs from 0.
        rollbacks : int
            Number of times that the fit has diverged. Each halves the rate.
        """
        return halved(self._undisturbed(epoch), rollbacks)

    def _undisturbed(self, epoch: float) -> float:
        """Return the rate of a fit that has never diverged."""
        settings = self.settings
        if epoch < self.head_epochs:
            return self.lr
        epoch, epochs = epoch - self.head_epochs, settings.epochs - self.head_epochs
        if settings.scheduler == "cyclic":
            cycle = settings.cycle_epochs
            warmup = min(settings.warmup_epochs, cycle / 5)
            ramp = epoch / warmup if epoch < warmup else 1.0
            return self.lr * ramp * 0.5 * (1 + math.cos(math.pi * (epoch % cycle) / cycle))
        # With a longer warm-up, a short fit would consist of little else.
        warmup = min(settings.warmup_epochs, epochs / 5)
        if epoch < warmup:
            return self.lr * epoch / warmup
        if settings.scheduler == "constant":
            return self.lr
        return self.lr * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))


def halved(rate: float, rollbacks: int) -> float:
    """Return a learning rate after a number of rollbacks."""
    return rate / 2**rollbacks

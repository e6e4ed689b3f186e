"""Negative log-likelihood of a predicted normal distribution."""

from __future__ import annotations

from torch import Tensor

from committee.errors import UsageError
from committee.training.losses._numbers import OfErrors


class GaussianNll(OfErrors):
    """Negative log-likelihood of a normal distribution, of which the network predicts mean and variance.

    The network has two outputs for each target. An ensemble of such networks is a mixture, whose variance is
    the mean variance of the members (aleatoric) plus the variance of their means (epistemic).

    Parameters
    ----------
    beta : float
        With 0, the likelihood of Lakshminarayanan et al. (2017), in which errors count less where the
        variance is large, so that the mean may stay poor there. Seitzer et al. (2022) multiply the loss of
        each row by its variance to the power of `beta`, without gradient; 0.5 is their choice, and with 1 the
        mean is learned as by the squared error.

    Raises
    ------
    UsageError
        `beta` is not between 0 and 1.

    See Also
    --------
    Mse : Learns the mean alone.
    committee.metrics.mixture_moments : The moments of an ensemble.

    References
    ----------
    B. Lakshminarayanan, A. Pritzel, C. Blundell (2017). Simple and scalable predictive uncertainty estimation
    using deep ensembles. NeurIPS 30.

    M. Seitzer, A. Tavakoli, D. Antic, G. Martius (2022). On the pitfalls of heteroscedastic uncertainty
    estimation with probabilistic neural networks. ICLR.

    Examples
    --------
    >>> import torch
    >>> from committee.training.losses import GaussianNll
    >>> loss = GaussianNll().prepare([], ["length"], scale=(2.0,))
    >>> loss.each(torch.tensor([[[3.0, 4.0]], [[5.0, 4.0]]]), torch.tensor([[1.0], [5.0]])).tolist()
    [0.5, 0.0]
    """

    has_variance = True

    def __init__(self, beta: float = 0.0) -> None:
        if not 0 <= beta <= 1:
            raise UsageError("training.loss: beta", expected="a number from 0 to 1", got=f"{beta}")
        self.beta = beta

    def each(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the mean over the targets of each row, for outputs `[B, T, 2]`; see the base class."""
        variances = outputs[..., 1].float() / self.scale**2
        terms = (self._errors(outputs, labels).square() / variances + variances.log()) / 2
        return (terms * variances.detach() ** self.beta if self.beta else terms).mean(dim=1)

    def of(self, errors: Tensor) -> Tensor:
        """Return half of the squares, which is the loss of a variance of 1."""
        return errors.square() / 2

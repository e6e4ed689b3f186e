"""Fusion in a shared space, found by canonical correlation analysis of the embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from committee.errors import DataError
from committee.models.fusions.base import Batches, FusionHead, mlp

COMPONENTS = 128
"""Largest number of principal components of an embedding."""
SHARED = 64
"""Largest dimension of the shared space."""
RIDGE = 1e-2
"""Ridge that is added to each variance, as a share of the mean variance."""


class CcaAligned(FusionHead):
    """Regularized canonical correlation analysis of several embeddings (Kettenring 1971), and a classifier.

    Each embedding is reduced to its principal components and whitened with a ridge. The leading eigenvectors
    of the covariance of all whitened embeddings are the directions in which their sum varies most, in which
    they are therefore most correlated. The mean of the projected embeddings is the input of the hidden
    layers. The projections do not depend on labels.

    The parameters are those of `FusionHead`.

    See Also
    --------
    ConcatMlp : All embeddings side by side.

    References
    ----------
    J. R. Kettenring (1971). Canonical analysis of several sets of variables. Biometrika 58, 433-451.

    Examples
    --------
    >>> import torch
    >>> from committee.models.fusions import CcaAligned
    >>> random = torch.Generator().manual_seed(0)
    >>> first = torch.randn(50, 6, generator=random)
    >>> second = first[:, :4] + 0.1 * torch.randn(50, 4, generator=random)
    >>> head = CcaAligned(sizes=[6, 4], classes=3, hidden_dims=[8]).eval()
    >>> head.prepare(lambda: iter([[first, second]]))
    >>> head([first, second]).shape
    torch.Size([50, 3])
    """

    def _layers(self) -> None:
        self.shared = min(SHARED, *self.sizes)
        for view, size in enumerate(self.sizes):
            self.register_buffer(f"projection_{view}", torch.zeros(size, self.shared))
        self.mlp = mlp(self.shared, self.hidden_dims, self.classes, self.dropout)

    @torch.no_grad()
    def prepare(self, batches: Batches) -> None:
        """Compute means, standard deviations and projections from the training rows.

        Raises
        ------
        DataError
            There are not more than two rows for each dimension of the shared space.
        """
        super().prepare(batches)
        covariances, count = self._second_moments(batches)
        if count <= 2 * self.shared:
            raise DataError(
                "cca_aligned",
                expected=f"more than {2 * self.shared} training rows, two for each shared dimension",
                got=str(count),
                todo="Use concat_mlp, or more images.",
            )
        whitening = [_whiten(each, min(COMPONENTS, count - 1)) for each in covariances]
        together = torch.zeros(1, dtype=torch.float64)
        for views in self._standardized(batches):
            white = torch.cat([view @ by for view, by in zip(views, whitening, strict=True)], 1)
            together = together + white.T @ white / count
        directions = torch.linalg.eigh(together)[1].flip(1)[:, : self.shared]
        start = 0
        for view, by in enumerate(whitening):
            part = slice(start, start + by.shape[1])
            block, own = directions[part], together[part, part]
            spread = (block * (own @ block)).sum(0).clamp(min=1e-12).sqrt()
            getattr(self, f"projection_{view}").copy_(by @ block / spread)
            start += by.shape[1]

    def fuse(self, views: Sequence[Tensor]) -> Tensor:
        """Return logits `[B, C]` for standardized embeddings, `[B, D]` for each network."""
        return self.mlp(torch.stack(self.aligned(views)).mean(0))

    def aligned(self, views: Sequence[Tensor]) -> list[Tensor]:
        """Return each standardized embedding in the shared space, `[B, k]`, with standard deviation 1."""
        return [view @ getattr(self, f"projection_{place}") for place, view in enumerate(views)]

    def _standardized(self, batches: Batches) -> Iterator[list[Tensor]]:
        for views in batches():
            yield [view.double() for view in self.standard(views)]

    def _second_moments(self, batches: Batches) -> tuple[list[Tensor], int]:
        totals, count = list[Tensor](), 0
        for views in self._standardized(batches):
            moments = [view.T @ view for view in views]
            totals = [one + other for one, other in zip(totals, moments, strict=True)] if totals else moments
            count += len(views[0])
        return [total / count for total in totals], count


def _whiten(covariance: Tensor, components: int) -> Tensor:
    """Return the projection to the leading principal components, scaled to unit variance with a ridge."""
    values, vectors = torch.linalg.eigh(covariance)
    values, vectors = values.flip(0)[:components].clamp(min=0), vectors.flip(1)[:, :components]
    return vectors / (values + RIDGE * covariance.diagonal().mean()).sqrt()

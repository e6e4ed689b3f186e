"""Behavior of individual fusion heads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from committee.errors import DataError
from committee.models.fusions.attention import Attention
from committee.models.fusions.base import FUSIONS
from committee.models.fusions.bilinear import Bilinear
from committee.models.fusions.cca_aligned import CcaAligned


def test_attention_weights_can_be_read() -> None:
    torch.manual_seed(0)
    head = Attention([4, 6, 3], 5, (8,)).eval()
    embeddings = [torch.randn(7, size) * 3 for size in (4, 6, 3)]
    weights = head.attend(embeddings)
    assert weights.shape == (7, 3)
    torch.testing.assert_close(weights.sum(1), torch.ones(7))
    assert weights.std(0).min() > 0, "other photos, other weights"


def test_products_are_those_of_all_pairs() -> None:
    torch.manual_seed(0)
    head = Bilinear([4, 6, 3], 5, (8,)).eval()
    embeddings = [torch.randn(7, size) for size in (4, 6, 3)]
    seen: list[torch.Tensor] = []
    head.norms[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    head(embeddings)
    projected = [make(view) for make, view in zip(head.projections, embeddings, strict=True)]
    pairs = sum(one * other for one, other in itertools.combinations(projected, 2))
    torch.testing.assert_close(seen[0], pairs.sign() * (pairs.abs() + 1e-6).sqrt(), rtol=1e-3, atol=1e-3)


def test_bilinear_grows_linearly_with_networks() -> None:
    few, many = (FUSIONS.make("bilinear", sizes=[64] * m, classes=10, hidden_dims=(32,)) for m in (2, 20))
    own = 64 * 32 + 32
    count = [sum(each.numel() for each in head.parameters()) for head in (few, many)]
    assert count[1] - count[0] == 18 * own


def planted(rows: int, shared: int, seed: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Three embeddings of one latent variable with strong independent noise."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(99)
    latent = rng.normal(size=(rows, shared))
    views = []
    for size in (20, 30, 12):
        noise = rng.normal(size=(rows, size - shared)) * 4
        turned, _ = np.linalg.qr(mixing.normal(size=(size, size)))
        views.append(torch.from_numpy(np.concatenate([latent, noise], 1) @ turned).float())
    return views, torch.from_numpy(latent)


@torch.no_grad()
def test_cca_recovers_a_planted_latent() -> None:
    views, latent = planted(4000, 3, seed=0)
    head = CcaAligned([view.shape[1] for view in views], 4, (8,))
    head.prepare(lambda: iter([views]))
    fresh, latent = planted(1000, 3, seed=1)
    aligned = head.aligned(head.standard(fresh))
    leading = torch.stack(aligned).mean(0)[:, :3].double()
    fit = torch.linalg.lstsq(leading, latent).solution
    unexplained = (latent - leading @ fit).square().sum() / latent.square().sum()
    assert unexplained < 0.05
    for view in aligned[1:]:
        assert torch.corrcoef(torch.stack([aligned[0][:, 0], view[:, 0]]))[0, 1] > 0.95
    principal = torch.linalg.svd(fresh[0] - fresh[0].mean(0), full_matrices=False)[2][:3]
    own = (fresh[0] @ principal.T).double()
    alone = torch.linalg.lstsq(own, latent).solution
    assert (latent - own @ alone).square().sum() / latent.square().sum() > 0.8, (
        "PCA of a view finds the noise"
    )


def test_cca_wants_rows() -> None:
    views, _ = planted(20, 3, seed=0)
    head = CcaAligned([view.shape[1] for view in views], 4)
    message = (
        r"cca_aligned: expected more than 24 training rows, two for each shared dimension, got 20. "
        r"Use concat_mlp, or more images."
    )
    with pytest.raises(DataError, match=message):
        head.prepare(lambda: iter([views]))

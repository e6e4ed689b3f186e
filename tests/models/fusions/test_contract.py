"""The contract of fusion heads, tested for every entry of the family."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from committee.models.fusions.base import FUSIONS, FusionHead
from committee.training.fit.heads import train_head

SIZES = (7, 12, 5)


def views(rows: int, seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """Embeddings that are random mixtures of a class signal and noise, and the classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (rows,), generator=generator)
    mixing = torch.Generator().manual_seed(7)
    made = []
    for size in SIZES:
        centers = torch.randn(3, size, generator=mixing) * 2
        made.append(100 + 5 * (centers[labels] + torch.randn(rows, size, generator=generator)))
    return made, labels


def batches(embeddings: list[Tensor], size: int = 64) -> Iterator[list[Tensor]]:
    for start in range(0, len(embeddings[0]), size):
        yield [view[start : start + size] for view in embeddings]


@pytest.fixture(params=FUSIONS.names())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def make(name: str, hidden_dims: tuple[int, ...] = (16, 8)) -> FusionHead:
    torch.manual_seed(0)
    return FUSIONS.make(name, sizes=SIZES, classes=3, hidden_dims=hidden_dims, dropout=0.1).eval()


def fitted(name: str, rows: int = 600) -> FusionHead:
    head, (embeddings, labels) = make(name), views(rows)
    head.prepare(lambda: batches(embeddings))
    train_head(
        head,
        lambda some: [view[some] for view in embeddings],
        lambda logits, some: functional.cross_entropy(logits, labels[some]),
        rows,
        epochs=20,
        lr=5e-3,
        seed=0,
        who="head",
        lower="hidden_dims",
    )
    return head


@torch.no_grad()
def test_it_learns_what_the_views_have_in_common(name: str) -> None:
    embeddings, labels = views(500, seed=1)
    head = fitted(name)
    assert not head.training
    logits = head(embeddings)
    assert logits.shape == (500, 3)
    assert (logits.argmax(1) == labels).float().mean() > 0.9


@torch.no_grad()
def test_the_same_seed_gives_the_same_head(name: str) -> None:
    embeddings, _ = views(20, seed=2)
    assert torch.equal(fitted(name, 300)(embeddings), fitted(name, 300)(embeddings))


@torch.no_grad()
def test_how_batches_are_cut_and_scaled_makes_no_difference(name: str) -> None:
    embeddings, _ = views(300)
    one, other, scaled = make(name), make(name), make(name)
    one.prepare(lambda: batches(embeddings))
    other.prepare(lambda: batches(embeddings, 50))
    torch.testing.assert_close(one(embeddings), other(embeddings), rtol=1e-4, atol=1e-4)
    louder = [view * 3 - 2 for view in embeddings]
    scaled.prepare(lambda: batches(louder))
    torch.testing.assert_close(one(embeddings), scaled(louder), rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_a_value_that_never_changes_counts_for_nothing(name: str) -> None:
    embeddings, _ = views(300)
    embeddings[0][:, 0] = 4.0
    head = make(name)
    head.prepare(lambda: batches(embeddings))
    changed = [view.clone() for view in embeddings]
    changed[0][:, 0] = 1e6
    torch.testing.assert_close(head(changed), head(embeddings))


def test_it_takes_no_hidden_layer(name: str) -> None:
    embeddings, _ = views(300)
    head = make(name, ())
    head.prepare(lambda: batches(embeddings))
    assert head(embeddings).shape == (300, 3)

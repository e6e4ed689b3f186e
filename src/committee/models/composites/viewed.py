"""A network under a view: test-time augmentation as a member that shares the weights of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor, nn

from committee.models.batch import Batch, views_of_views
from committee.models.composites.base import Composite
from committee.models.moments import WithVariance, has_variance
from committee.models.views.base import SingleView
from committee.predictions.target_types import TARGET_TYPES

if TYPE_CHECKING:
    from committee.models.flat import Flat


class Viewed(Composite):
    """A member that predicts a view of each image.

    The part may be any member: all networks in it see the view of the canvas that they read. It has no
    weights of its own. An `Ensemble` holds a network once, also if several of its members are that network
    under different views, and runs it on several views as one batch. Of numbers, only views make sense that
    do not change the targets: a flipped image has the same age, but not the same angle. Maps of the view are
    transformed back to maps of the image (`SingleView.inverse`).

    Parameters
    ----------
    parts : sequence of one nn.Module
        The member; its attribute `takes_batches` must be true.
    class_names : sequence of str
        Names of the classes or targets, in the order of the outputs.
    name : str
        Name of the composite; a slug that is unique in an ensemble.
    view : SingleView
        The view.

    Raises
    ------
    UsageError
        The part predicts maps, and the view has no inverse.

    See Also
    --------
    committee.models.views : The views.
    committee.pipeline.stages.tta.Tta : The stage that makes ensembles of views.

    Examples
    --------
    >>> import torch
    >>> from committee.models import Ensemble, Member
    >>> from committee.models.composites import Viewed
    >>> from committee.models.views import Hflip, SingleView
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    >>> member = Member.from_module(net, classes=["cat", "dog"], size=8, name="net").eval()
    >>> flipped = Viewed([member], member.class_names, "net_hflip", SingleView(Hflip(), "hflip")).eval()
    >>> images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    >>> torch.allclose(flipped(images), member(images.flip(3)), atol=1e-6)
    True
    >>> len(Ensemble([member, flipped]).members)
    1
    """

    takes_batches = True
    serves = tuple(TARGET_TYPES)

    def __init__(
        self, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, view: SingleView
    ) -> None:
        super().__init__(parts, class_names, name)
        if self.task.target_type.dense:
            view.require_inverse()
        self.view = view

    @property
    def part(self) -> nn.Module:
        """The member that predicts."""
        return self.parts[0]

    def options(self) -> dict[str, Any]:
        """Return the description of the view."""
        return self.view.to_json()

    @classmethod
    def rebuild(
        cls, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, **options: Any
    ) -> Self:
        """Create the composite from its `options`."""
        return cls(parts, class_names, name, SingleView.from_json(options))

    def forward(self, images: Tensor | Batch) -> Tensor:
        """Return logits or numbers `[B, C]`, or maps of them, for images, uint8 `[B, c, H, W]`."""
        return self._predict(Batch.of(images), lazy=False)

    def infer(self, images: Tensor | Batch) -> Tensor:
        """Return the same as `forward`; networks that cannot change the result do not run."""
        return self._predict(Batch.of(images), lazy=True)

    def _predict(self, batch: Batch, lazy: bool) -> Tensor:
        outputs = batch.under([self.view]).run(self.part, lazy=lazy)
        if not self.task.target_type.dense:
            return outputs
        height, width = batch.source.shape[2:]
        return self.view.inverse(outputs, (height, width))

    @property
    def has_variance(self) -> bool:
        """Whether the member predicts the variance of each number."""
        return has_variance(self.part)

    def moments(self, images: Tensor | Batch) -> Tensor:
        """Return numbers and their variances, float `[B, T, 2]`."""
        return Batch.of(images).under([self.view]).run(WithVariance(self.part))

    def place_in(self, flat: Flat, view: SingleView | None = None) -> int:
        """Place the part, under the view, in the networks of an ensemble; return the index of its output."""
        if view is not None:
            raise views_of_views()
        return flat.place(self.part, self.view)


def under(member: nn.Module, view: Mapping[str, Any] | None) -> nn.Module:
    """Return a member under a view that `SingleView.to_json` described; without one, the member."""
    if view is None:
        return member
    name, classes = getattr(member, "name", "member"), getattr(member, "class_names", ())
    return Viewed([member], classes, f"{name}_{view['view']}", SingleView.from_json(view))

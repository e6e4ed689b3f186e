"""Feature fusion: one head on the embeddings of several networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

from torch import Tensor, nn

from committee.backbones.outputs import Output
from committee.errors import UsageError
from committee.models.batch import Batch
from committee.models.composites.base import Composite
from committee.models.fusions.attention import Attention
from committee.models.fusions.base import FUSIONS, FusionHead
from committee.models.member import Member


class Fusion(Composite):
    """A fusion head on the embeddings of several members.

    Parameters
    ----------
    parts : sequence of Member
        The members, whose embeddings are the input of the head.
    class_names : sequence of str
        Names of the classes or targets, in the order of the outputs.
    name : str
        Name of the composite; a slug that is unique in an ensemble.
    head : FusionHead
        The head: a module from embeddings to logits, or to standardized numbers.
    method : str
        Key of the head in its family.
    shift, scale : sequence of float, length T or 0
        Mean and standard deviation of each target.

    See Also
    --------
    committee.models.fusions : The fusion heads.
    committee.training.plans.FusionPlan : The plan that trains the head.

    Examples
    --------
    >>> import torch
    >>> from committee.models import Member
    >>> from committee.models.composites import Fusion
    >>> from committee.models.fusions import ConcatMlp
    >>> def network(seed):
    ...     torch.manual_seed(seed)
    ...     net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    ...     return Member.from_module(net, classes=["cat", "dog"], size=8, name=f"net_{seed}")
    >>> images = torch.randint(0, 256, (4, 3, 20, 30), dtype=torch.uint8)
    >>> head = ConcatMlp(sizes=[192, 192], classes=2, hidden_dims=[4])
    >>> fusion = Fusion([network(0), network(1)], ["cat", "dog"], "fused", head, "concat_mlp").eval()
    >>> fusion(images).shape
    torch.Size([4, 2])
    """

    takes_batches = True
    serves = ("classes", "numbers")

    def __init__(
        self,
        parts: Sequence[nn.Module],
        class_names: Sequence[str],
        name: str,
        head: FusionHead,
        method: str,
        shift: Sequence[float] = (),
        scale: Sequence[float] = (),
    ) -> None:
        super().__init__(parts, class_names, name)
        self.head, self.method = head, method
        self.output = Output(shift=tuple(shift), scale=tuple(scale))

    def options(self) -> dict[str, Any]:
        """Return the arguments of the head, and mean and standard deviation of targets."""
        head, output = self.head, self.output
        units = {"shift": list(output.shift), "scale": list(output.scale)} if output.scale else {}
        return {
            **units,
            "method": self.method,
            "sizes": list(head.sizes),
            "hidden_dims": list(head.hidden_dims),
            "dropout": head.dropout,
        }

    @classmethod
    def rebuild(
        cls, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, **options: Any
    ) -> Self:
        """Create an untrained composite from its `options`."""
        method, shift, scale = options.pop("method"), options.pop("shift", ()), options.pop("scale", ())
        head = FUSIONS.make(method, classes=len(class_names), **options)
        return cls(parts, class_names, name, head, method, shift, scale)

    def forward(self, images: Tensor | Batch) -> Tensor:
        """Return logits or numbers, float32 `[B, C]`, for images, uint8 `[B, c, H, W]`."""
        return self.fused(self.embeddings(images))

    def fused(self, embeddings: Sequence[Tensor]) -> Tensor:
        """Return logits or numbers `[B, C]` for embeddings, `[B, D]` for each network."""
        return self.output.logits(self.head(embeddings))

    def embeddings(self, images: Tensor | Batch) -> list[Tensor]:
        """Return the embeddings of images, float32 `[B, D]` for each network."""
        batch = Batch.of(images)
        return [cast("Member", part).embed(batch).float() for part in self.parts]

    def attend(self, images: Tensor | Batch) -> Tensor:
        """Return the attention weights of the networks for each image, `[B, M]`.

        Raises
        ------
        UsageError
            The head is not `attention`, and so has no such weights.
        """
        if not isinstance(self.head, Attention):
            raise UsageError(self.name, expected="the fusion head 'attention'", got=f"'{self.method}'")
        return self.head.attend(self.embeddings(images))

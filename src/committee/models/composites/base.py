"""The base class of composites: members that contain other members and trained parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from committee.backbones.stored_weights import build_for, fill
from committee.base.registry import Family
from committee.errors import UsageError
from committee.images.decode import Source
from committee.models.descriptions import COMPOSITE as DESCRIPTION
from committee.models.descriptions import MEMBER, write_description
from committee.models.member import WEIGHTS
from committee.models.prediction import predict
from committee.models.slugs import slugs
from committee.models.stored_network import damage_named
from committee.models.tasks import NamedOutputs, common_task, units_of
from committee.predictions.target_types import CLASSES
from committee.store.disk import writes_folder
from committee.store.hashes import hash_file
from committee.store.inside import inside
from committee.store.manifest import digest
from committee.untrusted.safetensors_header import read_header

PROTOCOL = 1
PARTS = "parts"

LoadPart = Callable[[Path], nn.Module]


class Composite(NamedOutputs, nn.Module, ABC):
    """Base class of members that contain other members and parameters that were trained on top of them.

    An entry implements `forward`, `options` and `rebuild`, and may implement `infer`.

    Parameters
    ----------
    parts : sequence of nn.Module
        Members: modules from images, uint8 `[B, c, H, W]`, to logits, or numbers, float `[B, C]`.
    class_names : sequence of str
        Names of the classes, or of the targets, in the order of the outputs.
    name : str
        Name of the composite; a slug that is unique in an ensemble.
    provenance : mapping, optional
        Origin of the composite, as plain JSON values.

    Attributes
    ----------
    takes_batches : bool
        Whether `forward` and `infer` accept a `Batch` in place of images, and run the parts by
        `Batch.of(images).run(part)`. Networks inside and outside of the composite then share resized images.
    serves : tuple of str
        Names of the target types that the composite predicts: `classes`, `numbers`.
    task : Task
        What the parts predict.

    Raises
    ------
    UsageError
        The composite does not serve the task of its parts.

    See Also
    --------
    committee.models.Ensemble : Members and a combiner of their outputs.

    Examples
    --------
    A composite that adds the logits of its parts:

    >>> import torch
    >>> from committee.models.composites import Composite
    >>> class Sum(Composite):
    ...     def forward(self, images):
    ...         return sum(part(images) for part in self.parts)
    ...
    ...     def options(self):
    ...         return {}
    ...
    ...     @classmethod
    ...     def rebuild(cls, parts, class_names, name, **options):
    ...         return cls(parts, class_names, name)
    >>> part = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2))
    >>> Sum([part, part], ["cat", "dog"], "twice")(torch.ones(1, 3, 1, 1)).shape
    torch.Size([1, 2])
    """

    key: str
    takes_batches: ClassVar[bool] = False
    serves: ClassVar[tuple[str, ...]] = (CLASSES.name,)
    parts: nn.ModuleList

    def __init__(
        self,
        parts: Sequence[nn.Module],
        class_names: Sequence[str],
        name: str,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.class_names = tuple(map(str, class_names))
        self.name = name
        self.task, self.units = common_task([name] * len(parts), parts), units_of(parts, self.class_names)
        if self.task.target_type.name not in self.serves:
            raise UsageError(
                f"{name}: {self.key}",
                expected=f"parts that predict {' or '.join(self.serves)}",
                got=f"parts that predict {self.task.target_type.name}",
                todo="Combine them with an Ensemble.",
            )
        self.provenance = dict(provenance or {})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.key = cls.__module__.rpartition(".")[2]

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return logits or numbers, float32 `[B, C]`, for images, uint8 `[B, c, H, W]`; all parts run."""

    def infer(self, images: Tensor) -> Tensor:
        """Return the same as `forward`; an entry may skip work that cannot change the result."""
        return self(images)

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Return the arguments that `rebuild` takes, as plain JSON values."""

    @classmethod
    @abstractmethod
    def rebuild(
        cls, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, **options: Any
    ) -> Self:
        """Create an untrained composite from its `options`, before its weights are loaded."""

    def predict(
        self, images: Tensor | NDArray[np.uint8] | Sequence[Source], batch_size: int = 32, **tiles: Any
    ) -> Any:
        """Return probabilities, float32 `[N, C]`, of images; see `committee.models.prediction.predict`."""
        return predict(self, images, batch_size, **tiles)

    def own_state(self) -> dict[str, Tensor]:
        """Return the tensors that do not belong to the parts, by name."""
        state = self.state_dict(keep_vars=True)
        return {name: value for name, value in state.items() if not name.startswith(f"{PARTS}.")}

    @writes_folder
    def save(self, folder: Path) -> None:
        """Write `composite.json`, the own weights to `weights.safetensors`, and the parts to `parts/`.

        Raises
        ------
        UsageError
            A part has no `save` method, so that its preprocessing and classes are not known.
        """
        names = save_parts(self.parts, folder / PARTS, self.name)
        own = self.own_state()
        save_file(
            {
                name: value.detach().clone(memory_format=torch.contiguous_format)
                for name, value in own.items()
            },
            folder / WEIGHTS,
        )
        description = {
            "protocol": PROTOCOL,
            "kind": self.key,
            "name": self.name,
            "class_names": list(self.class_names),
            "parts": names,
            "options": self.options(),
            "provenance": self.provenance,
        }
        write_description(folder / DESCRIPTION, description)


COMPOSITES: Family[Composite] = Family("committee.models.composites", "composite")


def save_parts(parts: Iterable[nn.Module], folder: Path, who: str) -> list[str]:
    """Save the parts of a model to subfolders of `folder`, and return the names of the subfolders.

    Raises
    ------
    UsageError
        A part has no `save` method.
    """
    parts = list(parts)
    names = slugs([str(getattr(part, "name", "member")) for part in parts])
    for name, part in zip(names, parts, strict=True):
        if not hasattr(part, "save"):
            raise UsageError(
                who,
                expected="members with a save method",
                got=type(part).__name__,
                todo="Wrap it with Member.from_module.",
            )
        cast("Any", part).save(folder / name)
    return names


def read_composite(folder: Path, description: Mapping[str, Any], load_part: LoadPart) -> Composite:
    """Load a composite from a folder and its description, in evaluation mode.

    Parameters
    ----------
    folder : Path
        The folder that `Composite.save` wrote.
    description : mapping
        The content of `composite.json`.
    load_part : callable
        Returns the part that is saved in a folder.

    Raises
    ------
    StoreError
        The weights are damaged.
    """
    parts = [load_part(inside(folder, f"{PARTS}/{slug}")) for slug in description["parts"]]
    kind, path = COMPOSITES.load(description["kind"]), folder / WEIGHTS
    name, classes = str(description["name"]), description["class_names"]

    def build() -> Composite:
        return kind.rebuild(parts, classes, name, **description["options"])

    with damage_named(path, name):
        header = read_header(path)
        built = build_for(path, header, build, kind.own_state)
        fill(built, path, header, kind.own_state)
    built.provenance = dict(description["provenance"])
    return built.eval()


def content(folder: Path) -> str:
    """Return a digest of the files from which a saved member or composite is loaded."""
    files = [folder / name for name in (MEMBER, DESCRIPTION, WEIGHTS)] + sorted((folder / PARTS).rglob("*"))
    return digest(
        [(file.relative_to(folder).as_posix(), hash_file(file)) for file in files if file.is_file()]
    )

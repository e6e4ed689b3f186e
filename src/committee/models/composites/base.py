"""What every composite shares: one member made of members that are asked for more than their logits."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import safetensors
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from committee.base.registry import Family
from committee.errors import StoreError, UsageError
from committee.images.decode import Source
from committee.models.member import WEIGHTS, predict, slugs
from committee.store.inside import inside
from committee.untrusted.safetensors_header import read_header

PROTOCOL = 1
DESCRIPTION = "composite.json"
PARTS = "parts"

LoadPart = Callable[[Path], nn.Module]


class Composite(nn.Module, ABC):
    """Members and what was trained on top of them: photos in, logits out.

    Parameters
    ----------
    parts : sequence of nn.Module
        Members: photos uint8 `[B, c, H, W]` -> logits `[B, C]`.
    class_names : sequence of str
        Name of each logit.
    name : str
        A slug, unique in an ensemble.
    provenance : mapping, optional
        Where it comes from: plain JSON values.
    """

    key: str
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
        self.provenance = dict(provenance or {})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.key = cls.__module__.rpartition(".")[2]

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Turn photos, uint8 `[B, c, H, W]`, into logits `[B, C]`; all parts run on all photos."""

    def infer(self, images: Tensor) -> Tensor:
        """Return what `forward` returns, with less work where that can be."""
        return self(images)

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Return the arguments that `rebuild` takes, as plain JSON values."""

    @classmethod
    @abstractmethod
    def rebuild(
        cls, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, **options: Any
    ) -> Self:
        """Build one again, untrained, from `options`."""

    def predict(
        self, images: Tensor | NDArray[np.uint8] | Sequence[Source], batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Return probabilities `[N, C]` of photos: a uint8 batch, or paths, PIL images and arrays."""
        return predict(self, images, batch_size)

    def own_state(self) -> dict[str, Tensor]:
        """Return the tensors on top of the parts, by name."""
        return {name: value for name, value in self.state_dict().items() if not name.startswith(f"{PARTS}.")}

    def save(self, folder: Path | str) -> None:
        """Write `composite.json`, `weights.safetensors` of what is on top, and each part in `parts/`.

        Raises
        ------
        UsageError
            A part is a bare module: its view and classes are not known.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        names = slugs([str(getattr(part, "name", "part")) for part in self.parts])
        for slug, part in zip(names, self.parts, strict=True):
            save_part(part, folder / PARTS / slug, self.name)
        own = self.own_state()
        save_file(
            {name: value.clone(memory_format=torch.contiguous_format) for name, value in own.items()},
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
        text = json.dumps(description, indent=1, ensure_ascii=False)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


COMPOSITES: Family[Composite] = Family("committee.models.composites", "composite")


def save_part(part: nn.Module, folder: Path, who: str) -> None:
    """Save a module that others are made of; raise UsageError where it does not know how."""
    if not hasattr(part, "save"):
        raise UsageError(
            who,
            expected="members that can be saved",
            got=type(part).__name__,
            todo="Wrap it with Member.from_module.",
        )
    cast("Any", part).save(folder)


def read_composite(folder: Path, description: Mapping[str, Any], load_part: LoadPart) -> Composite:
    """Return the composite that a description in `folder` is of, in evaluation mode.

    Raises
    ------
    StoreError
        Its weights are damaged.
    """
    parts = [load_part(inside(folder, f"{PARTS}/{slug}")) for slug in description["parts"]]
    name = str(description["name"])
    built = COMPOSITES.load(description["kind"]).rebuild(
        parts, description["class_names"], name, **description["options"]
    )
    path = folder / WEIGHTS
    try:
        read_header(path)
        own = load_file(path)
        missing = sorted(set(own) ^ set(built.own_state()))
        if missing:
            raise RuntimeError(f"'{missing[0]}' in one of the two alone")
        built.load_state_dict(own, strict=False)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        raise StoreError(
            str(path),
            expected=f"the weights of {name}",
            got=str(error).splitlines()[0],
            todo="Train it again.",
        ) from error
    built.provenance = dict(description["provenance"])
    return built.eval()

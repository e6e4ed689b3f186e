"""Programs whose inputs are the resized images of each preprocessing, for runtimes with fixed image sizes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from committee.errors import ExportError
from committee.exporters._card import CalledPredictor
from committee.exporters.base import REDO
from committee.exporters.shared.fixed_tiles import in_fixed_tiles
from committee.images.view import View
from committee.models.batch import Batch
from committee.models.predictor import Images
from committee.tasks.base import task_of_model
from committee.untrusted.documents import build


def _key(view: View) -> tuple[int, str, int]:
    # Without the type: `torch.export` replaces that of modules which are used twice. Images of maps are not
    # resized, so that networks which were trained on crops of other sizes read the same ones.
    return view.size if view.canvas.size else 0, view.fit, view.channels


class _Resized(Batch):
    """A batch of which only the resized images are known."""

    def __init__(self, views: Sequence[View], images: Sequence[Tensor]) -> None:
        super().__init__(images[0])
        self._given = dict(zip(map(_key, views), images, strict=True))

    def resized(self, view: View, rows: Tensor | None = None) -> Tensor:
        found = self._given[_key(view)]
        return found if rows is None else found[rows]

    def run(self, module: nn.Module, *, lazy: bool = False) -> Tensor:
        if not getattr(module, "takes_batches", False):
            raise no_batches("a network without its preprocessing", module)
        return super().run(module, lazy=lazy)


def no_batches(who: str, model: nn.Module) -> ExportError:
    """Return the error about a module that does not preprocess images itself."""
    return ExportError(
        who,
        expected="a Member, an Ensemble or a Composite",
        got=type(model).__name__,
        todo="Wrap it with Member.from_module.",
    )


class FromResized(nn.Module):
    """A model from the resized images of each of its preprocessings to probabilities or numbers.

    Parameters
    ----------
    model : nn.Module
        A member, an ensemble or a composite: a module that takes batches.
    who : str
        Format and name of the model, for the error.

    Attributes
    ----------
    views : list of View
        The preprocessings that differ, in the order of the inputs, uint8 `[B, c, size, size]` each. A model
        of maps has one, whose size is that of its largest training crops.
    target_type : TargetType
        What the model predicts.

    Raises
    ------
    ExportError
        The model does not take batches, or has no preprocessing.
    """

    def __init__(self, model: nn.Module, who: str) -> None:
        super().__init__()
        self.model, task = model.eval(), task_of_model(model)
        self.target_type, self._link = task.target_type, task.link
        found = dict[Any, View]()
        for part in model.modules():
            if isinstance(part, View) and (_key(part) not in found or part.size >= found[_key(part)].size):
                found[_key(part)] = part
        if not found or not getattr(model, "takes_batches", False):
            raise no_batches(who, model)
        self.views = list(found.values())

    def forward(self, *images: Tensor) -> Tensor:
        """Return probabilities or numbers, float32 `[B, C]`, or maps `[B, C, size, size]`."""
        return self._link(self.outputs(*images))

    def outputs(self, *images: Tensor) -> Tensor:
        """Return what the model returns, in float32: logits, where `forward` returns probabilities."""
        outputs: Tensor = self.model(_Resized(self.views, images))
        return outputs.float()

    def examples(self, batch: int) -> tuple[Tensor, ...]:
        """Return an input of the right shape for each preprocessing."""
        return tuple(
            torch.zeros(batch, view.channels, view.size, view.size, dtype=torch.uint8) for view in self.views
        )

    def facts(self) -> list[dict[str, Any]]:
        """Return what `resized_predictor` needs to know of the preprocessings."""
        return [{"size": view.size, "fit": view.fit, "channels": view.channels} for view in self.views]


def resized_predictor(
    file: Path, card: dict[str, Any], call: Callable[[list[Tensor]], Tensor]
) -> CalledPredictor:
    """Return a predictor that resizes images as in training, or divides them into tiles, and calls a program.

    Images of a model of maps are not resized: tiles of the size of the input are averaged, see `tiled`.

    Parameters
    ----------
    file : Path
    card : dict
        The card, with `inputs`, which `FromResized.facts` returned; `batch`, the largest number of images in
        one call (0 is no limit); and `fixed`, whether each call has as many. Missing ones are black.
    call : callable
        Resized images, uint8 `[B, c, size, size]` for each input -> probabilities or numbers `[B, C]`, or
        maps of them `[B, C, size, size]`.

    Raises
    ------
    StoreError
        The card does not describe inputs.
    """

    def read() -> tuple[list[View], int, bool]:
        # Resizing does not depend on mean and standard deviation.
        views = [View(**facts, mean=0.5, std=0.5) for facts in card["inputs"]]
        return views, int(card["batch"]), bool(card["fixed"])

    views, batch, fixed = build(read, file, "the inputs of an exported file", REDO)
    classes = len(card["class_names"])
    tile = views[0].size if views[0].fit == "native" else 0

    def predict(images: Images) -> Any:
        with torch.inference_mode():
            resized = [view.cut(torch.from_numpy(images)).contiguous() for view in views]
            found = [np.zeros((0, classes, *[tile] * (2 if tile else 0)), np.float32)]
            step = batch or max(1, len(images))
            for start in range(0, len(images), step):
                parts = [each[start : start + step] for each in resized]
                parts = [_filled(each, step) for each in parts] if fixed else parts
                found.append(call(parts)[: len(images) - start].cpu().numpy().copy())
        return np.concatenate(found)

    if not tile:
        return CalledPredictor(file, card, predict)
    step = max(1, batch)
    return CalledPredictor(file, card, lambda images: in_fixed_tiles(predict, images, tile, step), tile)


def _filled(images: Tensor, batch: int) -> Tensor:
    missing = batch - len(images)
    return images if not missing else torch.cat([images, images.new_zeros(missing, *images.shape[1:])])

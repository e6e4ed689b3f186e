"""Engines of another package, good and bad ones, for a module that is slow on purpose."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from committee.engines.base import Engine, infer_of

Infer = Callable[[Tensor], Tensor]


class Slow(nn.Module):
    """Logits of three classes: the means of the channels; each call takes at least two milliseconds."""

    class_names = ("red", "green", "blue")
    pause = 0.002

    def forward(self, images: Tensor) -> Tensor:
        time.sleep(self.pause)
        return means(images)


def means(images: Tensor) -> Tensor:
    return images.float().mean((2, 3)) / 255


class Right(Engine):
    """As it should be: faster, and equal."""

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        return means


class Good(Right):
    """Faster and equal for images of the size of the example alone; others are wrong."""

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        return lambda images: means(images) * (1.0 + (images.shape[2:] != example.shape[2:]))


class Wrong(Engine):
    """Faster, and wrong by a little."""

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        return lambda images: means(images) + torch.tensor([0.0, 0.0, 0.01])


class WrongForOne(Engine):
    """Right for the example, and wrong for a single image."""

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        return lambda images: means(images) * (1.0 + (len(images) == 1))


class Slower(Engine):
    """Equal, and slower."""

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        def run(images: Tensor) -> Tensor:
            time.sleep(0.004)
            return means(images)

        return run


class Absent(Right):
    """An engine whose package is not installed."""

    def missing(self, module: nn.Module, example: Tensor) -> str:
        return "the package 'fast' is not installed"


class NoMemory(Engine):
    """An engine that needs more memory than there is."""

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        raise MemoryError("the stack needs 80 GB.\nMore of it")


class Late(Engine):
    """An engine that usually takes minutes to prepare."""

    effort = 2

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        raise AssertionError("there was no time for it")


class Half(Engine):
    """Half precision: faster, and off by a little in it."""

    precisions = ("fp32", "bf16")

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        if self.precision == "fp32":
            return lambda images: module(images)
        return lambda images: means(images).to(torch.bfloat16).float()


class Remember(Engine):
    """An engine that is exact and fast for images that it has seen."""

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        infer, known = infer_of(module), dict[bytes, Tensor]()

        def run(images: Tensor) -> Tensor:
            key = images.numpy().tobytes()
            if key not in known:
                known[key] = infer(images).clone()
            return known[key]

        return run

"""The base class of engines: ways to run a module in this process, without changing it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from committee.base.registry import Family
from committee.errors import UsageError, is_installed

Infer = Callable[[Tensor], Tensor]
"""A function from images `[B, c, H, W]` to outputs, float32 `[B, C, ...]`, on the same device."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class Engine(ABC):
    """Base class of engines: an engine runs a module faster, and leaves the module as it is.

    A new engine is one file in `committee/engines/`, or an entry point of the group `committee.engines` of
    another package. The attributes are literals.

    Parameters
    ----------
    precision : str
        Precision of the networks, one of `precisions`. Preprocessing and combiners are float32.

    Attributes
    ----------
    key : str
        Name of the engine, which is the name of its file.
    precisions : tuple of str
        The precisions that the engine has: "fp32", "bf16", "fp16".
    effort : int
        How long `prepare` usually takes: 0 milliseconds, 1 seconds, 2 up to minutes. The planner tries
        engines of less effort first.
    package : str
        The distribution, beside torch, whose version decides what the engine does; empty if there is none.

    Raises
    ------
    UsageError
        The engine does not have the precision.

    See Also
    --------
    committee.models.planner.optimize : Measures all engines and selects the fastest one.

    Examples
    --------
    >>> import torch
    >>> from committee.engines.base import Engine
    >>> class Plain(Engine):
    ...     def prepare(self, module, example):
    ...         return lambda images: module(images).float()
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    >>> images = torch.rand(4, 3, 2, 2)
    >>> Plain().prepare(net, images)(images[:1]).shape
    torch.Size([1, 2])
    """

    key: ClassVar[str]
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    effort: ClassVar[int] = 1
    package: ClassVar[str] = ""

    def __init__(self, precision: str = "fp32") -> None:
        if precision not in self.precisions:
            raise UsageError(
                f"engine {self.key}: precision",
                expected=f"one of {', '.join(self.precisions)}",
                got=f"'{precision}'",
            )
        self.precision = precision

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.key = cls.__module__.rpartition(".")[2]

    def missing(self, module: nn.Module, example: Tensor) -> str:
        """Return why the engine cannot run a module here; empty if it can.

        Parameters are those of `prepare`. The answer is immediate: nothing is prepared. It is a clause that
        messages put after a colon, such as "fp16 needs a GPU", without a period at its end.
        """
        return ""

    @abstractmethod
    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        """Return a function that returns what the module does.

        Parameters
        ----------
        module : torch.nn.Module
            Images to logits or numbers `[B, C]`, or maps of them `[B, C, H, W]`; in evaluation mode. It is
            not changed.
        example : tensor [B, c, H, W]
            Images as the module takes them, uint8 or floating, on the device of the module.

        Returns
        -------
        callable
            Images of the shape of the example, of any number, to what `module.infer`, or else `module`,
            returns for them: float32, on the same device. It is called without gradients.

        Raises
        ------
        Exception
            The engine cannot run the module. The message is the reason that the planner reports.
        """

    @property
    def dtype(self) -> torch.dtype:
        """Type of the tensors of the networks."""
        return DTYPES[self.precision]


ENGINES: Family[Engine] = Family("committee.engines", "engine")


def absent(packages: Sequence[str], extra: str) -> str:
    """Return which of some packages is not installed and how to install it, as a clause; empty if none is."""
    found = next((name for name in packages if not is_installed(name)), "")
    return f"the package '{found}' is not installed: pip install 'committee[{extra}]'" if found else ""


def infer_of(module: nn.Module) -> Infer:
    """Return the method `infer` of a module, or the module if it has none."""
    return cast("Infer", getattr(module, "infer", module))

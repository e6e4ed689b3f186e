"""Stored choices of engines: what they depend on, and their files."""

from __future__ import annotations

import hashlib
import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from committee._version import __version__
from committee.base.registry import Family
from committee.errors import CommitteeError
from committee.models.engine_trials import Trial
from committee.store.commit import write_json
from committee.store.manifest import digest
from committee.untrusted.documents import read_json

log = logging.getLogger(__name__)

PROTOCOL = 1
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """The engine that a measurement has selected.

    Parameters
    ----------
    facts : mapping
        What the measurement depends on; see `facts_of`.
    trial : Trial
        The measurement of the selected engine.
    any_size : bool
        Whether the engine takes images of any height and width.
    budget_s : float
        Seconds that the measurement had.
    table : sequence of Trial
        The measurements of all engines.

    See Also
    --------
    committee.models.planner.optimize : Makes choices.

    Examples
    --------
    >>> from committee.models.engine_choices import Choice
    >>> from committee.models.engine_trials import Trial
    >>> Choice({}, Trial("eager"), True, 30.0, ()).serves(budget_s=60.0)
    True
    """

    facts: Facts
    trial: Trial
    any_size: bool
    budget_s: float
    table: Sequence[Trial]

    def serves(self, budget_s: float) -> bool:
        """Return whether a measurement with this budget would find nothing new."""
        return budget_s <= self.budget_s or not any(trial.is_unfinished for trial in self.table)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "protocol": PROTOCOL,
            "facts": dict(self.facts),
            "trial": self.trial.to_json(),
            "any_size": self.any_size,
            "budget_s": self.budget_s,
            "table": [trial.to_json() for trial in self.table],
        }


def facts_of(model: str, example: Tensor, tolerance: float) -> dict[str, Any]:
    """Return what the choice of an engine depends on, as plain JSON values.

    Parameters
    ----------
    model : str
        Digest of the weights and the structure; see `digest_of`.
    example : tensor [B, c, H, W]
        The images.
    tolerance : float
        Largest difference that is accepted.
    """
    engines: Family[Any] = Family("committee.engines", "engine")
    packages = {engine: engines.constants(engine).get("package", "") for engine in engines.names()}
    return {
        "model": model,
        "shape": list(example.shape),
        "dtype": str(example.dtype).removeprefix("torch."),
        "device": _device(example),
        "threads": torch.get_num_threads(),
        "tolerance": tolerance,
        "versions": {
            "committee": __version__,
            "torch": torch.__version__,
            **{engine: _version(package) for engine, package in packages.items()},
        },
    }


def digest_of(module: nn.Module) -> str:
    """Return the SHA-256 of the weights and the structure of a module."""
    found = hashlib.sha256(repr(module).encode())
    for part in module.modules():
        found.update(repr([type(part).__module__, type(part).__qualname__, *_settings(part)]).encode())
        for name, tensor in [*part.named_parameters(recurse=False), *part.named_buffers(recurse=False)]:
            found.update(f"{name} {tensor.dtype} {[*tensor.shape]}".encode())
            found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return found.hexdigest()


def _settings(part: nn.Module) -> list[Any]:
    """Return what an own part does that is neither in its weights nor in its text."""
    if not type(part).__module__.startswith("committee."):
        return []
    options = getattr(part, "options", None)
    values = [getattr(part, name, None) for name in ("inputs", "outputs", "output", "normalized")]
    return [*values, options() if callable(options) else None]


def write_choice(folder: Path, choice: Choice) -> None:
    """Write a choice into a folder of choices.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    write_json(folder / f"{digest(choice.facts)[:32]}.json", choice.to_json())


def read_choice(folder: Path, facts: Facts) -> Choice | None:
    """Return the choice for some facts; None if there is none, or its file is damaged."""
    path = folder / f"{digest(facts)[:32]}.json"
    found = _read(path) if path.is_file() else None
    return found if found is not None and found.facts == facts else None


def _read(path: Path) -> Choice | None:
    try:
        values = read_json(path, "the choice of an engine", "Measure again with: committee optimize NAME")
        if values["protocol"] != PROTOCOL:
            return None
        table = [Trial.from_json(each) for each in values["table"]]
        trial = Trial.from_json(values["trial"])
        budget = float(values["budget_s"])
        return Choice(values["facts"], trial, values["any_size"] is True, budget, table)
    except (CommitteeError, OSError, KeyError, TypeError, ValueError) as error:
        log.warning("%s is damaged, and engines are measured again (%s)", path, error)
        return None


def _device(example: Tensor) -> str:
    """Return the device by its name, since machines with the same folder may differ."""
    if example.device.type == "cuda":
        return torch.cuda.get_device_name(example.device)
    return f"{example.device.type} of {platform.node()}"


def _version(package: str) -> str:
    try:
        return metadata.version(package) if package else ""
    except metadata.PackageNotFoundError:
        return "absent"

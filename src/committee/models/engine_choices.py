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
from committee.models.engine_trials import EAGER, Trial
from committee.store.commit import write_json
from committee.store.manifest import digest
from committee.untrusted.documents import build, read_json

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
    made : str
        Day and time of the measurement, UTC; empty if it is not known.

    See Also
    --------
    committee.models.planner.optimize : Makes choices.

    Examples
    --------
    >>> from committee.models.engine_choices import Choice
    >>> from committee.models.engine_trials import EAGER, Trial
    >>> Choice({}, Trial("eager"), True, 30.0, ()).serves(budget_s=60.0)
    True
    """

    facts: Facts
    trial: Trial
    any_size: bool
    budget_s: float
    table: Sequence[Trial]
    made: str = ""

    def serves(self, budget_s: float) -> bool:
        """Return whether a measurement with this budget would find nothing new."""
        return budget_s <= self.budget_s or not any(trial.is_unfinished for trial in self.table)

    def sentence(self, name: str) -> str:
        """Return what was selected for a model of this name, as a sentence."""
        if self.trial.engine == EAGER:
            return f"{name} runs as it is: no engine is clearly faster and agrees."
        ratio = self.trial.ratio
        time = "" if ratio is None else f", in {ratio:.2f} of the time of the model as it is"
        return f"{name} runs on {self.trial.title}{time}."

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "protocol": PROTOCOL,
            "facts": dict(self.facts),
            "trial": self.trial.to_json(),
            "any_size": self.any_size,
            "budget_s": self.budget_s,
            "table": [trial.to_json() for trial in self.table],
            "made": self.made,
        }


def setting_of(model: str, device: torch.device) -> dict[str, Any]:
    """Return what all choices for a model on this machine depend on, as plain JSON values.

    Parameters
    ----------
    model : str
        Digest of the weights and the structure; see `digest_of`.
    device : torch.device
    """
    engines: Family[Any] = Family("committee.engines", "engine")
    packages = {engine: engines.constants(engine).get("package", "") for engine in engines.names()}
    return {
        "model": model,
        "device": _name(device),
        "threads": torch.get_num_threads(),
        "versions": {
            "committee": __version__,
            "torch": torch.__version__,
            **{engine: _version(package) for engine, package in packages.items()},
        },
    }


def facts_of(
    model: str, example: Tensor, tolerance: float, entries: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    """Return what the choice of an engine depends on, as plain JSON values.

    Parameters
    ----------
    model : str
        Digest of the weights and the structure.
    example : tensor [B, c, H, W]
        The images.
    tolerance : float
        Largest difference that is accepted.
    entries : sequence of (engine, precision)
        What is measured.
    """
    return {
        **setting_of(model, example.device),
        "shape": list(example.shape),
        "dtype": str(example.dtype).removeprefix("torch."),
        "tolerance": tolerance,
        "engines": [[*entry] for entry in entries],
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
    found = _read(path, "The engines are measured again.") if path.is_file() else None
    return found if found is not None and found.facts == facts else None


def read_choices(
    folder: Path, todo: str = "Measure again with: committee optimize NAME"
) -> dict[Path, Choice]:
    """Return all choices in a folder, without those whose files are damaged.

    A damaged file is logged with `todo`: what the user can do, or what will be done.
    """
    found = {path: _read(path, todo) for path in sorted(folder.glob("[!.]*.json"))}
    return {path: choice for path, choice in found.items() if choice is not None}


def remove_choices(folder: Path, model: str) -> None:
    """Remove from a folder the choices for other states of a model, and files that cannot be read."""
    known = read_choices(folder, "The file is removed.")
    kept = {path for path, choice in known.items() if choice.facts.get("model") == model}
    for path in folder.glob("[!.]*.json"):
        if path not in kept:
            path.unlink(missing_ok=True)


def _read(path: Path, todo: str) -> Choice | None:
    """Return the choice in a file; None if the file is damaged, or of another version."""
    expected = "the choice of an engine"
    try:
        values = read_json(path, expected, todo)
        return build(lambda: _choice(values), path, expected, todo) if values else None
    except CommitteeError as error:
        log.warning("A stored engine is not used. %s", error)
        return None


def _choice(values: Mapping[str, Any]) -> Choice | None:
    if values["protocol"] != PROTOCOL:
        return None
    table, trial = [Trial.from_json(each) for each in values["table"]], Trial.from_json(values["trial"])
    shape = values["facts"]["shape"]
    if not all(isinstance(side, int) and side > 0 for side in shape):
        raise ValueError(f"images {shape}")
    any_size, budget, made = values["any_size"] is True, float(values["budget_s"]), values.get("made", "")
    return Choice(values["facts"], trial, any_size, budget, table, str(made))


def _name(device: torch.device) -> str:
    """Return the device by its name, since machines with the same folder may differ."""
    return (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type} of {platform.node()}"
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package) if package else ""
    except metadata.PackageNotFoundError:
        return "absent"

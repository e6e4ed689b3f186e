"""The network of a saved member: its architecture and its weights, from untrusted files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
from torch import nn

from committee.backbones.base import Architecture, Backbone, find_head
from committee.backbones.build import build_architecture
from committee.backbones.narrow import narrow
from committee.backbones.outputs import Output
from committee.backbones.stored_weights import build_for, fill
from committee.errors import CommitteeError, StoreError, UsageError
from committee.images.view import View
from committee.untrusted.safetensors_header import read_header


def load_network(
    description: Mapping[str, Any],
    view: View,
    path: Path,
    trusted: bool | Collection[str],
    net: nn.Module | None,
) -> Backbone:
    """Return the network that a member's description names, with the weights in `path`; see `Member.load`."""
    with damage_named(path, str(description["name"])):
        names, output = len(description["class_names"]), Output(**description.get("output", {}))
        classes = 2 * names if output.variance else names
        header, shapes = read_header(path), dict(description.get("shapes", {}))
        if net is not None:
            network = net if isinstance(net, Backbone) else Backbone(net, find_head(net, classes))
            narrow(network.net, shapes)
        else:
            architecture = _architecture(description)

            def build() -> Backbone:
                network = build_architecture(
                    architecture,
                    classes,
                    channels=view.channels,
                    img_size=view.size,
                    trusted=_is_trusted(architecture, trusted),
                    seed=0,
                )
                narrow(network.net, shapes)
                return network

            # A builder may compute with the values of its parameters; it is code that the user trusts.
            is_ours = architecture.source != "python"
            network = build_for(path, header, build, _state) if is_ours else build()
        network.shapes = shapes
        network.output = output
        if len(network.output.scale) not in (0, names):
            raise ValueError(f"a scale of {len(network.output.scale)} outputs")
        fill(network.net, path, header, nn.Module.state_dict)
    return network


@contextmanager
def damage_named(path: Path, name: str) -> Iterator[None]:
    """Raise StoreError in place of the errors that reading damaged weights of the model `name` raises."""
    try:
        yield
    except CommitteeError:
        raise
    except (OSError, safetensors.SafetensorError) as error:
        raise StoreError(
            str(path),
            expected=f"the weights of {name}",
            got=str(error).splitlines()[0],
            todo="Train or save the model again.",
        ) from error


def _state(backbone: Backbone) -> dict[str, Any]:
    return backbone.net.state_dict(keep_vars=True)


def _architecture(description: Mapping[str, Any]) -> Architecture:
    if description["architecture"] is None:
        raise UsageError(
            description["name"],
            expected="the network that it was created from",
            got="none",
            todo="Pass a network of the same architecture: Member.load(folder, net=...).",
        )
    return Architecture.from_json(description["architecture"])


def _is_trusted(architecture: Architecture, trusted: bool | Collection[str]) -> bool:
    if isinstance(trusted, bool):
        return trusted
    return f"python:{architecture.key}" in ({trusted} if isinstance(trusted, str) else trusted)

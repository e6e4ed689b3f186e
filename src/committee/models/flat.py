"""The unique networks, outputs and votes of nested ensembles."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from committee.models.views.base import SingleView
from committee.models.vote import Output, Vote


class Flat:
    """Networks, outputs and votes that several modules share, each once.

    A member under a view is an output of the network that it shares.

    Attributes
    ----------
    networks : list of nn.Module
    outputs : list of Output
        The networks, and those under a view.
    votes : list of Vote
        The votes of nested ensembles.

    See Also
    --------
    committee.models.Ensemble : Flattens its members.

    Examples
    --------
    >>> from torch import nn
    >>> from committee.models.flat import Flat
    >>> flat, network = Flat(), nn.Identity()
    >>> flat.place(network), flat.place(network), len(flat.networks)
    (0, 0, 1)
    """

    def __init__(self) -> None:
        self.networks: list[nn.Module] = []
        self.outputs: list[Output] = []
        self.votes: list[Vote] = []

    def place(self, module: nn.Module, view: SingleView | None = None) -> int:
        """Return the index of the output of a module, as `Vote.inputs` has it, and add what is new.

        A module that consists of others has a method `place_in`, which places these; any other is a network.

        Parameters
        ----------
        module : nn.Module
        view : SingleView, optional
            The view of the images that the module sees.
        """
        place_in = getattr(module, "place_in", None)
        index: int = self.output(module, view) if place_in is None else place_in(self, view)
        return index

    def output(self, network: nn.Module, view: SingleView | None = None) -> int:
        """Return the index of the output of a network, or of a network under a view."""
        places = [index for index, known in enumerate(self.networks) if known is network]
        if not places:
            self.networks.append(network)
        place = places[0] if places else len(self.networks) - 1
        for index, known in enumerate(self.outputs):
            if known.network == place and _described(known.view) == _described(view):
                return index
        self.outputs.append(Output(place, view))
        return len(self.outputs) - 1

    def vote(self, old: Vote, inputs: Sequence[int]) -> int:
        """Return the index of a vote on outputs and earlier votes."""
        for index, known in enumerate(self.votes):
            if known.combiner is old.combiner and known.inputs == tuple(inputs):
                return ~index
        new = Vote(old.combiner, inputs, old.names, old.class_names)
        for name, order in old.named_buffers(recurse=False):
            new.register_buffer(name, order, persistent=False)
        self.votes.append(new)
        return ~(len(self.votes) - 1)


def _described(view: SingleView | None) -> object:
    return None if view is None else view.to_json()

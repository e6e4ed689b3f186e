"""Ensembles: unique networks and the combiners of their outputs, from images to probabilities or numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.base.tracing import has_branches
from committee.combiners.base import Combiner
from committee.combiners.base import build as build_combiner
from committee.combiners.base import load as load_combiner
from committee.combiners.base import save as save_combiner
from committee.errors import UsageError
from committee.images.as_given import view_of
from committee.images.decode import Source
from committee.images.view import View
from committee.models._arguments import bound_combiner, check_same_classes, listed, member_names
from committee.models.batch import Batch, views_of_views
from committee.models.composites.base import PROTOCOL as COMPOSITE_PROTOCOL
from committee.models.composites.base import content, read_composite, save_parts
from committee.models.composites.viewed import under
from committee.models.descriptions import COMPOSITE, MEMBER, read_description, write_description
from committee.models.descriptions import ENSEMBLE as DESCRIPTION
from committee.models.flat import Flat
from committee.models.labeled_rows import labeled_rows, pixel_rows
from committee.models.measure import device_of
from committee.models.member import PROTOCOL as MEMBER_PROTOCOL
from committee.models.member import Member
from committee.models.mixture import Mixture
from committee.models.optimized import Optimized
from committee.models.planner import TOLERANCE, optimize
from committee.models.prediction import predict
from committee.models.tasks import common_task, units_of
from committee.models.views.base import SingleView
from committee.models.vote import LazyOutputs, Vote
from committee.predictions.table import Predictions
from committee.store.disk import folder_of, writes_folder
from committee.store.inside import inside
from committee.untrusted.documents import build

PROTOCOL = 1


class Ensemble(Mixture):
    """Members and a combiner of their outputs.

    Members that are ensembles are flattened: at any depth of nesting, an ensemble holds each network once and
    runs it once. All members predict classes, or all predict numbers; these are matched by name if the
    members have class names.

    Parameters
    ----------
    members : sequence of nn.Module
        Modules from images, uint8 `[B, c, H, W]`, to logits, float `[B, C]`: members, ensembles, composites,
        or any other modules.
    combiner : Combiner, str or mapping, optional
        A combiner, its key, or `{"combiner": key, **options}`; soft voting by default.
    weights : sequence of float or mapping of str to float, optional
        Weights of the members' probabilities, instead of a combiner.
    names : sequence of str, optional
        Names of the members. By default their own names, with numbers appended to equal ones.
    class_names : sequence of str, optional
        Names of the classes or targets; by default those of the first member that has them.
    name : str
        Name of the ensemble as a member of another ensemble.
    provenance : mapping, optional
        Origin of the ensemble, as plain JSON values.

    Raises
    ------
    UsageError
        There are no members, a member occurs twice, both a combiner and weights are given, or the names do
        not match.
    DataError
        The members have different tasks, classes or targets, or the combiner was fitted on other members.

    See Also
    --------
    committee.models.Member : A network with its preprocessing.
    committee.load_model : Load a model of a store.
    committee.combiners : The combiners.

    Examples
    --------
    >>> import torch
    >>> from committee.models import Ensemble
    >>> class Constant(torch.nn.Module):
    ...     def __init__(self, name, probabilities):
    ...         super().__init__()
    ...         self.name, self.class_names = name, ("cat", "dog")
    ...         self.logits = torch.tensor([probabilities]).log()
    ...
    ...     def forward(self, images):
    ...         return self.logits.expand(len(images), -1)
    >>> first, second = Constant("first", [0.9, 0.1]), Constant("second", [0.5, 0.5])
    >>> ensemble = Ensemble([first, second], weights={"first": 3, "second": 1}).eval()
    >>> images = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
    >>> ensemble.infer(images).exp()
    tensor([[0.8000, 0.2000]])

    The median of networks that predict numbers:

    >>> from committee.models import Member
    >>> nets = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 1)) for _ in range(3)]
    >>> members = [Member.from_module(net, targets=["age"], size=8) for net in nets]
    >>> Ensemble(members, "median").predict(images).shape
    (1, 1)
    """

    takes_batches = True

    def __init__(
        self,
        members: Sequence[nn.Module],
        combiner: Combiner | str | Mapping[str, Any] | None = None,
        *,
        weights: Sequence[float] | Mapping[str, float] | None = None,
        names: Sequence[str] | None = None,
        class_names: Sequence[str] | None = None,
        name: str = "ensemble",
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        members = listed(members)
        names = member_names(members, names)
        classes = [tuple(getattr(member, "class_names", ())) for member in members]
        chosen = tuple(class_names or next(filter(None, classes), ()))
        check_same_classes(names, classes, chosen, task := common_task(names, members))
        flat = Flat()
        inputs = [flat.place(member) for member in members]
        super().__init__(bound_combiner(combiner, weights, names, task), inputs, names, chosen)
        self.name, self.provenance = name, dict(provenance or {})
        self.members, self.votes = nn.ModuleList(flat.networks), nn.ModuleList(flat.votes)
        self.outputs = tuple(flat.outputs)
        self.set_class_orders(classes)
        self.units = units_of(members, chosen)

    def forward(self, images: Tensor | Batch) -> Tensor:
        """Return log-probabilities or numbers, float32 `[B, C]`, for images, uint8 `[B, c, H, W]`.

        Pixels of maps are combined as rows are: the result is `[B, C, H, W]`. Images are resized once for all
        members whose views have the same size, fit and channels.
        """
        return self.infer(images) if has_branches() else self.combined(self.member_logits(images))

    def infer(self, images: Tensor | Batch) -> Tensor:
        """Return the same as `forward`; networks do not run on images where they cannot change the result."""
        if self.task.target_type.dense:
            return self.combined(self.member_logits(images))
        reads_all = type(self.combiner).forward_lazy is Combiner.forward_lazy
        if reads_all and not self.votes and not has_branches():
            return self.combiner.infer(self.member_logits(images, lazy=True))
        outputs = LazyOutputs(self.members, self.outputs, self.votes, Batch.of(images))
        return self.combiner.forward_lazy(outputs.query_for(self))

    def place_in(self, flat: Flat, view: SingleView | None = None) -> int:
        """Place the networks and votes in those of another ensemble; return the index of the last vote."""
        if view is not None and any(output.view for output in self.outputs):
            raise views_of_views()
        known = {
            index: flat.output(self.members[network], own or view)
            for index, (network, own) in enumerate(self.outputs)
        }
        for index, inner in enumerate([*cast("Iterable[Vote]", self.votes), self]):
            known[~index] = flat.vote(inner, [known[source] for source in inner.inputs])
        return known[~len(self.votes)]

    @torch.no_grad()
    def predictions(self, images: Any, labels: Any = None, labels_are: str | None = None) -> Predictions:
        """Return the members' logits for labeled images, for fitting a combiner.

        Parameters
        ----------
        images : tensor or array [N, c, H, W], sequence of images, or iterable
            Images as the members accept them. Without `labels`, an iterable, such as a `DataLoader` or a
            `Dataset`, of pairs: batches of images and their labels, or single images and their label.
        labels : sequence [N], optional
            Classes: names in `class_names`, or whole numbers, which are indices into `class_names`. Numbers:
            floats `[N]` or `[N, T]`. Maps: a mask for each image; see `committee.models.pixel_rows`, whose
            predictions are those of a sample of pixels.
        labels_are : {"names", "positions"}, optional
            What whole numbers are, if class names are numbers in another order than 0, 1, ...

        Raises
        ------
        DataError
            There are no rows, or images or labels have another form; the message says how to convert them.
        """
        self.eval()
        device = device_of(self)
        if self.task.target_type.dense:
            return pixel_rows(self, images, labels, device)
        return labeled_rows(self, images, labels, labels_are, device)

    def fit(
        self,
        images: Any,
        labels: Any = None,
        *,
        method: str | Combiner | None = None,
        labels_are: str | None = None,
        **options: Any,
    ) -> Self:
        """Fit a combiner on images that no member was trained on; the members are not changed.

        Parameters
        ----------
        images, labels, labels_are
            As for `predictions`: `fit(images, labels)` or `fit(loader)`.
        method : str or Combiner, optional
            The combiner or its key; by default that of the ensemble.
        **options
            Options of the combiner, such as `metric="accuracy"`.
        """
        if isinstance(labels, str | Combiner):
            raise UsageError(
                f"{self.name}: labels",
                expected="one label for each image",
                got=repr(labels),
                todo="Give a combiner by its keyword: fit(loader, method=...).",
            )
        if isinstance(method, str):
            spec: dict[str, Any] = {"combiner": method}
        else:
            base = method or self.combiner
            spec = {"combiner": base.key, **base.options()}
        rows = self.predictions(images, labels, labels_are)
        self.combiner = build_combiner({**spec, **options}).fit(rows)
        return self

    def predict(
        self, images: Tensor | NDArray[np.uint8] | Sequence[Source], batch_size: int = 32, **tiles: Any
    ) -> Any:
        """Return probabilities, or numbers, float32 `[N, C]`; see `committee.models.prediction.predict`."""
        return predict(self, images, batch_size, **tiles)

    def optimize(
        self, example: Any, budget_s: float = 30.0, tolerance: float = TOLERANCE, **options: Any
    ) -> Optimized:
        """Return the model on the fastest engine; see `committee.models.planner.optimize`."""
        return optimize(self, example, budget_s, tolerance, **options)

    @writes_folder
    def save(self, folder: Path) -> None:
        """Write `ensemble.json`, the networks to `members/`, and the combiners to `combiners/`.

        Raises
        ------
        UsageError
            A member has no `save` method, so that its preprocessing and classes are not known.
        """
        names = save_parts(self.members, folder / "members", self.name)
        votes = [*cast("Iterable[Vote]", self.votes), self]
        for index, vote in enumerate(votes):
            place = folder / "combiners" / str(index)
            place.mkdir(parents=True, exist_ok=True)
            save_combiner(vote.combiner, place)
        description = {
            "protocol": PROTOCOL,
            "name": self.name,
            "members": names,
            "outputs": [
                {"member": network, "view": view and view.to_json()} for network, view in self.outputs
            ],
            "votes": [
                {"inputs": vote.inputs, "names": vote.names, "class_names": vote.class_names}
                for vote in votes
            ],
            "provenance": self.provenance,
        }
        write_description(folder / DESCRIPTION, description)

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        trusted: bool | Collection[str] = False,
        nets: Mapping[str, nn.Module] | None = None,
        known: dict[str, nn.Module] | None = None,
    ) -> Self:
        """Load an ensemble that `save` wrote, in evaluation mode; nothing is unpickled.

        Parameters
        ----------
        folder : Path or str
            The folder.
        trusted : bool or collection of str
            Whether `python:` builders may be imported, or the names of those that may.
        nets : mapping of str to nn.Module, optional
            Architectures of members that were created by `Member.from_module`, by member name.
        known : dict of str to nn.Module, optional
            Networks that are loaded already; see `load`.

        Raises
        ------
        StoreError
            A file is missing or damaged.
        UsageError
            An architecture is needed, or a builder is not trusted.
        """
        folder = folder_of(folder)
        description = read_description(folder / DESCRIPTION, "an ensemble", PROTOCOL)

        def rebuild() -> Any:
            members = [
                load(inside(folder, f"members/{slug}"), trusted=trusted, nets=nets, name=slug, known=known)
                for slug in description["members"]
            ]
            built: dict[int, nn.Module] = {
                index: under(members[output["member"]], output["view"])
                for index, output in enumerate(_outputs(description))
            }
            for index, vote in enumerate(description["votes"]):
                built[~index] = cls(
                    [built[source] for source in vote["inputs"]],
                    load_combiner(inside(folder, f"combiners/{index}")),
                    names=vote["names"],
                    class_names=vote["class_names"],
                    name=str(description["name"]),
                    provenance=description.get("provenance"),
                )
            return built[min(built)].eval()

        return build(rebuild, folder / DESCRIPTION, "the description of an ensemble")


def load(
    folder: Path | str,
    *,
    trusted: bool | Collection[str] = False,
    nets: Mapping[str, nn.Module] | None = None,
    name: str = "",
    known: dict[str, nn.Module] | None = None,
) -> nn.Module:
    """Load a saved member, ensemble or composite, in evaluation mode.

    Parameters
    ----------
    folder, trusted, nets
        As for `Ensemble.load`.
    name : str
        The key in `nets` of the architecture, if the folder holds a member.
    known : dict of str to nn.Module, optional
        Networks that are loaded already, by the digest of their files. One with equal files is returned
        instead of a copy, so that a network and its views share their weights; others are added.
    """
    folder = folder_of(folder)
    if (folder / DESCRIPTION).is_file():
        return Ensemble.load(folder, trusted=trusted, nets=nets, known=known)
    if known is None:
        return _load_network(folder, trusted, nets, name, known)
    key = content(folder)
    if key not in known:
        known[key] = _load_network(folder, trusted, nets, name, known)
    return known[key]


def _load_network(
    folder: Path,
    trusted: bool | Collection[str],
    nets: Mapping[str, nn.Module] | None,
    name: str,
    known: dict[str, nn.Module] | None,
) -> nn.Module:
    """Load a member or a composite; see `load`."""
    if not (folder / COMPOSITE).is_file():
        return Member.load(folder, trusted=trusted, net=(nets or {}).get(name))
    description = read_description(folder / COMPOSITE, "a composite", COMPOSITE_PROTOCOL)
    return build(
        lambda: read_composite(
            folder,
            description,
            lambda part: load(part, trusted=trusted, nets=nets, name=part.name, known=known),
        ),
        folder / COMPOSITE,
        "the description of a composite",
    )


def views_of(folder: Path) -> list[View]:
    """Return the preprocessing of all networks that are saved in a folder, without building them."""
    files = sorted(folder.rglob(MEMBER))
    return [view_of(read_description(file, "a member", MEMBER_PROTOCOL)["view"]) for file in files]


def folds_member(networks: Sequence[nn.Module], name: str) -> Ensemble:
    """Return the fold networks of a member as one ensemble, which averages their probabilities or numbers."""
    return Ensemble(networks, names=[f"{name}_{index}" for index in range(len(networks))], name=name)


def _outputs(description: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the outputs of a saved ensemble; those of earlier versions are the members, without views."""
    plain = [{"member": index, "view": None} for index in range(len(description["members"]))]
    return list(description.get("outputs", plain))

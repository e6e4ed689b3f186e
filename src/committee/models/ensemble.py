"""An ensemble: unique members and the combiners that count their votes. The file that knows both halves."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.combiners.base import Combiner
from committee.combiners.base import build as build_combiner
from committee.combiners.base import load as load_combiner
from committee.combiners.base import save as save_combiner
from committee.errors import DataError, UsageError, first_five
from committee.images.decode import Source
from committee.images.view import View
from committee.models.composites.base import DESCRIPTION as COMPOSITE
from committee.models.composites.base import PROTOCOL as COMPOSITE_PROTOCOL
from committee.models.composites.base import read_composite, save_part
from committee.models.measure import device_of
from committee.models.member import DESCRIPTION as MEMBER
from committee.models.member import PROTOCOL as MEMBER_PROTOCOL
from committee.models.member import Member, predict, read_description, slugs
from committee.models.vote import Answers, Vote, logits_of
from committee.predictions.table import Predictions
from committee.store.inside import inside
from committee.untrusted.documents import build, read_json

PROTOCOL = 1
DESCRIPTION = "ensemble.json"


class Ensemble(Vote):
    """Members that vote: any modules from images to logits, and a combiner.

    Members that are ensembles are taken apart: however deep, an ensemble holds each network once and runs it
    once. Classes are matched by name, where the members name them.

    Parameters
    ----------
    members : sequence of nn.Module
        Photos uint8 `[B, c, H, W]` -> logits `[B, C]`: members, ensembles, or modules of your own, which take
        images as you give them.
    combiner : Combiner, str or mapping, optional
        A combiner, its name, or `{"combiner": name, **options}`. Left out: soft voting.
    weights : sequence of float or mapping of str to float, optional
        Instead of a combiner: weights of the members' probabilities.
    names : sequence of str, optional
        Names of the members. Left out: their own; equal ones are numbered.
    class_names : sequence of str, optional
        Left out: those of the first member that has them.
    name : str
        Its name in another ensemble.
    provenance : mapping, optional
        Where it comes from: plain JSON values.

    Raises
    ------
    UsageError
        No members, a member twice, both a combiner and weights, or names that do not fit.
    DataError
        Members of different classes, or a combiner that was fitted on others.
    """

    members: nn.ModuleList
    votes: nn.ModuleList

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
        members = list(members)
        names = _names(members, names)
        classes = [tuple(getattr(member, "class_names", ())) for member in members]
        chosen = tuple(class_names or next(filter(None, classes), ()))
        _require_same_classes(names, classes, chosen)
        leaves, votes, inputs = _take_apart(members)
        super().__init__(_combiner(combiner, weights, names), inputs, names, chosen)
        self.name, self.provenance = name, dict(provenance or {})
        self.members, self.votes = nn.ModuleList(leaves), nn.ModuleList(votes)
        self.arrange(classes)

    def forward(self, images: Tensor) -> Tensor:
        """Turn photos, uint8 `[B, c, H, W]`, into log-probabilities `[B, C]`."""
        return self.combiner(self.member_logits(images))

    def infer(self, images: Tensor) -> Tensor:
        """Return what `forward` returns; no network runs on a photo where it cannot change the result."""
        return self.combiner.forward_lazy(Answers(self.members, self.votes, images).of(self))

    def member_logits(self, images: Tensor) -> Tensor:
        """Return the answers that the combiner gets: `[M, B, C]`, in the order of `names`."""
        answers = {index: logits_of(member(images)) for index, member in enumerate(self.members)}
        for index, vote in enumerate(cast("Iterable[Vote]", self.votes)):
            answers[~index] = vote.count(answers)
        return self.gather(answers)

    @torch.no_grad()
    def predictions(self, loader: Iterable[Sequence[Any]]) -> Predictions:
        """Return the members' logits on the batches of a loader, as `fit` wants them.

        Parameters
        ----------
        loader : iterable of (images, labels)
            Images as the members take them; labels int `[B]`, indices into `class_names`.
        """
        self.eval()
        device = device_of(self)
        batches = [(self.member_logits(images.to(device)).cpu(), labels) for images, labels in loader]
        if not batches:
            raise DataError(self.name, expected="a loader of (images, labels)", got="an empty one")
        logits = torch.cat([answers for answers, _ in batches], 1).numpy()
        labels = np.concatenate([np.asarray(part, dtype=np.int64) for _, part in batches])
        names = self.class_names or tuple(map(str, range(logits.shape[2])))
        return Predictions.from_logits(logits, members=self.names, class_names=names, labels=labels)

    def fit(
        self, loader: Iterable[Sequence[Any]], method: str | Combiner | None = None, **options: Any
    ) -> Self:
        """Learn how to combine, on rows that no member was trained on; the members stay as they are.

        Parameters
        ----------
        loader : iterable of (images, labels)
            See `predictions`.
        method : str or Combiner, optional
            Left out: the combiner that the ensemble has.
        **options
            Of the method, such as `metric="accuracy"`.
        """
        if isinstance(method, str):
            spec: dict[str, Any] = {"combiner": method}
        else:
            base = method or self.combiner
            spec = {"combiner": base.key, **base.options()}
        self.combiner = build_combiner({**spec, **options}).fit(self.predictions(loader))
        return self

    def predict(
        self, images: Tensor | NDArray[np.uint8] | Sequence[Source], batch_size: int = 32
    ) -> NDArray[np.float32]:
        """Return probabilities `[N, C]` of photos: a uint8 batch, or paths, PIL images and arrays."""
        return predict(self, images, batch_size)

    def save(self, folder: Path | str) -> None:
        """Write `ensemble.json`, each network once in `members/`, and the combiners.

        Raises
        ------
        UsageError
            A member is a bare module: its view and classes are not known.
        """
        folder = Path(folder)
        names = slugs([str(getattr(member, "name", "member")) for member in self.members])
        for slug, member in zip(names, self.members, strict=True):
            save_part(member, folder / "members" / slug, self.name)
        votes = [*cast("Iterable[Vote]", self.votes), self]
        for index, vote in enumerate(votes):
            place = folder / "combiners" / str(index)
            place.mkdir(parents=True, exist_ok=True)
            save_combiner(vote.combiner, place)
        description = {
            "protocol": PROTOCOL,
            "name": self.name,
            "members": names,
            "votes": [
                {"inputs": vote.inputs, "names": vote.names, "class_names": vote.class_names}
                for vote in votes
            ],
            "provenance": self.provenance,
        }
        text = json.dumps(description, indent=1, ensure_ascii=False)
        (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(
        cls,
        folder: Path | str,
        *,
        trusted: bool | Collection[str] = False,
        nets: Mapping[str, nn.Module] | None = None,
    ) -> Self:
        """Read what `save` wrote, in evaluation mode; nothing is unpickled.

        Parameters
        ----------
        folder : Path or str
            Where it was saved.
        trusted : bool or collection of str
            Whether `python:` builders may be imported, or the names of those that may.
        nets : mapping of str to nn.Module, optional
            Architectures of the members that `Member.from_module` made, by the members' names.
        """
        folder = Path(folder)
        description = read_description(folder / DESCRIPTION, "an ensemble", PROTOCOL)

        def rebuild() -> Any:
            known: dict[int, nn.Module] = {
                index: load(inside(folder, f"members/{slug}"), trusted=trusted, nets=nets, name=slug)
                for index, slug in enumerate(description["members"])
            }
            for index, vote in enumerate(description["votes"]):
                known[~index] = cls(
                    [known[source] for source in vote["inputs"]],
                    load_combiner(inside(folder, f"combiners/{index}")),
                    names=vote["names"],
                    class_names=vote["class_names"],
                    name=str(description["name"]),
                    provenance=description.get("provenance"),
                )
            return known[min(known)].eval()

        return build(rebuild, folder / DESCRIPTION, "the description of an ensemble")


def load(
    folder: Path | str,
    *,
    trusted: bool | Collection[str] = False,
    nets: Mapping[str, nn.Module] | None = None,
    name: str = "",
) -> nn.Module:
    """Read whatever `save` wrote: a member, an ensemble or a composite, in evaluation mode.

    Parameters
    ----------
    folder, trusted, nets
        As `Ensemble.load` takes them.
    name : str
        By which `nets` has it; left out, there is none for it.
    """
    folder = Path(folder)
    if (folder / DESCRIPTION).is_file():
        return Ensemble.load(folder, trusted=trusted, nets=nets)
    if not (folder / COMPOSITE).is_file():
        return Member.load(folder, trusted=trusted, net=(nets or {}).get(name))
    description = read_description(folder / COMPOSITE, "a composite", COMPOSITE_PROTOCOL)
    return build(
        lambda: read_composite(
            folder, description, lambda part: load(part, trusted=trusted, nets=nets, name=part.name)
        ),
        folder / COMPOSITE,
        "the description of a composite",
    )


def provenance_of(folder: Path) -> dict[str, Any]:
    """Return where what was saved in a folder comes from; nothing is built."""
    files = [folder / name for name in (DESCRIPTION, COMPOSITE, MEMBER)]
    file = next((each for each in files if each.is_file()), files[-1])
    found = read_json(file, "a saved model", "Name a folder that its save method wrote.").get("provenance")
    return dict(found or {})


def views_of(folder: Path) -> list[View]:
    """Return the views of all networks that were saved in a folder; nothing is built."""
    files = sorted(folder.rglob(MEMBER))
    return [View(**read_description(file, "a member", MEMBER_PROTOCOL)["view"]) for file in files]


def folds_member(networks: Sequence[nn.Module], name: str) -> Ensemble:
    """Return the member whose fold networks speak together: the mean of their probabilities."""
    names = [f"{name}_{index}" for index in range(len(networks))]
    return Ensemble(networks, names=names, name=name)


def _names(members: Sequence[nn.Module], names: Sequence[str] | None) -> list[str]:
    if not members:
        raise UsageError("ensemble", expected="at least one member", got="none")
    given = [str(getattr(member, "name", type(member).__name__)) for member in members]
    twice = next((n for n, m in zip(given, members, strict=True) if sum(m is o for o in members) > 1), None)
    if twice is not None:
        raise UsageError(
            "ensemble", expected="each member once", got=f"'{twice}' twice", todo="Give it a larger weight."
        )
    if names is None:
        return slugs(given)
    if len(names) != len(members) or len(set(names)) != len(names):
        raise UsageError(
            "ensemble.names", expected=f"{len(members)} different names", got=first_five(names) or "none"
        )
    return list(names)


def _combiner(
    combiner: Combiner | str | Mapping[str, Any] | None,
    weights: Sequence[float] | Mapping[str, float] | None,
    names: Sequence[str],
) -> Combiner:
    if weights is not None:
        if combiner is not None:
            raise UsageError(
                "ensemble", expected="a combiner or weights", got="both", todo="Leave one of them out."
            )
        combiner = {"combiner": "weighted", "weights": weights}
    built = build_combiner(combiner or "soft_voting")
    if built.member_names and built.member_names != tuple(names):
        raise DataError(
            "ensemble",
            expected=f"the members its combiner was fitted on, {first_five(built.member_names)}",
            got=first_five(names),
            todo="Give them in that order and by those names.",
        )
    return built if built.member_names else built.bind(names)


def _require_same_classes(
    names: Sequence[str], classes: Sequence[Sequence[str]], chosen: Sequence[str]
) -> None:
    for name, own in zip(names, classes, strict=True):
        odd = sorted(set(own) ^ set(chosen))
        if own and odd:
            side = "with" if odd[0] in own else "without"
            raise DataError(
                f"ensemble member '{name}'",
                expected=f"the classes {first_five(chosen)}",
                got=f"classes {side} '{odd[0]}'",
                todo="Train the members on the same classes.",
            )


def _take_apart(members: Sequence[nn.Module]) -> tuple[list[nn.Module], list[Vote], list[int]]:
    """Return the unique networks, the unique inner votes, and which of them each member is."""
    leaves: list[nn.Module] = []
    votes: list[Vote] = []

    def leaf(module: nn.Module) -> int:
        for index, known in enumerate(leaves):
            if known is module:
                return index
        leaves.append(module)
        return len(leaves) - 1

    def vote(old: Vote, inputs: Sequence[int]) -> int:
        for index, known in enumerate(votes):
            if known.combiner is old.combiner and known.inputs == tuple(inputs):
                return ~index
        new = Vote(old.combiner, inputs, old.names, old.class_names)
        for name, order in old.named_buffers(recurse=False):
            new.register_buffer(name, order, persistent=False)
        votes.append(new)
        return ~(len(votes) - 1)

    def place(module: nn.Module) -> int:
        if not isinstance(module, Ensemble):
            return leaf(module)
        known = {index: leaf(member) for index, member in enumerate(module.members)}
        for index, inner in enumerate([*module.votes, module]):
            known[~index] = vote(inner, [known[source] for source in inner.inputs])
        return known[~len(module.votes)]

    return leaves, votes, [place(member) for member in members]

"""The base class of stages, and their family."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar

from committee.base.registry import Family
from committee.errors import CommitteeError, UsageError
from committee.pipeline.shared.made import made
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.summary import Summary
from committee.recipe.model import Recipe
from committee.recipe.section import Section
from committee.store.layout import Store

Verbs = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Verb -> flag -> arguments of `ArgumentParser.add_argument`."""


@dataclass(frozen=True)
class Names:
    """The names of what a stage would make, as far as the recipe alone determines them.

    Attributes
    ----------
    members, ensembles, formats : tuple of str
        Names of members and ensembles, and formats of packages.
    left_out : tuple of str
        What the section asks for and cannot be made, with the reasons, as sentences.

    See Also
    --------
    Stage.names : Returns the names of a stage.
    committee.pipeline.run.check_names : Checks that all names of a recipe are different.

    Examples
    --------
    >>> from committee.pipeline.stages.base import STAGES
    >>> from committee.recipe.load import load_recipe
    >>> STAGES.make("moe").names(load_recipe(None, ["runs.moe.num_experts=3"]))
    Names(members=('moe',), ensembles=(), formats=(), left_out=())
    """

    members: tuple[str, ...] = ()
    ensembles: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


class Stage(ABC):
    """One stage of a run: it serves a section of the recipe.

    The run, its dry run, the command line, the debug mode and the reference pages are derived from the
    attributes and methods below. The attributes of an entry are literals, since the command line reads them
    from the source file, without importing it. The docstring of an entry is the help text of its verb.

    Attributes
    ----------
    key : str
        The name of the entry in the family: its file name.
    sections : tuple of str
        The recipe sections that the stage serves, as dotted keys. The first one enables it; a stage that
        serves none is always part of a run.
    Settings : type of Section
        The class of the first section, which a stage defines if the recipe does not have the section.
    order : int
        The position in a run; stages run in ascending order.
    verbs : dict
        The command-line verbs that run the stage; each maps flags to the arguments of
        `ArgumentParser.add_argument`. An option is passed to the constructors of the stages of the verb that
        have a parameter of its name, unless `sets` names the recipe key that it replaces; `enables` then
        names a key that is set to true, and `many` marks a list.
    todo : str
        The advice of the error that is raised if the section is not enabled.
    debug : str
        The name of the section of `committee debug` that runs the stage alone.
    shows : str
        The result that the verb prints: `made` (the report of the stage) or `leaderboard`.
    required : bool
        Whether a run ends if this stage makes nothing.
    optional : bool
        Whether a run whose time limit is over does without this stage.

    See Also
    --------
    committee.pipeline.run.run : Runs the stages that a recipe enables.

    Examples
    --------
    >>> from committee.pipeline.stages.base import STAGES
    >>> STAGES.load("pruning").sections
    ('pruning',)
    >>> sorted(STAGES.names(), key=lambda name: STAGES.load(name).order)[0]
    'train'
    """

    key: ClassVar[str]
    sections: ClassVar[tuple[str, ...]]
    Settings: ClassVar[type[Section]]
    order: ClassVar[int]
    verbs: ClassVar[Verbs]
    debug: ClassVar[str]
    todo: ClassVar[str] = ""
    shows: ClassVar[str] = "made"
    required: ClassVar[bool] = False
    optional: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.key = cls.__module__.rpartition(".")[2]

    def is_wanted(self, recipe: Recipe) -> bool:
        """Return whether a run of the recipe includes this stage, which its section enables."""
        if not self.sections:
            return True
        section = attrgetter(self.sections[0])(recipe)
        return section is not None and bool(getattr(section, "enable", True))

    def section(self, recipe: Recipe) -> Any:
        """Return the section that enables the stage.

        Raises
        ------
        UsageError
            The recipe lacks the section, or disables it.
        """
        if not self.is_wanted(recipe):
            raise UsageError(self.sections[0], expected="an enabled section", got="none", todo=self.todo)
        return attrgetter(self.sections[0])(recipe)

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe of a debug run, with the section of this stage enabled.

        Parameters
        ----------
        recipe : Recipe
        fast : bool
            Whether the run uses 16 synthetic images; the section then has settings that take seconds.
        """
        return enabled(recipe, self.sections[0]) if self.sections else recipe

    @abstractmethod
    def names(self, recipe: Recipe) -> Names:
        """Return the names of what `run` would make.

        Raises
        ------
        UsageError
            The section asks for something that cannot be made.
        """

    def renewed(self, recipe: Recipe) -> set[str]:
        """Return the names of the members that this stage and the later stages of a recipe make."""
        made = set[str]()
        for stage in wanted(recipe):
            if stage.order >= self.order:
                with contextlib.suppress(CommitteeError):  # that stage refuses its own section
                    made |= set(stage.names(recipe).members)
        return made

    @abstractmethod
    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return a summary of what `run` would do, without running or writing anything.

        Raises
        ------
        CommitteeError
            `run` would raise the same error before it starts.
        """

    @abstractmethod
    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Run the stage.

        Returns
        -------
        Outcome
            The names of what was made, and the failures with their reasons.

        Raises
        ------
        CommitteeError
            The stage cannot start.
        """

    def rehearse(self, recipe: Recipe, store: Store) -> Outcome:
        """Run the stage in a debug run, on a store that has trained members."""
        return self.run(recipe, store)

    def report(self, outcome: Outcome, store: Store) -> Summary:
        """Return a summary of what `run` made: the ensembles with their scores, and the members."""
        return made(outcome, store)


STAGES: Family[Stage] = Family("committee.pipeline.stages", "stage")


def wanted(recipe: Recipe) -> list[Stage]:
    """Return the stages that a recipe enables, in their order; those without a section are not imported."""
    stages = (STAGES.make(name) for name in STAGES.names() if _has_section(name, recipe))
    return sorted((stage for stage in stages if stage.is_wanted(recipe)), key=lambda stage: stage.order)


def _has_section(name: str, recipe: Recipe) -> bool:
    sections = STAGES.constants(name)["sections"]
    return not sections or attrgetter(sections[0])(recipe) is not None


def enabled(recipe: Recipe, key: str, **values: Any) -> Recipe:
    """Return a recipe with a section enabled and some of its values replaced.

    Parameters
    ----------
    recipe : Recipe
    key : str
        The dotted key of the section, which has its default values if the recipe lacks it.
    **values
        Keys of the section with their values.
    """
    return _replaced(recipe, key.split("."), {"enable": True, **values})


def _replaced(section: Any, path: list[str], values: Mapping[str, Any]) -> Any:
    if not path:
        known = type(section).model_fields
        return section.model_copy(update={key: value for key, value in values.items() if key in known})
    inner = getattr(section, path[0])
    if inner is None:
        inner = _section_type(type(section), path[0])()
    return section.model_copy(update={path[0]: _replaced(inner, path[1:], values)})


def _section_type(section: type[Section], key: str) -> type[Section]:
    """Return the type of an optional section."""
    annotation = section.model_fields[key].annotation
    return next(kind for kind in getattr(annotation, "__args__", ()) if issubclass(kind, Section))

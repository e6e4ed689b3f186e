"""The stage that packages members and ensembles, and compares each file with its model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from committee.errors import ExportError, StoreError
from committee.executors.shared.attempt import attempt
from committee.executors.shared.do_all import do_all
from committee.pipeline.discover import require_store
from committee.pipeline.shared.best import best_within
from committee.pipeline.shared.file_time import slower
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.package import Status, failures
from committee.pipeline.shared.package_model import package_model
from committee.pipeline.shared.reports import read_reports
from committee.pipeline.shared.summary import Summary, Table
from committee.pipeline.stages.base import Names, Stage, Verbs
from committee.recipe.model import Recipe
from committee.store.layout import Store


class Export(Stage):
    """Package members and ensembles for use elsewhere.

    The formats are weights, a folder that can be loaded again, and files for other runtimes, such as ONNX:
    one for a whole ensemble. Each file is compared with the model that it was made from, on real images of
    several sizes, before it counts. What is packaged already is left as it is.

    Parameters
    ----------
    models : sequence of str
        Members and ensembles, by full or short name; those of `exports.which` if empty.
    out : path, optional
        The folder that gets a folder for each model; `deploy` of the store when left out.

    See Also
    --------
    committee.exporters : The formats.

    Examples
    --------
    >>> from committee.pipeline.stages.export import Export
    >>> from committee.recipe.load import load_recipe
    >>> Export().names(load_recipe(None, ["exports.formats=[state_dict, onnx]"])).formats
    ('state_dict', 'onnx')
    """

    sections = ("exports",)
    order = 100
    verbs: ClassVar[Verbs] = {
        "export": {
            "--model-name": {
                "action": "append",
                "dest": "models",
                "metavar": "NAME",
                "help": "member or ensemble to package; may be repeated (default: exports.which)",
            },
            "--formats": {
                "metavar": "A,B",
                "help": "formats to write, such as onnx or onnx:OPTION=VALUE (default: exports.formats of "
                "the recipe)",
                "sets": "exports.formats",
                "many": True,
                "enables": "exports.enable",
            },
            "--out": {
                "type": "path",
                "metavar": "DIR",
                "help": "write to DIR/NAME instead of deploy/NAME in the store",
            },
        }
    }
    debug = "export"

    def __init__(self, models: Sequence[str] = (), out: Path | None = None) -> None:
        self.models, self.out = tuple(models), out

    def names(self, recipe: Recipe) -> Names:
        """Return the formats that would be written."""
        return Names(formats=tuple(each.name for each in recipe.exports.formats))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the packages that would be written.

        The best models are known once models are evaluated; before, only the formats are known.
        """
        require_store(store)
        if not self.models and recipe.exports.which == "best" and not read_reports(store):
            return _plan_without_scores(recipe)
        packages = [
            {
                "name": name,
                "format": each.name,
                "folder": (package_folder(store, name, self.out) / each.name).as_posix(),
            }
            for name in models(recipe, store, self.models)
            for each in recipe.exports.formats
        ]
        rows = [list(each.values()) for each in packages]
        table = Table("Packages that would be written", ["name", "format", "folder"], rows)
        return Summary({"packages": packages}, [table])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Package models in the formats of `exports`.

        Returns
        -------
        Outcome
            `done` names the models packaged, `failed` also single formats. `export_status.json` of each
            package has all of it.

        Raises
        ------
        UnknownNameError
            The store has no such model.
        """
        require_store(store)
        outcome = Outcome()
        with store.hold():
            wanted = models(recipe, store, self.models)
            made = do_all(_Packages(recipe, store, self.out), wanted, recipe.workers, "packages")
        for name, result in made.items():
            with outcome.attempt(name):
                if isinstance(result, Exception):
                    raise result
                outcome.failed |= _failed(name, result)
        return outcome

    def rehearse(self, recipe: Recipe, store: Store) -> Outcome:
        """Package one model: the first ensemble, or else the first member."""
        return Export([*store.ensembles(), *store.members()][:1]).run(recipe, store)

    def report(self, outcome: Outcome, store: Store) -> Summary:
        """Return the files that were written, with their sizes and the largest difference from the model."""
        folders = {name: package_folder(store, name, self.out) for name in outcome.done}
        packages = [{**(read_status(folder) or {}), "folder": str(folder)} for folder in folders.values()]
        rows = [
            [f"{package['name']}/{its['file']}", its["size_mb"], its["parity"]["max_abs_diff"]]
            for package in packages
            for its in package["formats"].values()
            if its["status"] == "done"
        ]
        title = f"Packages in {(self.out or store.root / 'deploy').as_posix()}"
        columns = ["file", "MB", "largest difference"]
        slow = [
            f"{package['name']}/{text}"
            for package in packages
            for its in package["formats"].values()
            if (text := slower(its))
        ]
        return Summary({"packages": packages}, [Table(title, columns, rows), *slow])


@dataclass(frozen=True)
class _Packages:
    """The packages of several models, as tasks of one or more processes."""

    recipe: Recipe
    store: Store
    out: Path | None

    def do(self, name: str) -> Status | Exception:
        """Package a model; return the status of its formats, or the error."""
        made: list[Status] = []
        error = attempt(lambda: made.append(self._package(name)))
        return made[0] if error is None else error

    def name(self, name: str) -> str:
        """Return the name of the model."""
        return name

    def _package(self, name: str) -> Status:
        folder = package_folder(self.store, name, self.out)
        return package_model(self.recipe, self.store, name, folder, self.recipe.exports.formats)


def _plan_without_scores(recipe: Recipe) -> Summary:
    formats = [each.name for each in recipe.exports.formats]
    text = (
        "The best ensemble and the best single member would be packaged after they are evaluated "
        f"(exports.which: best). Formats: {', '.join(formats)}."
    )
    return Summary({"packages": [], "formats": formats}, [text])


def models(recipe: Recipe, store: Store, names: Sequence[str] = ()) -> list[str]:
    """Return the full names of the models to package: `names`, or those of `exports.which` if it is empty.

    Raises
    ------
    UnknownNameError
        The store has no such model.
    StoreError
        There is no store, it contains no model, or none is evaluated although the best shall be packaged.
    """
    require_store(store)
    stored = [*store.members(), *store.ensembles()]
    if not stored:
        raise StoreError(
            str(store), expected="a trained member", got="none", todo="Run: committee train RECIPE"
        )
    which = names or recipe.exports.which
    if which == "all":
        return stored
    if which == "best":
        return best_within(recipe, store)
    return list(dict.fromkeys(store.resolve(name) for name in which))


def package_folder(store: Store, name: str, out: Path | None) -> Path:
    """Return the folder of the package of a model."""
    return store.deploy(name) if out is None else out / name


def read_status(folder: Path) -> Status | None:
    """Return the content of `export_status.json` of a package; None if the file does not exist."""
    path = folder / "export_status.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _failed(name: str, status: Status) -> dict[str, str]:
    """Return the formats that failed; raise ExportError if all of them did."""
    failed = failures(status)
    if failed and len(failed) == len(status["formats"]):
        key, reason = next(iter(failed.items()))
        raise ExportError(f"{name} ({key}): {reason}")
    return {f"{name} ({key})": reason for key, reason in failed.items()}

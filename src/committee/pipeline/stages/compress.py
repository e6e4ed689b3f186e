"""The stage that compresses exported files, and measures what that costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from committee.errors import ExportError, StoreError
from committee.metrics.metric import Metric
from committee.pipeline.discover import require_store
from committee.pipeline.shared.best import best_within
from committee.pipeline.shared.compressed import compress_model, every_method
from committee.pipeline.shared.for_task import require_served, task_of_store
from committee.pipeline.shared.held_out import loss_of
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.per_network import in_words
from committee.pipeline.shared.reports import read_reports
from committee.pipeline.shared.summary import Summary, Table
from committee.pipeline.stages.base import Names, Stage, Verbs, enabled
from committee.recipe.compression import Compression
from committee.recipe.model import Recipe
from committee.store.commit import write_json
from committee.store.layout import Store
from committee.untrusted.documents import read_json

FAST: dict[str, Any] = {
    "methods": ["float16", "onnx_static"],
    "images": 4,
    "rows": 8,
    "tolerance": 1.0,
    "min_agreement": 0.0,
}


class Compress(Stage):
    """Compress exported models, and keep what loses little accuracy.

    Each method makes a smaller or faster file: static or dynamic quantization to 8 bits, half precision. The
    file is compared with the float32 one on rows that were held out: accuracy and log-loss lost (of numbers,
    root mean squared error), agreement, size, and latency, measured in turns. What is within
    compress.tolerance is kept in the package of the model; the rest is refused. The choice is made on val or
    out-of-fold rows, and reported on test rows.

    Parameters
    ----------
    models : sequence of str
        Members and ensembles, by full or short name; those of `compress.of` if empty.
    force : bool
        Whether files beyond the tolerance are kept as well.

    See Also
    --------
    committee.compression : The methods.
    committee.pipeline.stages.export.Export : Writes the float32 file.

    Examples
    --------
    >>> from committee.pipeline.stages.compress import Compress
    >>> from committee.recipe.load import load_recipe
    >>> Compress().names(load_recipe(None, ["compress.methods=[onnx_static, float16]"])).formats
    ('onnx_int8', 'onnx_float16')
    """

    sections = ("compress",)
    order = 105
    optional = True
    verbs: ClassVar[Verbs] = {
        "compress": {
            "--model-name": {
                "action": "append",
                "dest": "models",
                "metavar": "NAME",
                "help": "member or ensemble to compress; may be repeated (default: compress.of)",
            },
            "--method": {
                "action": "append",
                "metavar": "NAME",
                "help": "compress by this method in place of the recipe's; may be repeated",
                "sets": "compress.methods",
                "enables": "compress.enable",
            },
            "--tolerance": {
                "type": "float",
                "metavar": "SHARE",
                "help": "largest loss of accuracy, such as 0.01; of numbers, largest relative increase of "
                "the root mean squared error",
                "sets": "compress.tolerance",
            },
            "--force": {
                "action": "store_true",
                "help": "keep files that are beyond the tolerance",
            },
        }
    }
    debug = "compress"
    todo = "Add the section to the recipe, or name a method: --method onnx_static"

    def __init__(self, models: Sequence[str] = (), force: bool = False) -> None:
        self.models, self.force = tuple(models), force

    def is_wanted(self, recipe: Recipe) -> bool:
        """Return whether the section, or a model that was given, asks for the stage."""
        return bool(self.models) or super().is_wanted(recipe)

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe with the section; a fast run has few images, and keeps all files."""
        if not fast:
            return enabled(recipe, self.sections[0])
        return enabled(recipe, self.sections[0]).model_copy(update={"compress": Compression(**FAST)})

    def names(self, recipe: Recipe) -> Names:
        """Return the folders of the files that would be made."""
        return Names(formats=tuple(method.folder for method in _methods(self._section(recipe))))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the files that would be made of each model; nothing is measured."""
        require_store(store)
        require_served(self.sections[0], store)
        section = self._section(recipe)
        folders = [method.folder for method in _methods(section)]
        if not self.models and section.of == "best" and not read_reports(store):
            text = (
                "The best ensemble and the best single member would be compressed after they are evaluated "
                f"(compress.of: best). Files: {', '.join(folders)}."
            )
            return Summary({"compressed": [], "files": folders}, [text])
        files = [
            {"name": name, "file": folder, "folder": (store.deploy(name) / folder).as_posix()}
            for name in self._chosen(recipe, store)
            for folder in folders
        ]
        rows = [list(each.values()) for each in files]
        table = Table("Files that would be made and measured", ["name", "file", "folder"], rows)
        return Summary({"compressed": files, "files": folders}, [table])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Compress the models.

        Returns
        -------
        Outcome
            `done` names the models of which a file was kept; `failed` has single files too. The measurements
            are in `metrics/compress.json` of the store.

        Raises
        ------
        UnknownNameError
            The store has no such model.
        StoreError
            The store has no members.
        UsageError
            The members predict maps.
        """
        section = self._section(recipe)
        require_store(store)
        require_served(self.sections[0], store)
        outcome = Outcome()
        with store.hold():
            for name in self._chosen(recipe, store):
                with outcome.attempt(name):
                    before = read_compression(store).get(name)
                    report = compress_model(recipe, store, name, section, self.force, before)
                    _save(store, name, report)
                    failed = _failures(name, report)
                    if section.methods != "auto":  # which tries methods that may fail, and reports them
                        outcome.failed |= failed
        return outcome

    def rehearse(self, recipe: Recipe, store: Store) -> Outcome:
        """Compress one model: the first member, of those with rows that its networks were not trained on."""
        held_out = [name for name in store.members() if "fold_0" in store.folds(name)]
        return Compress((held_out or store.members())[:1], self.force).run(recipe, store)

    def report(self, outcome: Outcome, store: Store) -> Summary:
        """Return the measurements of each file, on the rows of the report."""
        reports = {name: its for name, its in read_compression(store).items() if name in outcome.done}
        task = task_of_store(store)
        metric = task.metric(task.guarded)
        lost = f"{metric.name} lost" if metric.in_points else f"{metric.name} lost, relative"
        columns = ["file", "status", "MB", "ms (1)", "speed-up", lost, "agreement", "rows"]
        rows = [row for name, its in reports.items() for row in _rows(name, its, metric)]
        words = [line for its in reports.values() for line in in_words(its.get("networks", {}), metric)]
        return Summary({"compressed": reports}, [Table("Compressed files", columns, rows), *words])

    def _section(self, recipe: Recipe) -> Any:
        """Return the section; the verb needs none, since its defaults are of use."""
        found = recipe.compress or Compression()
        return found if self.models or found.enable else self.section(recipe)

    def _chosen(self, recipe: Recipe, store: Store) -> list[str]:
        """Return the full names of the models to compress."""
        if not (store.members() or store.ensembles()):
            raise StoreError(
                str(store), expected="a trained member", got="none", todo="Run: committee train RECIPE"
            )
        of = self._section(recipe).of
        names = self.models or (() if of == "best" else of)
        return list(dict.fromkeys(map(store.resolve, names))) if names else best_within(recipe, store)


def _methods(section: Any) -> Sequence[Any]:
    return every_method() if section.methods == "auto" else section.methods


def _failures(name: str, report: Mapping[str, Any]) -> dict[str, str]:
    """Return the files that were refused or failed; raise ExportError if none was kept."""
    files = report["files"]
    wrong = {folder: its for folder, its in files.items() if its["status"] in ("refused", "failed")}
    todo = "Keep it nevertheless with --force, or choose another method."
    texts = {
        f"{name} ({folder})": str(
            ExportError(
                f"{name} ({folder}): {its['reason']}", todo=todo if its["status"] == "refused" else ""
            )
        )
        for folder, its in wrong.items()
    }
    if len(wrong) == len(files):
        raise ExportError(
            name,
            expected="a compressed file within the tolerance",
            got="; ".join(f"{folder}: {its['reason']}" for folder, its in wrong.items()),
            todo="Keep them nevertheless with --force, or raise compress.tolerance.",
        )
    return texts


def read_compression(store: Store) -> dict[str, Any]:
    """Return the reports in `metrics/compress.json` by model; empty if there are none."""
    path = store.compression_report()
    return dict(read_json(path, "the report of compressions")["models"]) if path.is_file() else {}


def _save(store: Store, name: str, report: Mapping[str, Any]) -> None:
    path = store.compression_report()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"models": {**read_compression(store), name: dict(report)}})


def _rows(name: str, report: Mapping[str, Any], metric: Metric) -> list[list[object]]:
    """Return the rows of the table: the float32 file, and the others."""
    before = report["float32"]
    kind = report["chosen_on"]
    first = [f"{name}/onnx", "", before["size_mb"], before["latency_ms"]["1"]["median"], 1.0, "", "", ""]
    rows: list[list[object]] = [first]
    for folder, its in report["files"].items():
        found = its.get("test", its.get("choosing"))
        if found is None:
            rows.append([f"{name}/{folder}", "failed", None, None, None, its["reason"], "", ""])
            continue
        lost = loss_of(metric, found)
        rows.append(
            [
                f"{name}/{folder}",
                its["status"],
                its["size_mb"],
                its["latency_ms"]["1"]["median"],
                its["speedup"]["1"],
                f"{lost['value']:z.4f} [{lost['low']:z.4f}, {lost['high']:z.4f}]",
                f"{found['agreement']:.4f}",
                f"{found['n']} {'test' if 'test' in its else kind}",
            ]
        )
    return rows

"""A comparison: models are exported, measured in turns, scored on the same rows, and one is recommended."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from committee.base.devices import resolve as resolve_device
from committee.base.text import count
from committee.errors import CommitteeError, StoreError
from committee.exporters.base import open_exported
from committee.pipeline.comparing.advice import Advice, Budget, advise
from committee.pipeline.comparing.candidates import singles, training_seconds
from committee.pipeline.comparing.files import (
    ALL,
    ModelFile,
    default_format,
    device_for,
    model_files,
    predicted,
    runtime_of,
)
from committee.pipeline.comparing.kinds import kind_of, kind_of_file
from committee.pipeline.comparing.plot import write_plot
from committee.pipeline.comparing.row import Row
from committee.pipeline.comparing.scores import Outputs, Rows, outputs_of, shared_rows
from committee.pipeline.comparing.served import BATCH, Served, serve
from committee.pipeline.comparing.students import remarks
from committee.pipeline.shared.for_task import task_of_store
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.photo import photos_of
from committee.pipeline.shared.reports import Report, read_reports
from committee.pipeline.stages.base import STAGES, enabled
from committee.recipe.exports import ExportFormat
from committee.recipe.model import Recipe
from committee.store.commit import write_json
from committee.store.layout import Store
from committee.tasks.base import Task

log = logging.getLogger(__name__)

BUDGET = "budget"
"""The failure of a comparison in which no file is within the budget."""
NOTHING = "compare"
"""The failure of a comparison without a file that runs, which leaves the last report as it is."""


class Comparison:
    """One comparison of the models of a store.

    Parameters
    ----------
    recipe : Recipe
    store : Store
    settings : Section
        The section `compare` of the recipe, with the budget of `pruning` where it has none.
    reports : sequence of dict
        The `metrics.json` of the models, best first.
    """

    def __init__(self, recipe: Recipe, store: Store, settings: Any, reports: Sequence[Report]) -> None:
        self.recipe, self.store, self.settings, self.reports = recipe, store, settings, reports
        self.format = settings.format or default_format()
        self.device = device_for(self.format, resolve_device(recipe.device).type)
        formats = {} if self.format == ALL else {"formats": [ExportFormat.of(self.format)]}
        self.exporting = enabled(recipe, "exports", **formats)
        self.trusted = self.exporting.trusted()
        self.task = task_of_store(store)
        self.budget = Budget(settings.max_latency_ms, settings.max_size_mb, settings.min_accuracy)

    def run(self) -> Outcome:
        """Export, measure and compare the models, and write the result to the store."""
        outcome = Outcome()
        files = self._files(outcome)
        rows = self._rows(files, self._serve(files, outcome), outcome) if files else []
        if not rows:
            outcome.fail(NOTHING, StoreError(NOTHING, expected="a file that runs", got="none"))
            return outcome
        split = "the test split" if self.shared else "out-of-fold rows (there is no test split)"
        advice = advise(self.store, rows, self.budget, split)
        self._write(rows, advice)
        outcome.done += dict.fromkeys(str(row.report["name"]) for row in rows)
        if advice.row is None:
            outcome.fail(BUDGET, StoreError(advice.text))
        return outcome

    def _files(self, outcome: Outcome) -> dict[str, tuple[Report, ModelFile]]:
        """Export what has no package yet; return each file with the report of its model, by the row's key."""
        names = [str(report["name"]) for report in self.reports]
        made = STAGES.make("export", models=names).run(self.exporting, self.store)
        found = {}
        for report in self.reports:
            name = report["name"]
            if name in made.failed:
                outcome.failed[name] = made.failed[name]
                continue
            with outcome.attempt(name):
                for file in model_files(self.store, name, self.format):
                    key = name if file.package == self.format else f"{name} ({file.package})"
                    found[key] = (report, file)
        outcome.done.clear()  # they are done once they are measured
        return found

    def _serve(self, files: Mapping[str, tuple[Report, ModelFile]], outcome: Outcome) -> dict[str, Served]:
        paths = {key: file.path for key, (_, file) in files.items()}
        first = next(iter(paths.values()))
        self.channels = open_exported(first, self.device, self.trusted).channels
        self.photos = photos_of(self.store, self.channels, BATCH)
        log.info("Measuring %s in turns, again while their times differ", count(len(paths), "file"))
        served, failed = serve(paths, self.photos, self.device, self.trusted)
        for key, error in failed.items():
            outcome.fail(key, error)
        return served

    def _rows(
        self, files: Mapping[str, tuple[Report, ModelFile]], served: Mapping[str, Served], outcome: Outcome
    ) -> list[Row]:
        self.shared = shared_rows(self.store, self.reports, singles(self.store), self.recipe.seed)
        outputs = self._outputs({key: files[key] for key in served}, outcome)
        rows = []
        for key, each in served.items():
            if self.shared is not None and key not in outputs:
                continue
            report, file = files[key]
            kind = kind_of(self.store, report)
            row = Row(
                key,
                kind if file.is_exact else kind_of_file(kind, file.package),
                report,
                file.path,
                file.is_exact,
                file.lost,
                round(file.size_mb, 4),
                each,
                *_scored(report, outputs.get(key), self.shared, self.task),
                training_seconds(self.store, report["name"]),
                task=self.task,
            )
            rows.append(row)
        return [replace(row, differences=self._differences(row, rows, outputs)) for row in rows]

    def _outputs(self, files: Mapping[str, tuple[Report, ModelFile]], outcome: Outcome) -> dict[str, Outputs]:
        """Return the outputs for the test split: stored, or by an inexact file.

        A file that cannot predict them, such as one of a store without its images, is recorded as failed.
        """
        found = dict[str, Outputs]()
        for key, (report, file) in files.items() if self.shared is not None else ():
            try:
                found[key] = outputs_of(self.store, report)[0] if file.is_exact else self._predicted(file)
            except CommitteeError as error:
                outcome.fail(key, error)
        return found

    def _predicted(self, file: ModelFile) -> Outputs:
        assert self.shared is not None
        ids = self.shared.rows.sample_ids.tolist()
        return predicted(self.store, file.path, ids, self.channels, self.device, self.trusted)

    def _differences(
        self, row: Row, rows: Sequence[Row], outputs: Mapping[str, Outputs]
    ) -> dict[str, dict[str, dict[str, float]]]:
        if self.shared is None:
            return {}
        return {
            other.key: self.shared.difference(outputs[row.key], outputs[other.key])
            for other in rows
            if other is not row
        }

    def _write(self, rows: Sequence[Row], advice: Advice) -> None:
        chosen = None if advice.row is None else advice.row.key
        facts = {
            "split": "test" if self.shared else "cross_fitted",
            "n": len(self.shared.rows) if self.shared else 0,
            "format": self.format,
            "runtime": runtime_of(self.format),
            "device": self.device,
            "images": self.photos.origin,
            "batch": BATCH,
            "budget": vars(self.budget),
            "rows": [{**row.to_json(), "over": self.budget.exceeded(row)} for row in rows],
            "deploy": chosen,
            "file": None if advice.row is None else advice.row.file.as_posix(),
            "text": advice.text,
            "students": remarks(self.reports, {each["name"]: each for each in read_reports(self.store)}),
        }
        path = self.store.comparison_report()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, facts)
        if self.settings.plot is not None:
            title = f"{len(rows)} files in {runtime_of(self.format)} on {self.device}"
            write_plot(rows, Path(self.settings.plot), title, chosen, self.budget.max_latency_ms)


def _scored(
    report: Report, outputs: Outputs | None, shared: Rows | None, task: Task
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the scores of a row, and its deep-ensemble equivalent."""
    if shared is None or outputs is None:
        scores = {name: report["cross_fitted"][name] for name in task.brief if name in report["cross_fitted"]}
        return scores, {"value": None, "note": "there is no test split"}
    return shared.scores(outputs), shared.equivalent(outputs)

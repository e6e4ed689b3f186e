"""Size, seconds and memory of the report of a store with 200 members and 50,000 out-of-fold rows.

The members are simulated predictions of 10 classes with 10,000 test rows, 32 x 32 images, and tables of
epochs; no network runs. There are also two ensembles of all members.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from harness import Row, main, seconds

from committee.combiners.base import build
from committee.images.cache import cache_folder
from committee.images.record import Record
from committee.images.view import CanvasSpec
from committee.pipeline.shared.draws import write_draws
from committee.pipeline.shared.records import RECORD, member_source, model_source
from committee.predictions.table import Predictions
from committee.scoring.draws import Draws
from committee.store.commit import commit, write_json
from committee.store.layout import Store
from committee.tasks.base import task_of

CLASSES = tuple(f"class_{index}" for index in range(10))
FACTS = {"backbone": "python:nets:small", "seed": 0, "pretrained": False, "inference": "refit"}
EPOCHS = "epoch,train_loss,inner_log_loss,seconds\n" + "".join(
    f"{epoch},{2 / epoch},{2.1 / epoch},3.5\n" for epoch in range(1, 31)
)
SIDE = 32

CHILD = """
import resource, sys, time
from committee.report.page import write_report
start = time.perf_counter()
write_report(sys.argv[1], sys.argv[2])
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class Simulated:
    """A store of simulated members."""

    def __init__(self, folder: Path, members: int, rows: int, test: int) -> None:
        self.store, self.random = Store(folder), np.random.default_rng(0)
        self.names = [f"member_{index:03}" for index in range(members)]
        self.rows = {"oof": rows, "test_refit": test}
        self.labels = {split: self.random.integers(0, 10, count) for split, count in self.rows.items()}
        self.ids = {
            "oof": [f"train/{row:06}.png" for row in range(rows)],
            "test_refit": [f"test/{row:06}.png" for row in range(test)],
        }
        self._record()
        for name in self.names:
            self._member(name)
        for method in ("soft_voting", "logit_averaging"):
            self._ensemble(method)

    def _record(self) -> None:
        count = sum(self.rows.values())
        record = Record(
            name="simulated",
            fingerprint="0" * 64,
            content="content",
            source={},
            ids=[*self.ids["oof"], *self.ids["test_refit"]],
            labels=[*self.labels["oof"].tolist(), *self.labels["test_refit"].tolist()],
            class_names=list(CLASSES),
            splits=["train"] * self.rows["oof"] + ["test"] * self.rows["test_refit"],
            groups=None,
            folds=[*(np.arange(self.rows["oof"]) % 5).tolist(), *[-1] * self.rows["test_refit"]],
            own_folds=False,
        )
        record.save(self.store)
        folder, fingerprint = cache_folder(self.store, "content", CanvasSpec(SIDE, "squash", 3))
        with commit(folder, kind="canvas", fingerprint=fingerprint, content="content") as new:
            pixels = np.broadcast_to(np.arange(SIDE, dtype=np.uint8)[:, None, None] * 8, (SIDE, SIDE, 3))
            np.save(new / "canvas.npy", np.broadcast_to(pixels, (count, SIDE, SIDE, 3)))

    def _member(self, name: str) -> None:
        for fit in ("fold_0", "refit"):
            with commit(
                self.store.checkpoint(name, fit), kind="checkpoint", fingerprint=name, **FACTS
            ) as new:
                (new / "epochs.csv").write_text(EPOCHS, encoding="utf-8")
        scale = self.random.uniform(1.5, 2.5)
        for split, count in self.rows.items():
            logits = self.random.standard_normal((count, 10), np.float32)
            logits[np.arange(count), self.labels[split]] += scale
            rows = Predictions.from_logits(
                logits,
                members=[name],
                class_names=CLASSES,
                sample_ids=self.ids[split],
                labels=self.labels[split],
                folds=np.arange(count) % 5 if split == "oof" else None,
            )
            with commit(self.store.kfold(name) / split, kind="predictions", fingerprint=name) as new:
                rows.save(new)
        self.example = rows
        self._report(
            self.store.member_metrics(name), name, {"kind": "member", "gain": {}, "backbone": "small"}
        )

    def _ensemble(self, method: str) -> None:
        name = f"{method}_ensemble"
        rule = build(method).bind(self.names)
        rule.fit(Predictions.join([self._few(each) for each in self.names]))
        record = {
            "method": method,
            "members": self.names,
            "sources": {each: member_source(self.store, each) for each in self.names},
            "inference": dict.fromkeys(self.names, "refit"),
            "calibrate": "none",
            "rows": "oof",
            "class_names": list(CLASSES),
        }
        from committee.combiners.base import save

        with commit(self.store.ensemble(name), kind="ensemble", fingerprint=name, **record) as new:
            save(rule, new)
            write_json(new / RECORD, record)
        gain = {
            "metric": "log_loss",
            "value": 0.1,
            "low": 0.05,
            "high": 0.15,
            "standard_error": 0.02,
            "critical": 2.0,
            "units": 50_000,
            "proven": True,
            "against": f"best single member ({self.names[0]})",
            "text": "better",
        }
        more = {"kind": "ensemble", "gain": {"log_loss": gain}, "method": method, "members": self.names}
        more["weights"] = more["contributions"] = dict.fromkeys(self.names, 1 / len(self.names))
        self._report(self.store.ensemble_metrics(name), name, more)

    def _few(self, name: str) -> Predictions:
        rows = Predictions.load(self.store.kfold(name) / "oof")
        return rows.rows(np.arange(min(len(rows), 200)))

    def _report(self, folder: Path, name: str, more: dict[str, Any]) -> None:
        if not hasattr(self, "_scores"):
            rows, task = self.example, task_of(self.example)
            outputs = rows.logits[0] - np.logaddexp.reduce(rows.logits[0], axis=1, keepdims=True)
            found = task.intervals(outputs, rows.labels)
            self._scores = {metric: asdict(value) for metric, value in found.items()}
            self._details = task.details(outputs, rows.labels, CLASSES)
        report = {
            "name": name,
            "data": {"quarantined": 0, "copies": 0},
            "inference": "refit",
            "rows": "oof",
            "split": "test",
            "n": self.rows["test_refit"],
            "metrics": self._scores,
            "cross_fitted": self._scores,
            "latency_ms": {"median": float(self.random.uniform(1, 30))},
            "size_mb": float(self.random.uniform(1, 300)),
            **self._details,
            **more,
        }
        with commit(folder, kind="metrics", fingerprint=model_source(self.store, name)) as new:
            write_json(new / "metrics.json", report)
            if more["gain"]:
                draws = self.random.normal(0.1, 0.02, (1, 1000)).astype(np.float32)
                write_draws(new, Draws(("log_loss",), draws, draws))


def measure(quick: bool) -> list[Row]:
    """Return the rows."""
    members, rows, test = (4, 400, 100) if quick else (200, 50_000, 10_000)
    work = f"{members} members, {rows} rows, 1 thread"
    with tempfile.TemporaryDirectory() as folder:
        store, page = Path(folder) / "store", Path(folder) / "report.html"
        Simulated(store, members, rows, test)
        if quick:
            from committee.report.page import write_report

            taken = seconds(lambda: write_report(store, page))
            peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        else:
            command = [sys.executable, "-c", CHILD, str(store), str(page)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            taken, peak = map(float, done.stdout.split()[-2:])
        size = page.stat().st_size / 1e6
    return [
        Row("report: seconds", work, "", taken, target=30),
        Row("report: size", work, "", size, target=10, unit="MB"),
        Row("report: peak memory", work, "", peak / 1024, unit="MB"),
    ]


if __name__ == "__main__":
    main(measure)

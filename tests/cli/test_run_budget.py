"""`committee run` within a budget: the last lines name the file to deploy, or the nearest one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from committee.models.timing import Timing
from committee.pipeline.comparing import comparison
from committee.pipeline.comparing.served import Served
from committee.pipeline.shared import costs
from committee.store.layout import Store


def test_a_run_ends_with_the_file_to_deploy(
    trained: Store, tiny_settings: list[str], cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(
        files: Mapping[str, Path], photos: Any, device: str, trusted: Collection[str]
    ) -> tuple[dict[str, Served], dict[str, Exception]]:
        timings = dict.fromkeys(("1", "32"), Timing(5.0, 6.0, 0.0, 3))
        return {name: Served(timings, {}) for name in files}, {}

    monkeypatch.setattr(comparison, "serve", serve)
    monkeypatch.setattr(costs, "can_run_files", lambda: False)
    own = ["runs.score_ensemble.methods=[soft_voting]", "compare.format=checkpoint", "exports.enable=false"]
    words = [word for each in [*tiny_settings, *own] for word in ("--set", each)]
    words += ["--store", str(trained.root), "--max-size-mb", "50"]
    said = cli("run", *words, "--max-latency-ms", "60000")
    assert said.code == 0, said.err
    assert "pruned_greedy_forward" in trained.ensembles()
    assert "Install it with: pip install 'committee[onnx]'" in said.err
    last = said.out.rstrip().splitlines()[-1]
    assert last.startswith("Deploy ") and "within the budget (60000 ms, 50 MB)" in last
    assert "It takes 5.00 ms for an image" in last

    tight = cli("run", *words, "--max-latency-ms", "0.001")
    assert tight.code == 3
    assert "pruned: expected a subset of the members within 0.001 ms and 50 MB" in tight.err
    assert (
        tight.out.rstrip()
        .splitlines()[-1]
        .startswith("No compared model is within the budget (0.001 ms, 50 MB). The nearest is ")
    )

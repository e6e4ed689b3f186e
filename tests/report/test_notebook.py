"""What notebooks and other programs show: short texts, tables of HTML, Markdown and CSV, figures."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import committee
from committee.base.tables import to_csv, to_html, to_markdown
from committee.metrics import reliability, risk_coverage
from committee.models import Ensemble, Member
from committee.predictions import simulate
from committee.report.leaderboard import leaderboard

NAMES = ["=1+1", "a|b\n# c", "<b>x</b>", "[l](http://x)", "-5"]


@pytest.mark.parametrize("name", NAMES)
def test_names_stay_text_in_all_formats(name: str) -> None:
    assert "<b>" not in to_html(["name"], [[name]])
    line = to_markdown(["name"], [[name]]).splitlines()[2]
    assert len(to_markdown(["name"], [[name]]).splitlines()) == 3
    assert line.replace("\\|", "").count("|") == 2 and "[l](" not in line and "<b>" not in line
    cell = next(csv.reader(io.StringIO(to_csv([name], []))))[0]
    assert cell[0] not in "=+@" and cell in (name, f"'{name}")


def test_a_leaderboard_in_all_formats(hostile_root: Path, cli: Any, tmp_path: Path) -> None:
    board = leaderboard(hostile_root)
    assert repr(board).startswith("Leaderboard(models=4, best=") and len(repr(board)) < 90
    frame = committee.leaderboard(hostile_root, "accuracy").to_frame()
    assert frame.name.tolist() == [each["name"] for each in leaderboard(hostile_root, "accuracy")]
    values = [each["cross_fitted"]["log_loss"]["low"] for each in board]
    read = list(csv.DictReader(io.StringIO(board.to_csv())))
    assert [float(row["cross_fitted.log_loss.low"]) for row in read] == values
    assert {row["gain.log_loss.proven"] for row in read} <= {"True", "False", ""}
    path = tmp_path / "board.md"
    said = cli("leaderboard", "--store", hostile_root, "--markdown", path, "--csv")
    assert said.code == 0 and path.read_text("utf-8").strip() == board.to_markdown()
    assert said.out == f"{board.to_csv()}Wrote {path}\n"
    assert cli("leaderboard", "--csv", "recipe.yaml").err.strip() == (
        "committee: leaderboard: argument --csv: expected nothing or a file FILE.csv, got 'recipe.yaml'. "
        "See: committee leaderboard --help"
    )


def test_texts_are_short_and_figures_are_made() -> None:
    rows = simulate({f"member_{place}": 2.0 for place in range(12)}, rows=120)
    assert len(repr(rows)) < 200 and "... 4 more" in repr(rows)
    found = committee.combine(rows, methods=["soft_voting", "weighted"])
    members = [Member.from_module(nn.Flatten(), classes=["a", "b", "c"], size=1) for _ in range(2)]
    assert "soft_voting of 2 members, 2 networks" in Ensemble(members)._repr_html_()
    assert repr(Ensemble(members)).startswith("Ensemble(ensemble: soft_voting of 2 members, 2 networks, ")
    assert repr(members[0]).startswith(f"Member({members[0].name}: classification, ")
    assert len(repr(found)) < 160 and repr(found).startswith("Combination(best=")
    assert len(repr(found.best)) < 240 and len(repr(found.best.scores)) < 200
    for each in (rows, found, found.best.scores):
        assert "<table>" in each._repr_html_() or "more" in each._repr_html_()
    outputs, labels = found.best.scores.held_out, rows.labels
    figures = [found.plot(), found.best.scores.plot()]
    figures += [reliability(outputs, labels).plot(), risk_coverage(outputs, labels).plot()]
    for figure in figures:
        assert figure.axes[0].lines

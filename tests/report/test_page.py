"""The report as one page: what it contains, that names stay text, and how it behaves in a browser."""

from __future__ import annotations

import html
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from committee.combiners import Attention, Compose, Temperature
from committee.combiners.base import build
from committee.pipeline.shared import run_record
from committee.pipeline.shared.run_record import read_run, read_runs, write_run
from committee.pipeline.shared.sample_weights import SampleWeights, attending, attention_weights
from committee.predictions import simulate
from committee.recipe.load import load_recipe
from committee.report.blocks import Table
from committee.report.facts import Facts
from committee.report.page import parts_of, write_report
from committee.report.sections.base import SECTIONS
from committee.report.sections.sample_weights import weights_chart
from committee.report.text import than_source
from committee.store.layout import Store

OF_CLASSES = {
    "summary",
    "leaderboard",
    "gains",
    "pareto",
    "reliability",
    "risk_coverage",
    "confusion",
    "classes",
    "sets",
    "diversity",
    "contributions",
    "learning_curves",
    "mistakes",
    "disagreement",
    "label_errors",
    "recipe",
}
OF_NUMBERS = OF_CLASSES - {"reliability", "risk_coverage", "confusion", "classes"} | {"numbers"}


@pytest.fixture(scope="module")
def page(hostile_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(hostile_root, tmp_path_factory.mktemp("page") / "report.html")


def warnings_of(text: str) -> list[str]:
    return re.findall(r'class="warning">([^<]*)', text)


def keys_of(root: Path) -> set[str]:
    return {part.key for part in parts_of(Facts(Store(root)))}


def test_sections_follow_from_what_the_store_has(hostile_root: Path, numbers_root: Path, page: Path) -> None:
    assert keys_of(hostile_root) == OF_CLASSES
    assert keys_of(numbers_root) == OF_NUMBERS
    assert not warnings_of(page.read_text("utf-8"))
    orders = [SECTIONS.load(name).order for name in SECTIONS.names()]
    assert len(set(orders)) == len(orders)


def test_the_page_loads_nothing_and_names_are_text(page: Path) -> None:
    text = page.read_text("utf-8")
    assert "default-src 'none'" in text and "unsafe" not in text
    body = re.sub(r"<(script|style)[^>]*>.*?</\1>", "", text, flags=re.DOTALL)
    assert not re.search(r"(src|href)=\"(?!data:|#)", body)
    assert "<script" not in body and "<img src=x" not in body and " style=" not in body
    assert len(re.findall(r'<script type="module">', text)) == text.count("'sha256-") - 1 == 2
    assert html.escape("<script>document.title='x'</script>", quote=False)[:10] in text


def test_the_recipe_of_the_page_makes_the_run_again(hostile_root: Path, page: Path, tmp_path: Path) -> None:
    text = html.unescape(page.read_text("utf-8"))
    recipe = re.findall(r"<code>(backbones:.*?|dataset:.*?|device:.*?)</code>", text, re.DOTALL)[-1]
    (tmp_path / "recipe.yaml").write_text(recipe, "utf-8")
    again = load_recipe(tmp_path / "recipe.yaml", [])
    assert (
        again.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        == read_run(Store(hostile_root))["recipe"]
    )
    assert again.members()[0].name == "one"


def test_a_browser_shows_it_at_three_widths_and_by_keyboard(page: Path, browser: Any) -> None:
    for width in (1280, 820, 375):
        browser.open(page, width)
        assert browser.run("document.documentElement.scrollWidth") <= width
        assert browser.run("document.title") == "data"
    table = "document.querySelector('#leaderboard table')"
    first = f"{table}.tBodies[0].rows[0].cells[0].textContent"
    best = browser.run(first)
    browser.run("document.querySelector('#leaderboard input').focus()")
    browser.press("Tab")  # the table scrolls by keyboard
    browser.press("Tab")
    assert browser.run("document.activeElement.textContent") == "model"
    browser.press("Tab")
    for order in ("ascending", "descending"):
        browser.press("Enter")
        assert browser.run(f"{table}.tHead.rows[0].cells[1].getAttribute('aria-sort')") == order
    assert browser.run(first) != best
    browser.run("document.querySelector('#leaderboard input').focus()")
    browser.write("weighted")
    assert browser.run("document.querySelector('#leaderboard output').textContent") == "1 of 4 rows"
    dark = browser.run("getComputedStyle(document.body).backgroundColor")
    browser.run("document.getElementById('theme').click()")
    assert browser.run("getComputedStyle(document.body).backgroundColor") != dark
    for chart in range(browser.run("document.querySelectorAll('.chart').length")):
        browser.run(f"document.querySelectorAll('.chart')[{chart}].scrollIntoView()")
        browser.wait(f"document.querySelectorAll('.chart')[{chart}].querySelector('svg')")
    button = "document.querySelector('#risk_coverage .legend button')"
    browser.run(f"{button}.focus()")
    browser.press("Enter")
    assert browser.run(f"{button}.getAttribute('aria-pressed')") == "true"
    lines = "[...document.querySelectorAll('#risk_coverage svg .mark-line path')]"
    browser.wait(f"{lines}.some((line) => line.getAttribute('opacity') === '0.1')")
    names = "[...document.querySelectorAll('#confusion svg text')].map((each) => each.textContent).join()"
    assert browser.run(names).count("<script>") > 0
    assert not browser.problems


@pytest.mark.filterwarnings("error")
def test_what_is_missing_or_damaged_is_said(hostile_root: Path, tmp_path: Path) -> None:
    store = Store(shutil.copytree(hostile_root, tmp_path / "store"))
    shutil.rmtree(store.root / "cache")
    for name in ("one", "two"):
        shutil.rmtree(store.kfold(name) / "test_refit")
    (store.member_metrics("two") / "metrics.json").write_text("{", "utf-8")
    store.checkpoint("three", "refit").parent.mkdir()
    failure = store.checkpoint("three", "refit").with_name("failure.json")
    failure.write_text(json.dumps({"reason": "three: <b>no</b> memory"}), "utf-8")
    text = write_report(store, tmp_path / "report.html").read_text("utf-8")
    assert "three: &lt;b&gt;no&lt;/b&gt; memory" in text
    assert "its report is damaged, or describes networks that have changed since" in text
    assert "The images are those of the source: the decoded images of the store were deleted." in text
    facts = Facts(store)
    assert facts.record is not None and facts.images is not None
    assert facts.images(0).shape == (8, 8, 3)
    facts = Facts(store)
    facts.record = replace(facts.record, source={**facts.record.source, "path": "/nowhere/at.npz"})
    assert facts.images is None and "source cannot be read: /nowhere: " in facts.about_images
    facts = Facts(store)
    facts.record = replace(facts.record, ids=[f"other {name}" for name in facts.record.ids])
    assert facts.about_images.endswith("got others.")
    assert "out-of-fold rows" in text  # in place of the test split


def test_without_altair_the_page_has_no_drawings_and_says_how_to_get_them(
    hostile_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("committee.report.charts.drawing.PACKAGES", ("altair", "no_such_package"))
    text = write_report(hostile_root, tmp_path / "report.html").read_text("utf-8")
    assert "pip install &#39;committee[report]&#39;" in text and not warnings_of(text)
    assert "application/json" not in text and text.count("<script") == 1 and "<noscript>" not in text
    assert text.count("<figcaption>") == text.count("</p></figure>")  # each chart has a caption


def test_reports_of_earlier_versions_and_without_a_test_split_have_fewer_sections(hostile_root: Path) -> None:
    facts = Facts(Store(hostile_root))
    kept = ("name", "kind", "inference", "cross_fitted", "latency_ms", "size_mb", "rows")
    facts.reports = [
        {**{key: report[key] for key in kept}, "metrics": {}, "gain": {}} for report in facts.reports
    ]
    parts = parts_of(facts)
    shown = {"summary", "leaderboard", "pareto", "reliability", "risk_coverage", "diversity"}
    shown |= {"learning_curves", "mistakes", "label_errors", "recipe"}
    assert {part.key for part in parts} == shown
    styles = [getattr(block, "style", "") for part in parts for block in part.blocks]
    assert "warning" not in styles


def test_two_stores_are_compared(hostile_root: Path, numbers_root: Path, tmp_path: Path, cli: Any) -> None:
    other = Store(shutil.copytree(hostile_root, tmp_path / "other"))
    (record,) = other.run_records().iterdir()
    run = json.loads(record.read_text("utf-8"))
    run["recipe"]["training"]["epochs"] = 3
    record.write_text(json.dumps(run), "utf-8")
    page = tmp_path / "both.html"
    said = cli("report", hostile_root, other.root, "--out", page)
    assert (said.code, said.out) == (0, f"Wrote {page}\n"), said.err
    text = page.read_text("utf-8")
    rows = len(Facts(other).curves[0].labels)
    assert f"Paired differences on {rows} test rows that both have" in text
    assert "no proven difference" in text and "recipe: training.epochs" in text and "fingerprint" not in text
    assert not warnings_of(text)
    wrong = cli("report", hostile_root, numbers_root, "--out", page)
    assert wrong.code == 2 and wrong.err.strip() == (
        f"committee: report: expected two stores whose models have the same metrics, got f1_macro in "
        f"{hostile_root}, and rmse in {numbers_root}."
    )
    assert cli("report", "a", "b", "c").err.startswith("committee: report: expected at most 2 stores, got 3.")


def test_runs_are_listed_and_compared(hostile_root: Path, tmp_path: Path, cli: Any) -> None:
    store = Store(shutil.copytree(hostile_root, tmp_path / "store"))
    recipe = load_recipe(None, [])
    for method in ("logit_averaging", "{combiner: weighted, space: logit}"):  # new, and other weights
        options = f"runs.score_ensemble.methods=[{method}]"
        for verb in ("build-ensemble", "evaluate"):
            assert cli(verb, "--store", store.root, "--set", options).code == 0
    write_run(recipe, store, {})  # has changed nothing
    third, second, first = (each.name for each in read_runs(store))
    said = cli("report", "--runs", store.root)
    assert [line.split()[:3] for line in said.out.splitlines()[2:]] == [
        [third, "evaluate", "5"],
        [second, "evaluate", "5"],
        [first, "run", "4"],
    ]
    assert "1 new" in said.out and "1 again" in said.out and "4 new" in said.out
    page = tmp_path / "both.html"
    text = page_of(cli, page, f"{store.root}@previous")
    shown = " ".join(re.findall(r'<p class="(?:lead|note)">([^<]*)', text))
    assert "1 model of" in shown and "(&#39;weighted_ensemble&#39;)" in shown
    assert "recipe: runs.score_<wbr>ensemble.methods" in text and "space" in text
    assert "without a paired difference" not in page_of(cli, page, store.root, f"{store.root}@{third}")
    unknown = cli("report", f"{store.root}@2000").err
    assert unknown.startswith(
        f"committee: {store.root}: run: expected one of {third}, {second}, {first}, got '2000'"
    )
    assert cli("report", "--runs", f"{store.root}@previous").code == 2


def page_of(cli: Any, page: Path, *stores: object) -> str:
    said = cli("report", *stores, "--out", page)
    assert (said.code, said.out) == (0, f"Wrote {page}\n"), said.err
    return page.read_text("utf-8")


def test_few_runs_are_kept_and_damaged_ones_are_named(
    hostile_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(shutil.copytree(hostile_root, tmp_path / "store"))
    (record,) = store.run_records().iterdir()
    for day in range(10, 35):
        shutil.copy(record, record.with_name(f"202001{day}-000000-abcdef.json"))
    record.write_text("{", "utf-8")
    write_run(load_recipe(None, []), store, {}, "evaluate")
    assert len(read_runs(store)) == run_record.MOST - 1 and record.name in caplog.text
    shutil.rmtree(store.run_records())  # a store of an earlier version
    assert read_runs(store) == [] and Facts(store).last_run["recipe"]


def test_a_store_without_results_is_an_error(tmp_path: Path, cli: Any) -> None:
    (tmp_path / "store").mkdir()
    said = cli("report", "--store", tmp_path / "store")
    assert said.code == 1
    assert said.err.strip() == (
        f"committee: {tmp_path / 'store'}: expected evaluated models, got none. Train some with: "
        "committee run "
        "RECIPE"
    )


def test_weights_of_images_are_those_of_attention() -> None:
    rows = simulate({"a": 2.0, "b": 0.5}, rows=60)
    rule = Temperature(Attention(hidden_dim=4, epochs=3)).fit(rows)
    names, found = attention_weights(rule, rows)
    assert names == ("a", "b") and found.shape == (60, 2) and np.allclose(found.sum(axis=1), 1)
    assert attending(build("soft_voting")) is None
    of_ensembles = Compose({"one": "soft_voting", "two": "logit_averaging"}, Attention(4, epochs=1)).fit(rows)
    assert attention_weights(of_ensembles, rows)[0] == ("one", "two")
    chart = weights_chart(SampleWeights("attention", rows.members, rows.sample_ids, found, "test"))
    assert next(name for _, name in chart.legend).startswith("a, mean 0.")


def test_a_soup_has_the_barriers_and_weights_of_its_networks(hostile_root: Path) -> None:
    facts = Facts(Store(hostile_root))
    soup = {"barriers": {"b": 0.24, "c": 0.9}, "aligned": {"c": 1.2}, "left_out": {"c": "a barrier"}}
    soup |= {"weights": {"a": 0.5, "b": 0.5}, "losses": {"a": 1.9, "b": 2.0, "c": 2.1}}
    gain = {"log_loss": {"value": 0.5, "proven": True, "against": "best single member (a)"}}
    made: dict[str, Any] = {"provenance": {"epochs": 3, "soup": soup}, "of": ["a", "b", "c"], "gain": gain}
    facts.reports = [{**facts.reports[0], **made, "name": "soup"}]
    (table,) = SECTIONS.make("barriers").blocks(facts)
    assert isinstance(table, Table)
    texts = [[cell.text for cell in row] for row in table.cells]
    assert texts == [
        ["a", "1.900", "", "", "0.500", ""],
        ["b", "2.000", "0.240", "", "0.500", ""],
        ["c", "2.100", "0.900", "1.200", "", "left out"],
    ]
    assert than_source(facts.reports[0], gain["log_loss"]) == "than a"

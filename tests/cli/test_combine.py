"""`committee combine` from the command line: tables, JSON, files, exit codes."""

from __future__ import annotations

import contextlib
import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from committee.base import progress
from committee.combiners.weighted import Weighted
from committee.pipeline import combine as pipeline


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three models' probabilities of 90 samples and of 12 others, with labels; the working folder."""
    random = np.random.default_rng(0)
    ids, labels = [f"s{row}" for row in range(102)], np.arange(102) % 3
    for name, skill in (("a", 2.0), ("b", 1.5), ("c", 0.0)):
        scores = np.exp(random.normal(size=(102, 3)) + skill * np.eye(3)[labels])
        probs = scores / scores.sum(axis=1, keepdims=True)
        np.savez(tmp_path / f"{name}.npz", probs=probs[:90], ids=ids[:90], classes=["cat", "dog", "owl"])
        (tmp_path / "new").mkdir(exist_ok=True)
        rows = [",".join([ids[row], *map(str, probs[row])]) for row in range(90, 102)]
        (tmp_path / "new" / f"{name}.csv").write_text("\n".join(["id,cat,dog,owl", *rows]), encoding="utf-8")
    lines = [f"{name},{['cat', 'dog', 'owl'][label]}" for name, label in zip(ids, labels, strict=True)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,label", *lines]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


FILES = ("a.npz", "b.npz", "c.npz", "--labels", "labels.csv")


def test_one_method_is_one_object(folder: Path, cli: Callable[..., Any]) -> None:
    said = cli("combine", *FILES, "--method", "weighted", "--json")
    assert said.code == 0
    found = json.loads(said.out)
    assert found["method"] == "weighted" and found["members"] == ["a", "b", "c"]
    assert sum(found["weights"].values()) == pytest.approx(1, abs=1e-6)
    assert set(found["scores"]) == {"fit", "cross_fitted", "gain"}
    assert (
        set(found["scores"]["fit"])
        == set(found["scores"]["cross_fitted"])
        >= {"accuracy", "log_loss", "auroc"}
    )
    assert set(found["scores"]["cross_fitted"]["log_loss"]) == {"value", "low", "high"}
    assert set(found["scores"]["gain"]["log_loss"]) >= {"value", "low", "high", "proven", "text", "against"}


def test_several_methods_are_a_list(folder: Path, cli: Callable[..., Any]) -> None:
    said = cli("combine", *FILES, "--method", "soft_voting", "--method", "hard_voting", "--json")
    found = json.loads(said.out)
    losses = [each["scores"]["cross_fitted"]["log_loss"]["value"] for each in found]
    assert len(found) == 2 and losses == sorted(losses)
    assert [each["is_best"] for each in found] == [True, False]
    assert set(found[0]["scores"]["gain"]) >= {"brier", "auroc", "ece", "balanced_accuracy"}


def test_the_table(folder: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = cli("combine", *FILES, "--method", "soft_voting", "--method", "weighted", "--folds", "3")
    assert said.code == 0
    lines = said.out.splitlines()
    assert " ".join(lines[:2]) == (
        "90 samples, 3 classes, 3 members: cross-fitted scores with 95% intervals, "
        "calibrated (pooled), best log_loss first"
    )
    heading = next(n for n, line in enumerate(lines) if line.startswith("method "))
    assert max(map(len, lines[: heading + 3])) <= 80
    assert "accuracy" in lines[heading] and lines[heading].endswith("  ece")
    assert {line.split()[0] for line in lines[heading + 1 : heading + 3]} == {"soft_voting", "weighted"}
    assert "Each member alone" in lines
    assert said.err == "labels.csv: 12 labels without predictions are ignored\n"
    assert any(line.startswith("Weights of weighted: a ") for line in lines)
    worse = cli("combine", "c.npz", "--labels", "labels.csv", "--method", "soft_voting")
    assert worse.out.splitlines()[-1] == (
        "soft_voting has no proven gain over the best single member, calibrated (c)."
    )


def test_a_wide_table_has_all_intervals(
    folder: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = cli(
        "combine", *FILES, "--method", "weighted", "--wide", "--metric", "auroc", "--calibrate", "none"
    )
    heading, row = said.out.splitlines()[1:3]
    assert heading.endswith("auroc of the fit  gain over best single member  compared with")
    assert row.count("[") >= 4 and row.endswith("best single member (a)")


def test_a_gain_is_that_of_the_metric(folder: Path, cli: Callable[..., Any]) -> None:
    said = cli("combine", "c.npz", "--labels", "labels.csv", "--method", "soft_voting", "--metric", "brier")
    last = said.out.splitlines()[-1]
    assert last == "soft_voting has no proven gain over the best single member, calibrated (c)."
    found = cli("combine", *FILES, "--method", "weighted", "--metric", "brier", "--json")
    assert json.loads(found.out)["scores"]["gain"]["brier"]["metric"] == "brier"


def test_a_gain_in_a_metric_of_the_user_is_not_evaluated(
    folder: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "own_gain.py").write_text(
        "def right(labels, probabilities):\n    return (probabilities.argmax(axis=1) == labels).mean()\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(folder))
    said = cli("combine", *FILES, "--method", "soft_voting", "--metric", "python:own_gain.right")
    assert "not evaluated" in said.out
    assert " ".join(said.out.splitlines()[-2:]).endswith(
        "soft_voting is not compared with the best single member: gains are not evaluated for "
        "python:own_gain.right."
    )


def test_the_output_says_why_a_method_is_the_best(folder: Path, cli: Callable[..., Any]) -> None:
    """A copy of a member adds nothing, so the vote without it has the same score, and is cheaper."""
    given = "{combiner: weighted, weights: {a: 0.5, b: 0.5}}"
    more = "{combiner: weighted, weights: {a: 0.5, b: 0.495, c: 0.005}, name: more}"
    said = cli("combine", *FILES, "--method", given, "--method", more, "--calibrate", "none")
    last = " ".join(said.out.splitlines()[-2:])
    assert "The best method, weighted, " in last
    if next(line for line in said.out.splitlines() if line.startswith(("more ", "weighted "))).startswith(
        "more"
    ):
        assert last.endswith(
            "Its log_loss is within noise of that of more, and it uses 2 networks instead of 3."
        )


def test_a_proven_gain_is_a_sentence(folder: Path, cli: Callable[..., Any]) -> None:
    said = cli("combine", *FILES, "--method", "hard_voting", "--metric", "accuracy", "--method", "weighted")
    last = " ".join(said.out.splitlines()[-2:])
    assert "The best method, " in last and ("is better than" in last or "no proven gain" in last)


@pytest.mark.slow
def test_all_methods_are_shown_by_default(folder: Path, cli: Callable[..., Any]) -> None:
    said = cli("combine", *FILES, "--calibrate", "pooled", "--metric", "accuracy", "--budget", "2")
    assert said.code == 0
    shown = {line.split()[0] for line in said.out.splitlines() if line}
    assert {
        "soft_voting",
        "hard_voting",
        "logit_averaging",
        "weighted",
        "greedy_selection",
        "stacking_lr",
    } <= shown
    assert "cross-fitted scores with 95% intervals, calibrated (pooled), best accuracy first" in " ".join(
        said.out.split()
    )


def test_metrics_that_methods_optimize(
    folder: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "our_metrics.py").write_text(
        "def shifted_loss(labels, probs):\n    return 5 - probs[range(len(labels)), labels].mean()\n"
    )
    monkeypatch.syspath_prepend(folder)
    for metric in ("auroc", "brier", "balanced_accuracy", "python:our_metrics.shifted_loss"):
        methods = ("--method", "weighted", "--method", "greedy_selection", "--method", "soft_voting")
        said = cli("combine", *FILES, *methods, "--metric", metric, "--json", "--folds", "3")
        assert said.code == 0, said.err
        found = json.loads(said.out)
        values = [each["scores"]["cross_fitted"][metric]["value"] for each in found]
        assert values == sorted(values, reverse=metric in ("auroc", "balanced_accuracy"))
        greedy = next(each for each in found if each["method"] == "greedy_selection")
        assert metric in greedy["notes"]["selections"][0]
        assert cli("combine", *FILES, "--method", "weighted", "--metric", metric, "--wide").code == 0
    wrong = cli("combine", *FILES, "--metric", "python:our_metrics.shifted", "-q")
    assert (wrong.code, wrong.err) == (
        2,
        "committee: metric: expected a function of our_metrics, got 'shifted'. "
        "Did you mean 'shifted_loss'?\n",
    )


def test_progress_names_the_method_that_is_fitted(
    folder: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []

    @contextlib.contextmanager
    def bar(total: int | None, what: str) -> Iterator[progress.Step]:
        yield lambda steps, item="": shown.append((what, total, item)) if item else None

    monkeypatch.setattr(progress._SCREEN, "elsewhere", bar)
    cli("combine", *FILES, "--method", "weighted", "--method", "soft_voting", "--folds", "3")
    assert shown == [
        *[("folds", 3, "weighted")] * 3,
        ("methods", 2, "weighted"),
        ("methods", 2, "soft_voting"),
    ]


def test_slow_methods_run_when_asked_for(
    folder: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Weighted, "seconds", lambda self, members, rows, classes: 7.0)
    monkeypatch.setattr(pipeline, "plain_methods", lambda task: ["soft_voting", "weighted"])
    said = cli("combine", *FILES)
    assert "Left out to stay within a budget of 10 seconds: weighted (about 43 seconds). Run one" in said.err
    assert "weighted" not in said.out and "soft_voting" in said.out
    for words in (["--slow"], ["--budget", "50"]):
        said = cli("combine", *FILES, *words)
        assert "Left out" not in said.err and "weighted" in said.out
        assert re.search("Fitting 2 methods takes about 4[23] seconds, most of it: weighted", said.err)


def test_test_files_give_a_csv(folder: Path, cli: Callable[..., Any]) -> None:
    test = ("--test", "new/c.csv", "new/a.csv", "new/b.csv")
    said = cli("combine", *FILES, "--method", "weighted", *test, "--out", "out/test.csv")
    assert said.code == 0
    assert said.out.splitlines()[-1] == f"{Path('out/test.csv')}: 12 samples combined by weighted"
    with (folder / "out" / "test.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"s{row}" for row in range(90, 102)]
    assert set(rows[0]) == {"id", "cat", "dog", "owl"}
    for row in rows:
        assert sum(float(row[name]) for name in ("cat", "dog", "owl")) == pytest.approx(1, abs=1e-5)
    cli("combine", *FILES, "--method", "weighted", *test)
    assert (folder / "combined.csv").read_bytes() == (folder / "out" / "test.csv").read_bytes()


def test_given_weights(folder: Path, cli: Callable[..., Any]) -> None:
    said = cli(
        "combine", *FILES, "--method", "weighted", "--weights", "a=.6, b=0.4", "--json", "--space", "logit"
    )
    assert json.loads(said.out)["weights"] == pytest.approx({"a": 0.6, "b": 0.4, "c": 0})


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (
            ("a.npz",),
            2,
            "combine: expected labels of the samples, got none. "
            "Name a file with the columns id and label: --labels FILE",
        ),
        (
            ("a.npy", "--labels", "labels.csv"),
            2,
            "a.npy: the file does not exist. Did you mean 'a.npz'?",
        ),
        ((*FILES, "--out", "x.csv"), 2, "--out: expected --test FILES to combine, got none."),
        ((*FILES, "--weights", "a"), 2, "--weights: expected NAME=WEIGHT,NAME=WEIGHT,..., got 'a'."),
        ((*FILES, "--weights", "a=x"), 2, "--weights: expected NAME=WEIGHT,NAME=WEIGHT,..., got 'a=x'."),
        (
            (*FILES, "--budget", "3", "--slow"),
            2,
            "--budget: expected neither --method nor --slow beside it, got --slow. "
            "A budget chooses among the methods that nobody named.",
        ),
        ((*FILES, "--budget", "0"), 2, "budget: expected a number above 0, got 0.0."),
        ((*FILES, "--folds", "1"), 2, "folds: expected at least 2, got 1."),
        (
            (*FILES, "--folds", "91"),
            1,
            "folds: expected at least 91 rows, got 90. Use fewer folds.",
        ),
        (
            ("a.npz", "new/b.csv", "--labels", "labels.csv"),
            1,
            "predictions of 'b': expected "
            "the samples of 'a', got none for 's0', 's1', 's2', 's3', 's4' and 85 more and also "
            "'s90', 's91', 's92', 's93', 's94' and 7 more.",
        ),
        (
            ("a.npz", "a.npz", "--labels", "labels.csv"),
            2,
            "files: expected distinct files, got duplicates of 'a.npz'.",
        ),
        ((), 2, "combine: the following arguments are required: FILE. See: committee combine --help"),
    ],
)
def test_errors_are_one_sentence(
    folder: Path, cli: Callable[..., Any], words: tuple[str, ...], code: int, said: str
) -> None:
    answer = cli("combine", *words, "-q")
    assert (answer.code, answer.out, answer.err) == (code, "", f"committee: {said}\n")


def test_a_method_with_options(folder: Path, cli: Callable[..., Any]) -> None:
    inputs = "{a: soft_voting, b: {combiner: weighted, space: logit}}"
    text = f"{{combiner: compose, inputs: {inputs}, final: weighted}}"
    found = json.loads(cli("combine", *FILES, "--method", text, "--json").out)
    assert found["method"] == "compose" and set(found["notes"]["inputs"]) == {"a", "b"}
    wrong = cli("combine", *FILES, "--method", "{combiner: greedy_selection, bag: 3}")
    assert (wrong.code, wrong.err) == (
        2,
        (
            "committee: combiner greedy_selection: expected an option among 'metric', 'rounds', 'patience', "
            "'bags', 'bag_fraction' and 1 more, got 'bag'. Did you mean 'bags'?\n"
        ),
    )
    torn = cli("combine", *FILES, "--method", "{combiner: greedy_selection")
    assert torn.code == 2 and torn.err.endswith("expected ',' or '}', but got '<stream end>'. (--method)\n")


def test_one_file_is_one_member(folder: Path, cli: Callable[..., Any]) -> None:
    said = cli("combine", "a.npz", "--labels", "labels.csv", "--method", "soft_voting")
    assert said.out.startswith("90 samples, 3 classes, 1 member: ")


def test_classes_without_samples_are_named_beside_the_auroc(folder: Path, cli: Callable[..., Any]) -> None:
    file = folder / "labels.csv"
    file.write_text(file.read_text("utf-8").replace(",owl", ",dog"), encoding="utf-8")
    said = cli("combine", *FILES, "--method", "soft_voting", "--metric", "auroc")
    assert said.code == 0, said.err
    assert "auroc is the mean over the other classes: no sample is of 'owl'." in said.out.splitlines()
    assert "nan" not in said.out
    said = cli("combine", *FILES, "--method", "soft_voting")
    assert "no sample is of" not in said.out


def test_nothing_that_exists_is_overwritten_without_force(folder: Path, cli: Callable[..., Any]) -> None:
    test = ("--test", "new/a.csv", "new/b.csv", "new/c.csv", "--method", "soft_voting")
    for name in ("labels.csv", "a.npz", "new/a.csv"):
        before = (folder / name).read_bytes()
        said = cli("combine", *FILES, *test, "--out", name)
        assert said.code == 2 and (folder / name).read_bytes() == before
        assert said.err.splitlines()[-1] == (
            f"committee: {name}: expected an output file that is not an input, "
            f"got a file of the input {name}. "
            "Name another file, or overwrite the input with --force."
        )
    (folder / "notes.csv").write_text("mine", encoding="utf-8")
    said = cli("combine", *FILES, *test, "--out", "notes.csv")
    assert said.code == 2 and (folder / "notes.csv").read_text(encoding="utf-8") == "mine"
    assert said.err.splitlines()[-1].endswith(
        "notes.csv: the file exists with other content. Name another file, or overwrite it with --force."
    )
    for _ in range(2):  # the same command may be repeated
        assert cli("combine", *FILES, *test, "--out", "notes.csv", "--force").code == 0
        assert cli("combine", *FILES, *test, "--out", "notes.csv").code == 0


@pytest.mark.parametrize("form", ["probabilities", "labels"])
def test_submissions_have_the_names_that_went_in(folder: Path, cli: Callable[..., Any], form: str) -> None:
    for name in ("a", "b"):
        rows = (
            (folder / "new" / f"{name}.csv")
            .read_text(encoding="utf-8")
            .replace("id,cat,dog,owl", "image_id,p0,p1,p2")
        )
        (folder / "new" / f"{name}.csv").write_text(rows, encoding="utf-8")
    rows = (folder / "labels.csv").read_text(encoding="utf-8").replace("id,label", "image_id,target")
    for place, name in enumerate(("cat", "dog", "owl")):
        rows = rows.replace(f",{name}", f",{place}")
    (folder / "truth.csv").write_text(rows, encoding="utf-8")
    options = [
        "--id-column",
        "image_id",
        "--label-column",
        "target",
        "--method",
        "soft_voting",
        "--format",
        form,
    ]
    files = ["new/a.csv", "new/b.csv"]
    said = cli("combine", *files, "--labels", "truth.csv", "--test", *files, "--out", "out.csv", *options)
    assert said.code == 0, said.err
    with (folder / "out.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == (["image_id", "0", "1", "2"] if form == "probabilities" else ["image_id", "target"])
    assert form == "probabilities" or {row[1] for row in rows} <= {"0", "1", "2"}

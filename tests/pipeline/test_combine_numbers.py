"""Combination of numbers from files: which files hold numbers, how targets match, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from safetensors.numpy import save_file

from committee.errors import CommitteeError, UsageError
from committee.pipeline.combination import Combination
from committee.pipeline.combine import combine
from committee.predictions.reading import Reading
from committee.predictions.type_of_files import type_of

ROWS = 60
IDS = [f"s{row}" for row in range(ROWS)]
TRUTH = np.random.default_rng(0).normal((50, 5), (10, 1), (ROWS, 2)).round(3)
METHODS = ["soft_voting", "weighted"]


def table(path: Path, header: str, *columns: Sequence[object]) -> Path:
    lines = [",".join(map(str, cells)) for cells in zip(IDS, *columns, strict=False)]
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three models of a target under three names, two models of two targets, and labels."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(1)
    for name, column in (("a", "prediction"), ("b", "pred"), ("c", "age")):
        values = TRUTH[:, 0] + random.normal(0, 4, ROWS).round(3)
        order = random.permutation(ROWS)
        lines = [f"{IDS[row]},{values[row]:.6g}" for row in order]
        Path(f"{name}.csv").write_text("\n".join([f"id,{column}", *lines]), encoding="utf-8")
    for name in ("two", "too"):
        table(Path(f"{name}.csv"), "id,age,size", *(TRUTH + random.normal(0, 1, TRUTH.shape)).round(3).T)
    table(Path("labels.csv"), "id,size,age", TRUTH[:, 1], TRUTH[:, 0])
    table(Path("age.csv"), "id,age", TRUTH[:, 0])
    return tmp_path


def values_of(found: Combination) -> dict[str, list[float]]:
    return {
        each.method: [each.scores.cross_fitted[m].value for m in ("rmse", "r2")] for each in found.methods
    }


def test_numbers_are_scored_and_combined_in_their_own_unit(folder: Path, caplog: Any) -> None:
    files = ["a.csv", "b.csv", "c.csv"]
    with caplog.at_level("INFO", logger="committee"):
        found = combine(files, "age.csv", methods=METHODS, test=files)
    assert caplog.messages == [
        "age.csv: labels are read as numbers (regression), since they have fractions; "
        "--task classification reads classes"
    ]
    assert (found.metric, found.task.key) == ("rmse", "regression")
    assert found.predictions.target_names == ("age",) == (found.test and found.test.target_names)
    assert list(found.best.scores.cross_fitted) == ["rmse", "mae", "r2", "spearman"]
    assert list(next(iter(found.alone.values()))) == ["rmse", "mae", "r2"]
    assert found.best.scores.gain["rmse"].proven and found.best.calibration is None
    expected = np.average(
        found.predictions.logits, axis=0, weights=[*found.best.combiner.member_weights().values()]
    )
    np.testing.assert_allclose(found.test_outputs(), expected, rtol=1e-5)
    with pytest.raises(UsageError, match="Use test_outputs"):
        found.test_probabilities()


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_change_no_weight(folder: Path, scale: float) -> None:
    found = combine(["a.csv", "b.csv", "c.csv"], "age.csv", methods=METHODS)
    for name in "abc":
        text = Path(f"{name}.csv").read_text(encoding="utf-8").splitlines()
        rows = [line.split(",") for line in text[1:]]
        scaled = [f"{name},{float(value) * scale!r}" for name, value in rows]
        Path(f"{name}.csv").write_text("\n".join([text[0], *scaled]), encoding="utf-8")
    table(Path("age.csv"), "id,age", TRUTH[:, 0] * scale)
    other = combine(["a.csv", "b.csv", "c.csv"], "age.csv", methods=METHODS)
    for first, second in zip(found.methods, other.methods, strict=True):
        assert first.combiner.member_weights() == pytest.approx(second.combiner.member_weights(), abs=1e-4)
    for name, (rmse, r2) in values_of(found).items():
        assert values_of(other)[name] == pytest.approx([rmse * scale, r2], rel=1e-4)


def write_npz(path: str, values: Any, **arrays: Any) -> str:
    np.savez(f"{path}.npz", values=values, ids=IDS, **arrays)
    return f"{path}.npz"


def write_safetensors(path: str, values: Any, **arrays: Any) -> str:
    import json

    metadata = {"ids": json.dumps(IDS)}
    if "target_names" in arrays:
        metadata["target_names"] = json.dumps(arrays.pop("target_names"))
    save_file({"values": np.ascontiguousarray(values), **arrays}, f"{path}.safetensors", metadata=metadata)
    return f"{path}.safetensors"


def write_parquet(path: str, values: Any, target_names: Sequence[str], targets: Any = None) -> str:
    columns = dict(zip(target_names, values.T, strict=True))
    own = {} if targets is None else {"label": targets[:, 0]}
    parquet.write_table(pa.table({"id": IDS, **columns, **own}), f"{path}.parquet")
    return f"{path}.parquet"


@pytest.mark.parametrize("write", [write_npz, write_safetensors, write_parquet])
def test_all_formats_give_the_same(folder: Path, write: Callable[..., str]) -> None:
    expected = values_of(combine(["two.csv", "too.csv"], "labels.csv", methods=METHODS))
    read = [np.loadtxt(f"{name}.csv", delimiter=",", skiprows=1, usecols=(1, 2)) for name in ("two", "too")]
    first = write("first", read[0], target_names=["age", "size"])
    second = write("second", read[1][:, ::-1], target_names=["size", "age"])
    found = combine([first, second], "labels.csv", methods=METHODS)
    assert found.predictions.target_names == ("age", "size")
    assert values_of(found) == expected
    # The true numbers beside the predictions, and saved folders.
    labeled = write("labeled", read[0][:, :1], target_names=["age"], targets=TRUTH[:, :1].copy())
    assert combine([labeled], methods=METHODS).predictions.require_labels("test")[:, 0].tolist() == (
        TRUTH[:, 0].tolist()
    )
    found.predictions.save("saved")
    assert values_of(combine(["saved"], methods=METHODS)) == expected


def test_true_numbers_of_an_archive_are_matched_by_name(folder: Path) -> None:
    expected = values_of(combine(["two.csv", "too.csv"], "labels.csv", methods=METHODS))
    np.savez("labels.npz", ids=IDS, targets=TRUTH[:, ::-1], target_names=["size", "age"])
    assert values_of(combine(["two.csv", "too.csv"], "labels.npz", methods=METHODS)) == expected
    np.savez("labels.npz", ids=IDS, size=TRUTH[:, 1], age=TRUTH[:, 0], wrong=np.full(ROWS, np.nan))
    assert values_of(combine(["two.csv", "too.csv"], "labels.npz", methods=METHODS)) == expected


def test_fold_files_are_joined_and_those_of_test_rows_averaged(folder: Path) -> None:
    values, files, tests = TRUTH[:, 0] + 1, [], []
    for fold in range(2):
        rows = range(fold, ROWS, 2)
        lines = [f"{IDS[row]},{values[row]},{TRUTH[row, 0]}" for row in rows]
        files.append(folder / f"net_fold{fold}.csv")
        files[-1].write_text("\n".join(["id,pred,label", *lines]), encoding="utf-8")
        tests.append(table(folder / f"net_test_fold{fold}.csv", "id,pred", [float(fold)] * ROWS))
    found = combine(files, methods=["soft_voting"], test=tests)
    assert found.predictions.members == ("net",)
    assert found.predictions.folds is not None and set(found.predictions.folds.tolist()) == {0, 1}
    assert found.best.scores.cross_fitted["rmse"].value == pytest.approx(1, rel=1e-5)
    assert found.test_outputs().tolist() == [[0.5]] * ROWS


@pytest.mark.parametrize(
    ("scores", "labels", "kind"),
    [
        ([[0.2, 0.8], [0.6, 0.4]], [1, 0], "classes"),
        ([[0.2, 0.8], [0.6, 0.4]], ["cat", "dog"], "classes"),
        ([[20, 80], [60, 40]], [1, 0], "classes"),
        ([[0.2], [0.6]], [1, 0], "classes"),
        ([[20], [60]], [1, 0], "classes"),
        ([[3.5, -2], [1.25, 4]], [1, 0], "classes"),
        ([[0.2], [0.6]], ["cat", "dog"], "classes"),
        ([[0.2], [0.6]], [0.25, 0.5], "numbers"),
        ([[20], [60]], [25, 50], "numbers"),
        ([[-1.5], [0.6]], [25, 50], "numbers"),
        ([[20], [60]], [25.5, "none"], "numbers"),
        ([[20], [60]], [25.5, ""], "numbers"),
        ([[-1.5], [0.6]], [1, 0], "in doubt"),
        ([[0.2], [0.6]], [25, 50], "in doubt"),
    ],
)
def test_what_labels_are(tmp_path: Path, scores: list[list[float]], labels: list[Any], kind: str) -> None:
    names = [f"c{place}" for place in range(len(scores[0]))]
    path = table(tmp_path / "m.csv", ",".join(["id", *names]), *zip(*scores, strict=True))
    of_labels = table(tmp_path / "labels.csv", "id,label", labels)
    both = table(tmp_path / "both.csv", ",".join(["id", *names, "label"]), *zip(*scores, strict=True), labels)
    for where in ((path, of_labels), (both, None)):
        if kind == "in doubt":
            with pytest.raises(UsageError, match=r"--task classification .* or --task regression"):
                type_of(*where)
        else:
            assert type_of(*where).name == kind
    assert type_of(path, of_labels, Reading(values_are="logits")).name == "classes"


def test_a_label_between_0_and_1_is_no_score_among_numbers(folder: Path) -> None:
    labels = np.linspace(0.1, 0.9, ROWS).round(4)
    path = table(folder / "risk.csv", "id,risk,label", labels + 0.01, labels)
    assert combine([path], methods=["soft_voting"]).metric == "rmse"
    separate = table(folder / "risks.csv", "id,label", labels)
    table(folder / "m.csv", "id,risk", labels + 0.01)
    assert combine(["m.csv"], separate, methods=["soft_voting"]).predictions.target_names == ("risk",)


def test_files_of_predict_are_read(folder: Path) -> None:
    path = table(folder / "predicted.csv", "id,age,size,model", *TRUTH.T, ["net"] * ROWS)
    assert combine([path], "labels.csv", methods=["soft_voting"]).predictions.target_names == ("age", "size")
    path = table(folder / "target.csv", "id,age,model", *TRUTH.T)
    table(Path("l.csv"), "id,model,age", *TRUTH[:, ::-1].T)
    assert combine([path], "l.csv", methods=["soft_voting"]).predictions.target_names == ("age", "model")


def test_what_files_leave_out_is_said_once(folder: Path, caplog: Any) -> None:
    path = table(folder / "ids.csv", "id,file,age", IDS, TRUTH[:, 0])
    with caplog.at_level("INFO", logger="committee"):
        combine([path], "age.csv", methods=["soft_voting"])
    assert [each for each in caplog.messages if "left out" in each] == [
        f"{path}: the columns 'file' are left out"
    ]


def change(column: list[Any], **cells: Any) -> list[Any]:
    return [cells.get(name, value) for name, value in zip(IDS, column, strict=True)]


AGES = TRUTH[:, 0].tolist()
ERRORS: dict[str, tuple[Callable[[], object], str]] = {
    "text": (
        lambda: combine(["a.csv"], table(Path("l.csv"), "id,age", change(AGES, s3="tall", s5=""))),
        "l.csv: column 'age': expected a finite number in each row, got 'tall' in the first of 2 such rows, "
        "'s3', 's5'. Leave these rows out of all files.",
    ),
    "blank": (
        lambda: combine(["a.csv"], table(Path("l.csv"), "id,age", change(AGES, s5=""))),
        "l.csv: column 'age': expected a finite number in each row, got nothing in the first of 1 such rows, "
        "'s5'. Leave these rows out of all files.",
    ),
    "infinite predictions": (
        lambda: combine([table(Path("d.csv"), "id,age", change(AGES, s4="inf"))], "age.csv"),
        "d.csv: column 'age': expected a finite number in each row, got inf in the first of 1 such rows, "
        "'s4'. Leave these rows out of all files.",
    ),
    "no column of the target": (
        lambda: combine(["a.csv"], "labels.csv"),
        "labels.csv: expected a column of true numbers for each target, 'prediction', "
        "got the columns 'size', 'age'. Name the column of the true numbers: --label-column NAME.",
    ),
    "a similar name": (
        lambda: combine([table(Path("d.csv"), "id,agee,size", *TRUTH.T)], "labels.csv", task="regression"),
        "labels.csv: expected a column of true numbers for each target, 'agee', "
        "got the columns 'size', 'age'. Did you mean 'age'?",
    ),
    "another label column": (
        lambda: combine(["a.csv"], "labels.csv", reading=Reading(label_column="sise")),
        "labels.csv: expected a column 'sise', got the columns 'size', 'age'. Did you mean 'size'?",
    ),
    "other targets": (
        lambda: combine(["two.csv", "a.csv"], "labels.csv"),
        "predictions of 'a': expected the targets of 'two', got 'prediction'.",
    ),
    "ids": (
        lambda: combine(["a.csv"], table(Path("l.csv"), "id,age", AGES[:-1])),
        "l.csv: expected a label for each sample, got none for 's59'.",
    ),
    "no labels": (
        lambda: combine(["two.csv"]),
        "two.csv: expected labels beside scores that are no probabilities, got none, beside 2 columns of "
        "predictions from ",
    ),
    "a method of classes": (
        lambda: combine(["a.csv"], "age.csv", methods=["hard_voting"]),
        "hard_voting: expected predictions of classes, got predictions of numbers. Use one of ",
    ),
    "a metric of classes": (
        lambda: combine(["a.csv"], "age.csv", metric="accuracy"),
        "metric: expected one of rmse, mae, r2, spearman, got 'accuracy'.",
    ),
    "a calibration": (
        lambda: combine(["a.csv"], "age.csv", calibrate="pooled"),
        "calibrate: expected none for numbers, got 'pooled'. Leave it out.",
    ),
    "a reading of classes": (
        lambda: combine(["a.csv"], "age.csv", task="regression", reading=Reading(values_are="logits")),
        "values_are: expected none for numbers, since it says how classes are read, got 'logits'. "
        "Leave it out.",
    ),
    "an unknown task": (
        lambda: combine(["a.csv"], "age.csv", task="regresion"),
        "task: expected one of classification, dense_regression, regression, segmentation, got 'regresion'. "
        "Did you mean 'regression'?",
    ),
    "probabilities": (
        lambda: combine([write_npz("p", TRUTH)], "age.csv", task="classification"),
        "p.npz: expected predictions of classes, got those of numbers.",
    ),
    "names of targets": (
        lambda: combine([write_npz("p", TRUTH, target_names=["age"])], "age.csv"),
        "p.npz: target_names: expected 2 names, one for each target, got 1.",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_say_what_is_wrong_and_what_to_do(folder: Path, case: str) -> None:
    act, expected = ERRORS[case]
    with pytest.raises(CommitteeError) as caught:
        act()
    assert str(caught.value).startswith(expected)


def test_the_advice_to_leave_rows_out_works(folder: Path) -> None:
    rows = [f"{name},{age}" for name, age in zip(IDS, AGES, strict=True) if name != "s5"]
    Path("l.csv").write_text("\n".join(["id,age", *rows]), encoding="utf-8")
    kept = [line for line in Path("a.csv").read_text(encoding="utf-8").splitlines() if "s5," not in line]
    Path("a.csv").write_text("\n".join(kept), encoding="utf-8")
    assert len(combine(["a.csv"], "l.csv", methods=["soft_voting"]).predictions) == ROWS - 1


def test_all_quick_methods_of_numbers_run_by_default(folder: Path) -> None:
    found = {each.method for each in combine(["a.csv", "b.csv", "c.csv"], "age.csv", budget=1.0).methods}
    assert found >= {
        "soft_voting",
        "weighted",
        "greedy_selection",
        "median",
        "trimmed_mean",
        "stacking_ridge",
    }
    assert not found & {"hard_voting", "stacking_lr", "cascade", "fallback", "subset"}


def test_constant_targets_and_two_rows(folder: Path, cli: Callable[..., Any]) -> None:
    labels = table(Path("l.csv"), "id,age", [7.5] * ROWS)
    found = combine(["a.csv", "b.csv"], labels, methods=METHODS)
    assert np.isnan(found.best.scores.cross_fitted["r2"].value)
    assert found.best.scores.cross_fitted["rmse"].value > 0
    with pytest.raises(UsageError, match="one that is defined on these rows, got 'r2'"):
        combine(["a.csv", "b.csv"], labels, methods=METHODS, metric="r2")
    said = cli("combine", "a.csv", "--labels", labels, "--method", "soft_voting").out
    assert "\nr2: not defined on these rows, whose true values are all equal.\n" in said
    few = [table(Path(f"few_{name}.csv"), "id,age", [1.5, 2.5]) for name in "ab"]
    assert len(combine(few, table(Path("l.csv"), "id,age", [1.25, 3.0]), methods=METHODS).methods) == 2


def test_the_command_line(folder: Path, cli: Callable[..., Any]) -> None:
    files = ["a.csv", "b.csv", "c.csv"]
    options = ("--labels", "age.csv", "--method", "soft_voting", "--test", *files, "--out", "out.csv")
    said = cli("combine", *files, *options).out
    assert "60 samples, 1 target, 3 members: cross-fitted scores with 95% intervals, best" in said
    found = combine(files, "age.csv", methods=["soft_voting"], test=files)
    interval = found.best.scores.cross_fitted["rmse"]
    assert f"{interval.value:.3f} [{interval.low:.2f}, {interval.high:.2f}]" in said
    assert "rmse lower by" in said and "out.csv: 60 samples combined by soft_voting" in said
    text = Path("out.csv").read_text(encoding="utf-8").splitlines()
    assert text[0] == "id,age"
    np.testing.assert_array_equal(
        np.float32([line.split(",")[1] for line in text[1:]]), found.test_outputs()[:, 0]
    )
    assert "r2" in cli("combine", *files, *options[:4], "--wide").out
    assert "--format: expected values for numbers, got 'labels'. Leave it out." in (
        cli("combine", *files, *options, "--format", "labels").err
    )

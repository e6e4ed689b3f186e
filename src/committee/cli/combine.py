"""Combine predictions of models that were trained anywhere.

This verb needs no images, no recipe and no store. Name one file per model, with the same samples in any
order: NPZ or safetensors with the arrays `ids` [N] and `probs` or `logits` [N, C], and optionally `classes`
[C]; CSV or Parquet with the columns id,p0,p1,... or id and one column per class. The file of labels has the
columns id and label, and optionally fold and group. Files <model>_fold<k> are joined to the out-of-fold rows
of one model.

Numbers are combined too: one column of any name beside the id, or one for each target, and in NPZ and
safetensors the array `values` [N] or [N, T]. Their labels have a column label, or columns with the names of
the targets. Labels with fractions are numbers; --task says what is predicted where the files do not.

Labels are class names. If they are positions in the order of the classes, say so with --labels-are positions.

The models must not have been trained on these rows: use out-of-fold predictions, or predictions of a
validation set. All methods are fitted and scored by cross-fitting. With --test, the best method (or the only
--method) combines the predictions of other rows into a CSV file. --json prints one object for one --method,
and a list, best first, otherwise.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from committee.base.registry import Family
from committee.base.text import count
from committee.cli._combination import print_combination
from committee.cli._options import add_json, method_of
from committee.cli._output import print_json
from committee.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from committee.pipeline.combination import Combination

GROUP = "Networks and predictions from elsewhere"


def add_arguments(parser: ArgumentParser) -> None:
    """Add files, labels, methods, and how to score them."""
    add = parser.add_argument
    formats: Family[object] = Family("committee.predictions.files", "prediction file format")
    suffixes = [each for name in formats.names() for each in formats.constants(name)["suffixes"]]
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help=f"predictions of one model: a file ({', '.join(suffixes)}), or a folder of saved predictions",
    )
    add("--labels", metavar="FILE", help="file of ids and labels (default: the labels in the files)")
    _add_reading(parser)
    _add_methods(parser)
    add("--test", nargs="+", metavar="FILE", help="predictions of other rows by the same models, to combine")
    _add_output(parser)
    add(
        "--folds",
        type=int,
        metavar="K",
        help="number of folds to draw for cross-fitting (default: the folds in the files, or 5)",
    )
    add(
        "--calibrate",
        default="auto",
        metavar="HOW",
        help="pooled: one temperature for the combined output; vector: a scale and a bias per class of it; "
        "members: one temperature per member, before they are combined; none (default: pooled for classes, "
        "none for numbers)",
    )
    add("--weights", metavar="NAME=W,...", help="weights for the method weighted (default: learned weights)")
    add(
        "--metric",
        default="auto",
        metavar="NAME",
        help="metric to rank by and to optimize, or python:module.function (default: log_loss of classes, "
        "rmse of numbers)",
    )
    add(
        "--space",
        default="probability",
        metavar="SPACE",
        help="space in which weighted averages: probability or logit (default: probability)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of folds and resamples (default: 0)")
    add("--wide", action="store_true", help="show the intervals of all metrics, and the metric of the fit")
    add_json(parser)


def _add_reading(parser: ArgumentParser) -> None:
    """Add what is predicted, and what the columns of the files are."""
    add = parser.add_argument
    add(
        "--task",
        metavar="TASK",
        help="classification or regression (default: what the files say; the log says why it is regression)",
    )
    add(
        "--id-column",
        metavar="NAME",
        help="column of sample ids, where a file has it, and in the output (default: id, or a usual name)",
    )
    add(
        "--label-column",
        metavar="NAME",
        help="column of labels, where a file has it, and in the output (default: label)",
    )
    add(
        "--labels-are",
        default="names",
        metavar="WHAT",
        help="names: labels are class names; positions: they are numbers in the order of the classes "
        "(default: names)",
    )
    add(
        "--values-are",
        metavar="WHAT",
        help="probabilities or logits (default: probabilities in tables; in arrays, what their name says)",
    )


def _add_output(parser: ArgumentParser) -> None:
    """Add the file of the combined test rows."""
    add = parser.add_argument
    add("--out", metavar="FILE", help="CSV file of the combined test rows (default: combined.csv)")
    add(
        "--format",
        choices=["probabilities", "labels", "values"],
        help="columns of that file: the id and one probability for each class, or id and label; values: the "
        "id and one number for each target (default: probabilities of classes, values of numbers)",
    )
    add("--force", action="store_true", help="overwrite an input, or a file with other content")


def _add_methods(parser: ArgumentParser) -> None:
    """Add the methods, and the time that may be spent on those that are not named."""
    add = parser.add_argument
    add(
        "--method",
        action="append",
        default=[],
        metavar="NAME",
        help="combiner such as weighted, or a mapping with options such as '{combiner: greedy_selection, "
        "bags: 20}'; may be repeated (default: all methods within the budget)",
    )
    add(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="time for all fits together, if no --method is named; the cheapest methods run, and the others "
        "are listed with their times (default: 10)",
    )
    add("--slow", action="store_true", help="run all methods, however long they take")


def run(arguments: Namespace) -> int:
    """Combine and print; with `--test`, write the combined rows."""
    from pathlib import Path

    from committee.pipeline.combine import combine
    from committee.pipeline.shared.budget import DEFAULT
    from committee.predictions.reading import Reading
    from committee.store.outputs import check_output

    out = _checked(arguments)
    inputs = [*arguments.files, *(arguments.test or ()), *([arguments.labels] if arguments.labels else [])]
    check_output(Path(out), inputs if arguments.test else (), force=arguments.force)
    budget = DEFAULT if arguments.budget is None else arguments.budget
    found = combine(
        arguments.files,
        arguments.labels,
        methods=[method_of(text) for text in arguments.method],
        test=arguments.test,
        folds=arguments.folds,
        calibrate=arguments.calibrate,
        weights=_weights(arguments.weights),
        metric=arguments.metric,
        space=arguments.space,
        seed=arguments.seed,
        task=arguments.task,
        budget=None if arguments.slow else budget,
        reading=Reading(
            arguments.id_column, arguments.label_column, arguments.labels_are, arguments.values_are
        ),
    )
    try:
        if found.test is not None:
            _write(found, Path(out), arguments)
    finally:  # the scores are shown even if the file is refused
        _print(found, arguments)
    if found.test is not None and not arguments.json:
        print(f"\n{out}: {count(len(found.test), 'sample')} combined by {found.best.method}")
    return 0


def _print(found: Combination, arguments: Namespace) -> None:
    if not arguments.json:
        print_combination(found, arguments.wide)
        return
    listed = [{**each.to_json(), "is_best": each is found.best} for each in found.methods]
    print_json(listed[0] if len(arguments.method) == 1 else listed)


def _checked(arguments: Namespace) -> str:
    """Return the name of the output file; raise a UsageError for options that exclude each other."""
    if arguments.out and not arguments.test:
        raise UsageError("--out", expected="--test FILES to combine", got="none")
    if arguments.budget is not None and (arguments.method or arguments.slow):
        raise UsageError(
            "--budget",
            expected="neither --method nor --slow beside it",
            got="--method" if arguments.method else "--slow",
            todo="A budget chooses among the methods that nobody named.",
        )
    return str(arguments.out or "combined.csv")


def _write(found: Combination, out: Path, arguments: Namespace) -> None:
    """Write the combined test rows."""
    from committee.predictions.files.shared.writing import write_csv, write_labels, write_values

    assert found.test is not None
    ids, names, outputs = found.test.sample_ids, found.test.class_names, found.test_outputs()
    columns = {"id_column": arguments.id_column or "id", "force": arguments.force}
    form = arguments.format or found.task.formats[0]
    if form not in found.task.formats:
        raise UsageError(
            "--format",
            expected=f"{' or '.join(found.task.formats)} for {found.task.target_type.name}",
            got=f"'{form}'",
            todo="Leave it out.",
        )
    if form == "values":
        write_values(out, ids, outputs, names, **columns)
        return
    columns["label_column"] = arguments.label_column or "label"
    if form == "labels":
        write_labels(out, ids, [names[place] for place in outputs.argmax(axis=1)], **columns)
    else:
        write_csv(out, ids, outputs, names, **columns)


def _weights(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = part.rpartition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not equals:
            raise UsageError("--weights", expected="NAME=WEIGHT,NAME=WEIGHT,...", got=f"'{part}'")
    return weights

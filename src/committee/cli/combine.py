"""Combine predictions that were made anywhere: no images, no recipe, no store.

One FILE a model, with the same samples in any order. NPZ: `ids` [N], `probs` or `logits` [N,C], `classes` [C]
where they have names. CSV and Parquet: id,p0,p1,... or id and one column a class. Labels: id,label, and
fold and group where there are. The rows must be unseen: out-of-fold, or kept apart from training.

All methods are fitted and scored on rows that the fit did not see, best first. With --test the best (or
the one --method) combines other rows of the same models into a CSV file. --json prints an object for one
--method, and a list, best first, for several or all.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from committee.cli._options import add_json
from committee.errors import UsageError

if TYPE_CHECKING:
    from committee.pipeline.combine import Combination, Combined, Method


GROUP = "Networks and predictions from elsewhere"


def add_arguments(parser: ArgumentParser) -> None:
    """Add files, labels, methods and how to score them."""
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help="predictions of one model: .npz .csv .parquet .safetensors, or a folder of saved predictions",
    )
    add("--labels", metavar="FILE", help="ids and labels; left out, the labels in the files")
    add(
        "--method",
        action="append",
        default=[],
        metavar="NAME",
        help="combiner, such as weighted, or with options as in a recipe, such as "
        "'{combiner: greedy_selection, bags: 20}'; may be repeated (all of them)",
    )
    add("--test", nargs="+", metavar="FILE", help="other rows of the same models, to combine into --out")
    add("--out", metavar="FILE", help="CSV for the combined test rows (combined.csv)")
    add("--folds", type=int, metavar="K", help="draw K folds for cross-fitting (those in the files, else 5)")
    add(
        "--calibrate",
        default="none",
        metavar="HOW",
        help="pooled: a temperature for the result; members: one for each member before it; none (none)",
    )
    add("--weights", metavar="NAME=W,...", help="given weights for the method weighted, not learned ones")
    add("--metric", default="log_loss", help="metric to rank by and to optimize (log_loss)")
    add("--space", default="probability", help="where weighted averages: probability or logit (probability)")
    add("--seed", type=int, default=0, help="draws folds and resamples (0)")
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Combine, print and, with `--test`, write."""
    from pathlib import Path

    from committee.cli._output import count, print_json
    from committee.pipeline.combine import combine
    from committee.predictions.files._write import write_csv

    if arguments.out and not arguments.test:
        raise UsageError("--out", expected="--test FILES to combine", got="none")
    found = combine(
        arguments.files,
        arguments.labels,
        methods=[_method(text) for text in arguments.method],
        test=arguments.test,
        folds=arguments.folds,
        calibrate=arguments.calibrate,
        weights=_weights(arguments.weights),
        metric=arguments.metric,
        space=arguments.space,
        seed=arguments.seed,
    )
    out = Path(arguments.out or "combined.csv")
    if found.test is not None:
        write_csv(out, found.test.sample_ids, found.test_probabilities(), found.test.class_names)
    if arguments.json:
        listed = [each.to_json() for each in found.methods]
        print_json(listed[0] if len(arguments.method) == 1 else listed)
        return 0
    _print(found)
    if found.test is not None:
        print(f"\n{out}: {count(len(found.test), 'sample')} combined by {found.best.method}")
    return 0


def _method(text: str) -> Method:
    """Return a combiner's name as it is, and a mapping of it and its options as it is in a recipe."""
    from committee.recipe.yaml_text import parse

    if not text.startswith("{"):
        return text
    described: Any = parse(text, "--method", lines=False).plain()
    return described


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


def _print(found: Combination) -> None:
    from committee.cli._output import count, print_table

    rows, metric = found.predictions, found.metric
    shown = list(dict.fromkeys((metric, "accuracy", "log_loss", "ece")))
    print_table(
        f"{count(len(rows), 'sample')}, {len(rows.class_names)} classes, "
        f"{count(len(rows.members), 'member')}: cross-fitted scores with 95% intervals, best {metric} first",
        ["method", *shown, f"{metric} of the fit", "gain over the best single member"],
        [_row(each, shown, metric) for each in found.methods],
    )
    alone = [[name, *(scores[each] for each in shown)] for name, scores in found.alone.items()]
    print_table("\neach member alone", ["member", *shown], alone)
    weights = found.best.combiner.member_weights()
    if weights:
        listed = (
            f"{name} {weight:.3f}" for name, weight in sorted(weights.items(), key=lambda each: -each[1])
        )
        print(f"\nweights of {found.best.method}: {', '.join(listed)}")


def _row(each: Combined, shown: list[str], metric: str) -> list[str]:
    cells = [each.scores.cross_fitted[name] for name in shown]
    gain = each.scores.gain.get(metric, each.scores.gain["log_loss"])
    change = each.calibration
    name = each.method if change is None else f"{each.method}, calibrated ({change['method']})"
    return [
        name,
        *(f"{cell.value:.4f} [{cell.low:.4f}, {cell.high:.4f}]" for cell in cells),
        f"{each.scores.fit[metric]:.4f}",
        gain.text,
    ]

"""Predict photos with a model of the store, or with an exported ONNX file.

NAME is a member or an ensemble, by full or short name, or the path of an .onnx file. Folders are searched
through. With --csv a run that was stopped goes on where it was. A photo that cannot be read is named and left
out; with --csv it is listed beside FILE, in one that ends in .unreadable.csv.
"""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.base.text import duration
from committee.cli._options import add_dry_run, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from committee.exporters._predictor import Predictor
    from committee.inference.answers import Answers
    from committee.inference.predict import Prediction

log = logging.getLogger("committee")


GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the model, the photos, and how to answer."""
    parser.add_argument("name", metavar="NAME", help="member, ensemble or .onnx file")
    parser.add_argument("paths", nargs="+", metavar="PATH", help="photos, and folders of photos")
    answer = parser.add_mutually_exclusive_group()
    answer.add_argument(
        "--csv", type=Path, metavar="FILE", help="append rows id,prediction,<class>,...,model to FILE"
    )
    answer.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--batch-size", type=int, default=32, metavar="N", help="most photos at once (default: 32)"
    )
    parser.add_argument(
        "--coverage",
        type=float,
        metavar="SHARE",
        help="show sets of classes that hold the right one with this probability, such as 0.95",
    )
    parser.add_argument(
        "--sets",
        choices=("lac", "aps"),
        default="lac",
        help="kind of sets: lac are smallest on average, aps grow where the model is unsure (lac)",
    )
    parser.add_argument(
        "--abstain-below", type=float, metavar="P", help="answer nothing where the best class has less"
    )
    add_store(parser)
    add_dry_run(parser)
    parser.add_argument(
        "--config", dest="recipe", metavar="FILE", help="recipe: its device and python: backbones"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="replace one value of the recipe, such as device=cpu",
    )
    parser.set_defaults(config=None)


def run(arguments: Namespace) -> int:
    """Predict; return 3 where a photo could not be read, 1 where none could."""
    from committee.base import progress
    from committee.errors import UsageError
    from committee.inference.answers import answers
    from committee.inference.predict import find_photos, open_model, predict

    if arguments.batch_size < 1:
        raise UsageError("--batch-size", expected="a number of at least 1", got=str(arguments.batch_size))
    photos = find_photos(arguments.paths)
    model = open_model(arguments.name, store_of(arguments), recipe_of(arguments))
    how = answers(
        model.class_names,
        model.provenance,
        model.name,
        coverage=arguments.coverage,
        method=arguments.sets,
        abstain_below=arguments.abstain_below,
    )
    if arguments.dry_run:
        return _print_plan(model, photos, arguments)
    if arguments.csv:
        return _to_csv(model, photos, how, arguments)
    found = predict(model, photos, batch_size=arguments.batch_size)
    predictions = list(progress.track(found, len(photos), "predicting"))
    failed = {each.id: each.reason for each in predictions if each.probabilities is None}
    (_print_json if arguments.json else _print_table)(model, predictions, how, failed)
    return _exit_code(len(predictions) - len(failed), failed)


def _to_csv(model: Predictor, photos: list[Path], how: Answers, arguments: Namespace) -> int:
    from committee.base import progress
    from committee.images.quarantine import write_rows
    from committee.inference.predict import photo_id, predict
    from committee.inference.prediction_csv import PredictionCsv

    failed: dict[str, str] = {}
    name = f"{model.name}{how.in_words()}"
    with PredictionCsv(arguments.csv, model.class_names, name, how.limit is not None) as rows:
        new = [photo for photo in photos if photo_id(photo) not in rows.done]
        skipped = len(photos) - len(new)
        found = predict(model, new, batch_size=arguments.batch_size)
        for answer in progress.track(found, len(new), "predicting"):
            if answer.probabilities is None:
                failed[answer.id] = answer.reason
                log.error("%s", answer.reason)
            else:
                shown = how.best(answer.probabilities), how.set_of(answer.probabilities)
                rows.write(answer.id, *shown, answer.probabilities)
    done = len(new) - len(failed)
    unreadable = f"{len(failed)} unreadable"
    if failed:
        listed = arguments.csv.with_suffix(".unreadable.csv")
        write_rows(listed, ("id", "reason"), list(failed.items()))
        unreadable += f", listed in {listed}"
    print(f"{arguments.csv}: {done} new, {skipped} there already, {unreadable}")
    if how.note:
        print(how.note)
    return _exit_code(done + skipped, failed)


def _print_plan(model: Predictor, photos: list[Path], arguments: Namespace) -> int:
    """Print how many photos would be predicted, and how long that takes: as long as the first, each."""
    from time import perf_counter

    from committee.inference.predict import photo_id, predict
    from committee.inference.prediction_csv import ids_in

    done = ids_in(arguments.csv) if arguments.csv else set()
    new = [photo for photo in photos if photo_id(photo) not in done]
    start = perf_counter()
    tried = len(list(predict(model, new[:1])))
    hours = (perf_counter() - start) * len(new) / max(1, tried) / 3600
    if arguments.json:
        print_json({"model": model.name, "photos": len(new), "hours": hours})
    else:
        print(f"{model.name} would predict {len(new)} of {len(photos)} photos in about {duration(hours)}.")
    return 0


def _print_json(model: Predictor, found: Iterable[Prediction], how: Answers, failed: dict[str, str]) -> None:
    predictions = []
    for each in found:
        if each.probabilities is not None:
            by_class = dict(zip(model.class_names, each.probabilities.tolist(), strict=True))
            answer: dict[str, Any] = {"id": each.id, "prediction": how.best(each.probabilities)}
            answer["probabilities"] = by_class
            if how.limit is not None:
                answer["set"] = how.set_of(each.probabilities)
            predictions.append(answer)
    left_out = [{"id": name, "reason": reason} for name, reason in failed.items()]
    result = {"model": model.name, "predictions": predictions, "failed": left_out}
    print_json({**result, "sets": how.note} if how.note else result)


def _print_table(model: Predictor, found: Iterable[Prediction], how: Answers, failed: dict[str, str]) -> None:
    from committee.errors import printable

    columns = ["photo", "prediction", "probability", *["set"] * (how.limit is not None)]
    rows = [
        [
            printable(each.id),
            how.best(each.probabilities) or "abstains",
            float(each.probabilities.max()),
            *([] if how.limit is None else [", ".join(how.set_of(each.probabilities) or ())]),
        ]
        for each in found
        if each.probabilities is not None
    ]
    print_table("", columns, rows)
    if how.note:
        print(how.note)
    for reason in failed.values():
        log.error("%s", reason)


def _exit_code(answered: int, failed: dict[str, str]) -> int:
    if failed:
        return 3 if answered else 1
    return 0

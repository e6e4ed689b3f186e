"""Predict images with a model of the store or an exported file.

NAME is a member or an ensemble of the store, in full or in short, or the path of an exported file or of a
bundle, or its address, such as s3://bucket/model.onnx. A folder that has the name of a model of the store is
written ./NAME. Folders of images are searched recursively. With --csv, an interrupted run continues where it
stopped; a file with predictions of another model is refused, and an image that has changed is predicted
again. An image that cannot be read is reported and skipped; with --csv it is also listed in a second file,
FILE with the ending .unreadable.csv.

With --parquet, predictions are written to the Parquet files of a folder, which may be at an object storage,
and --executor ray predicts them on a Ray cluster.

A model of maps predicts each pixel of an image, large images in overlapping tiles. --out writes the maps.
"""

from __future__ import annotations

import logging
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.base.text import duration
from committee.cli._maps import Keeper, add_maps, check_maps, tiles_of, tiles_suffix
from committee.cli._options import (
    add_config,
    add_dry_run,
    add_store,
    add_uncertainty,
    duration_of,
    store_of,
)
from committee.cli._output import print_json, print_table
from committee.cli._parts import add_parts, check_parts, recipe_here, to_parts, undone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from committee.inference.origins import Origins
    from committee.inference.photos import Photo
    from committee.inference.predict import Prediction
    from committee.inference.rules import Rule
    from committee.models.predictor import Predictor

log = logging.getLogger("committee")


GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the model, the images, and the form of the predictions."""
    parser.add_argument("name", metavar="NAME", help="member, ensemble, exported file or bundle")
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="images, folders of images, and URLs of them such as s3://bucket/folder",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--csv", type=Path, metavar="FILE", help="append a row id,...,model for each image to FILE"
    )
    output.add_argument("--json", action="store_true", help="print the result as JSON")
    add_parts(output, parser)
    add_maps(output, parser)
    parser.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="N",
        help="largest number of images in one batch (default: 32)",
    )
    parser.add_argument(
        "--time-limit",
        type=duration_of,
        default=60.0,
        metavar="TIME",
        help="time in which the model has to answer for one image, such as 5s or 2m; inf is no limit "
        "(default: 60s)",
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        default=None,
        help="load the networks of a model of the store one after the other, the next one while one runs "
        "(default: if they do not fit in the memory that is free)",
    )
    parser.add_argument(
        "--engine",
        default="auto",
        metavar="NAME",
        help="engine of a model of the store, such as onnxruntime or channels_last:bf16; eager: the model as "
        "it is (default: auto, the one that committee optimize has stored, if it saves time)",
    )
    add_uncertainty(parser)
    add_store(parser)
    add_dry_run(parser)
    add_config(parser, "device", "device=cpu")


def run(arguments: Namespace) -> int:
    """Predict; return 3 if some images could not be read, 1 if none could."""
    from committee.base import progress
    from committee.errors import UsageError
    from committee.inference.photos import find_photos
    from committee.inference.predict import open_model, predict
    from committee.inference.rules import as_needed, rule_of
    from committee.inference.wanted import Wanted

    if arguments.batch_size < 1:
        raise UsageError("--batch-size", expected="a number of at least 1", got=str(arguments.batch_size))
    check_parts(arguments)
    photos = find_photos(arguments.paths)
    wanted = Wanted(arguments.engine, len(photos), arguments.batch_size)
    wanted = wanted.for_options(std=arguments.std, sets=arguments.sets)
    store, recipe = store_of(arguments), recipe_here(arguments)
    model = open_model(arguments.name, store, recipe, arguments.stream, wanted)
    check_maps(model, arguments)
    rule = rule_of(
        model,
        coverage=arguments.coverage,
        method=arguments.sets,
        abstain_below=arguments.abstain_below,
        std=arguments.std,
    )
    model = as_needed(model, rule)
    if arguments.dry_run:
        return _print_plan(model, photos, rule, arguments)
    if arguments.parquet:
        report = to_parts(model, photos, rule, arguments, _settings(arguments))
        return _exit_code(report.images - report.failed, report.failed)
    if arguments.csv:
        return _to_csv(model, photos, rule, arguments)
    found = predict(model, photos, **_settings(arguments))
    tracked = progress.track(found, len(photos), "predicting")
    done, failed = _summarized(tracked, rule.entry if arguments.json else rule.shown)
    (_print_json if arguments.json else _print_table)(model, done, rule, failed)
    return _exit_code(len(done), len(failed))


def _settings(arguments: Namespace) -> dict[str, Any]:
    """Return the options of `predict` that the arguments give."""
    return {
        "batch_size": arguments.batch_size,
        "time_limit": arguments.time_limit,
        **tiles_of(arguments),
    }


def _summarized(
    found: Iterable[Prediction], summary: Callable[[Any], Any]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a summary of each image, so that maps are not kept, and the reasons of those that failed."""
    done: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for each in found:
        if each.probabilities is None:
            failed[each.id] = each.reason
        else:
            done[each.id] = summary(each.probabilities)
    return done, failed


def _to_csv(model: Predictor, photos: list[Photo], rule: Rule, arguments: Namespace) -> int:
    from committee.base import progress
    from committee.inference.photos import photo_id
    from committee.inference.predict import predict
    from committee.inference.prediction_csv import PredictionCsv, write_unreadable

    failed: dict[str, str] = {}
    name, origins = f"{model.name}{rule.suffix()}{tiles_suffix(arguments)}", _origins(photos, arguments)
    files = Keeper(model, photos, arguments)
    with PredictionCsv(arguments.csv, rule.header(), name, origins) as rows:
        new = [photo for photo in photos if photo_id(photo) not in rows.done]
        skipped = len(photos) - len(new)
        found = predict(model, new, **_settings(arguments))
        for each in progress.track(found, len(new), "predicting"):
            if each.probabilities is None:
                failed[each.id] = each.reason
                log.error("%s", each.reason)
            else:
                files.keep(each, each.id in rows.renewed)
                rows.write(each.id, rule.cells(each.probabilities))
    files.close()
    done = len(new) - len(failed)
    unreadable = f"{len(failed)} unreadable"
    if failed:
        listed = arguments.csv.with_suffix(".unreadable.csv")
        write_unreadable(listed, failed)
        unreadable += f", listed in {listed}"
    print(f"{arguments.csv}: {done} new, {skipped} already in the file, {unreadable}")
    if rule.note:
        print(rule.note)
    return _exit_code(done + skipped, len(failed))


def _origins(photos: list[Photo], arguments: Namespace) -> Origins:
    from committee.inference.origins import Origins, model_digest
    from committee.inference.photos import photo_id

    model = model_digest(arguments.name, store_of(arguments))
    return Origins(arguments.csv, model, {photo_id(photo): photo for photo in photos})


def _print_plan(model: Predictor, photos: list[Photo], rule: Rule, arguments: Namespace) -> int:
    """Print how many images would be predicted, and the time that takes, estimated from the first one."""
    from time import perf_counter

    from committee.inference.photos import photo_id
    from committee.inference.predict import predict
    from committee.inference.prediction_csv import ids_in

    if arguments.parquet:
        new = undone(model, photos, rule, arguments)
    else:
        done = ids_in(arguments.csv) if arguments.csv else set()
        done -= _origins(photos, arguments).stale(done) if done else set()
        new = [photo for photo in photos if photo_id(photo) not in done]
    start = perf_counter()
    tried = len(list(predict(model, new[:1], **_settings(arguments))))
    hours = (perf_counter() - start) * len(new) / max(1, tried) / 3600
    if arguments.json:
        print_json({"model": model.name, "photos": len(new), "hours": hours})
    else:
        print(f"{model.name} would predict {len(new)} of {len(photos)} images in about {duration(hours)}.")
    return 0


def _print_json(model: Predictor, done: dict[str, Any], rule: Rule, failed: dict[str, str]) -> None:
    predictions = [{"id": name, **entry} for name, entry in done.items()]
    left_out = [{"id": name, "reason": reason} for name, reason in failed.items()]
    result = {"model": model.name, "predictions": predictions, "failed": left_out}
    print_json(result | rule.facts())


def _print_table(model: Predictor, done: dict[str, Any], rule: Rule, failed: dict[str, str]) -> None:
    from committee.errors import printable

    rows = [[printable(name), *cells] for name, cells in done.items()]
    print_table("", ["image", *rule.columns()], rows)
    if rule.note:
        print(rule.note)
    for reason in failed.values():
        log.error("%s", reason)


def _exit_code(predicted: int, failed: int) -> int:
    if failed:
        return 3 if predicted else 1
    return 0

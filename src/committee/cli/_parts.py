"""Options of `committee predict` for large sets of images: Parquet files in parts, and a Ray cluster."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from committee.base.text import count
from committee.cli._maps import tiles_suffix
from committee.cli._options import recipe_of, store_of
from committee.errors import UsageError, printable

if TYPE_CHECKING:
    from committee.inference.into_parts import Executor, PartsReport
    from committee.inference.part_tables import PartTables
    from committee.inference.photos import Photo
    from committee.inference.rules import Rule
    from committee.models.predictor import Predictor
    from committee.recipe.model import Recipe

EXECUTORS = ("in_process", "ray")


def add_parts(output: Any, parser: ArgumentParser) -> None:
    """Add `--parquet` to the outputs, and the options of parts and of Ray."""
    output.add_argument(
        "--parquet",
        metavar="FOLDER",
        help="write part-00000.parquet, ... into FOLDER, which may be a URL such as s3://bucket/answers; an "
        "interrupted run continues with the parts that are missing",
    )
    parser.add_argument(
        "--rows-per-part",
        type=int,
        metavar="N",
        help="with --parquet, images of a part (default: 1000, or 100 with maps)",
    )
    parser.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="in_process",
        help="with --parquet, who predicts: this process (the default), or a Ray cluster",
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="with --executor ray, the head of the cluster (default: $RAY_ADDRESS, or that of this machine)",
    )
    parser.add_argument(
        "--cpus",
        type=int,
        metavar="N",
        help="with --executor ray, processors and threads of each copy of the model (default: 1)",
    )


def check_parts(arguments: Namespace) -> None:
    """Refuse options without those that they need.

    Raises
    ------
    UsageError
        An option lacks another one, or does not apply to Ray.
    """
    on_ray = arguments.executor == "ray"
    if on_ray and not arguments.parquet:
        raise UsageError("--executor ray", expected="--parquet FOLDER as well", got="none", todo="Add it.")
    if arguments.rows_per_part is not None and not arguments.parquet:
        raise UsageError("--rows-per-part", expected="--parquet as well", got="none", todo="Add it.")
    for name in ("address", "cpus"):
        if getattr(arguments, name) is not None and not on_ray:
            raise UsageError(f"--{name}", expected="--executor ray as well", got="none", todo="Add it.")
    if arguments.cpus is not None and arguments.cpus < 1:
        raise UsageError("--cpus", expected="a number of at least 1", got=str(arguments.cpus))
    if on_ray and arguments.stream:
        raise UsageError(
            "--stream",
            expected="a model that each machine of the cluster holds in memory",
            got="--executor ray",
            todo="Leave one of the options out.",
        )
    if on_ray:
        _ray_device(arguments)


def recipe_here(arguments: Namespace) -> Recipe:
    """Return the recipe; a model that is sent to a cluster is opened on the processor of this machine."""
    recipe = recipe_of(arguments)
    return recipe.model_copy(update={"device": "cpu"}) if arguments.executor == "ray" else recipe


def to_parts(
    model: Predictor,
    photos: Sequence[Photo],
    rule: Rule,
    arguments: Namespace,
    settings: dict[str, Any],
) -> PartsReport:
    """Predict images to the parts that are missing, and print what was done."""
    from committee.inference.into_parts import predict_parts
    from committee.inference.origins import model_digest

    report = predict_parts(
        model,
        photos,
        arguments.parquet,
        rule,
        model_digest(arguments.name, store_of(arguments)),
        _executor(model, arguments, settings),
        rows=arguments.rows_per_part,
        name=_name(model, rule, arguments),
    )
    there = f"{report.images - report.new} already in the folder"
    unreadable = f"{report.failed} unreadable" + ", with the reason in the column error" * (report.failed > 0)
    folder = printable(arguments.parquet)
    print(f"{folder}: {report.new} new, {there}, {unreadable}, in {count(report.parts, 'part')}")
    if rule.note:
        print(rule.note)
    return report


def undone(model: Predictor, photos: Sequence[Photo], rule: Rule, arguments: Namespace) -> list[Photo]:
    """Return the images of the parts that are missing."""
    from committee.inference.into_parts import parts_of
    from committee.inference.origins import model_digest
    from committee.inference.part_tables import PartTables

    tables: PartTables = PartTables(model, rule, _name(model, rule, arguments))
    digest = model_digest(arguments.name, store_of(arguments))
    parts = parts_of(tables, photos, arguments.parquet, digest, arguments.rows_per_part)
    return [photos[place] for part in parts.missing() for place in parts.range_of(part)]


def _name(model: Predictor, rule: Rule, arguments: Namespace) -> str:
    return f"{model.name}{rule.suffix()}{tiles_suffix(arguments)}"


def _executor(model: Predictor, arguments: Namespace, settings: dict[str, Any]) -> Executor:
    from committee.inference.into_parts import InProcess

    if arguments.executor == "in_process":
        return InProcess(settings)
    from committee.inference.on_ray import OnRay
    from committee.inference.shipping import ship

    recipe, device = recipe_of(arguments), _ray_device(arguments)
    shipped = ship(arguments.name, store_of(arguments), recipe, model)
    return OnRay(shipped, settings, arguments.address, device, arguments.cpus or 1)


def _ray_device(arguments: Namespace) -> str:
    """Return the device of workers; a named engine was prepared on the processor of this machine."""
    from committee.inference.wanted import Wanted

    device = recipe_of(arguments).device
    if not Wanted(arguments.engine).is_named:
        return device
    if device not in ("auto", "cpu"):
        raise UsageError(
            f"--engine {arguments.engine}",
            expected="--set device=cpu with --executor ray",
            got=f"device {device}",
            todo="Leave one of the options out.",
        )
    return "cpu"

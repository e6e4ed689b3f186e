"""Import the models that trainers left in a folder.

Recognized are runs of Lightning, timm and torchvision's reference scripts, checkpoints of folds with
out-of-fold predictions (ckpt/<model>_fold<k>.pt, oof/<model>_fold<k>.csv), other checkpoints, predictions
without networks, and folders with one folder per backbone. --dry-run prints what is recognized as what, and
what would be done; it reads all files and compares all tensors, and writes nothing.

A network needs images: those of the store, or dataset.path of the recipe. Its architecture is the one that
its files or names say, if the weights fit it. Predictions without networks are stored in STORE/kfold;
committee combine takes these folders. Nothing in the files is executed.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from committee.cli._foreign import add_preprocessing, add_seen, described
from committee.cli._options import add_dry_run, add_json, add_set, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table, print_text
from committee.errors import UsageError, missing

if TYPE_CHECKING:
    from committee.pipeline.importing.wanted import Imported, Wanted

GROUP = "Networks and predictions from elsewhere"
PLACES = {
    "deploy": "exported models",
    "ckpt": "checkpoints",
    "kfold": "predictions of held-out rows",
    "metrics": "metrics",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the folders, and what their files do not say."""
    add = parser.add_argument
    add("folder", nargs="?", type=Path, metavar="FOLDER", help="folder that trainers left")
    add("--config", metavar="FILE", help="recipe file (default: ./recipe.yaml if it exists)")
    add_set(parser, "replace one value of the recipe, such as dataset.path=FOLDER; may be repeated")
    add_store(parser)
    for place, what in PLACES.items():
        add(
            f"--{place}-dir",
            type=Path,
            metavar="DIR",
            help=f"folder of {what}, with one folder per backbone (default: ${place.upper()}_DIR)",
        )
    add(
        "--backbone",
        action="append",
        default=[],
        metavar="[NAME=]BACKBONE",
        help="architecture of model NAME, or of all models; may be repeated (default: what the files say)",
    )
    add(
        "--classes",
        type=Path,
        metavar="FILE",
        help="names of classes or targets in the order of the outputs: one per line, or a JSON list "
        "(default: what labels or settings beside the predictions say, or the order in which the trainer "
        "sorts)",
    )
    add_preprocessing(parser, "what the files say, or dataset.img_size")
    add_seen(parser, "unknown, the same as all, except with out-of-fold predictions of all training images")
    add_dry_run(parser)
    add_json(parser)
    parser.set_defaults(recipe=None, trusted=[])


def run(arguments: Namespace) -> int:
    """Import and print; return 3 if a model is left out, and 1 if all are."""
    from committee.pipeline.importing.files import Files
    from committee.pipeline.importing.models import import_models

    files = Files(arguments.folder, _places(arguments))
    recipe, store = recipe_of(arguments), store_of(arguments)
    models, unused = import_models(recipe, store, files, _wanted(arguments), dry_run=arguments.dry_run)
    if arguments.json:
        print_json({"models": [asdict(model) for model in models], "not_used": unused})
    else:
        _print(models, unused, store.root)
    lacking = [model for model in models if model.state == "left out"]
    return 0 if not lacking or arguments.dry_run else 3 if len(lacking) < len(models) else 1


def _places(arguments: Namespace) -> dict[str, Path]:
    """Return the folders of backbones that options or, without FOLDER, environment variables name."""
    found = {}
    for place in PLACES:
        given = getattr(arguments, f"{place}_dir")
        if given is None and arguments.folder is None:
            given = os.environ.get(f"{place.upper()}_DIR")
        if given:
            found[place] = Path(given)
    if arguments.folder is None and not found:
        raise UsageError(
            "import",
            expected="a folder",
            got="none",
            todo="Run: committee import FOLDER --dry-run, or name folders with --ckpt-dir and --kfold-dir.",
        )
    for folder in filter(None, (arguments.folder, *found.values())):
        if not folder.is_dir():
            raise missing(UsageError, folder, "Name the folder that the trainer wrote.", "folder")
    return found


def _wanted(arguments: Namespace) -> Wanted:
    from committee.pipeline.importing.wanted import Wanted

    pairs = [text.rpartition("=") for text in arguments.backbone]
    return Wanted(
        {name: backbone for name, _, backbone in pairs},
        arguments.classes,
        **described(arguments),
    )


def _print(models: list[Imported], unused: dict[str, str], store: Path) -> None:
    columns = ["model", "recognized as", "networks", "predictions", "backbone", "result"]
    rows = [
        [
            model.name,
            model.layout,
            ", ".join(model.networks),
            ", ".join(model.predictions),
            model.backbone,
            model.state,
        ]
        for model in models
    ]
    print_table("Models", columns, rows)
    for model in models:
        for note in model.notes:
            print_text(note if note.startswith(f"{model.name}:") else f"{model.name}: {note}")
    print_table("Files that are not used", ["file", "reason"], list(unused.items()))
    if any(model.state == "stored" for model in models):
        print(f"Combine the stored predictions: committee combine {store.as_posix()}/kfold/*/oof")

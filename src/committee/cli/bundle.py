"""Write a model as a folder or zip file with all that it needs.

A bundle is a folder, or a zip file, with the ONNX file, the names of the classes, a script that predicts
photos with numpy, Pillow and onnxruntime alone, a model card for the Hugging Face hub, a page that runs the
model in a browser, a model repository for NVIDIA Triton, and checksums. NAME is a member or an ensemble, in
full or in short; it is exported first, unless its ONNX file is up to date.

The page needs the npm package onnxruntime-web. --web-runtime npm downloads it; nothing else uses the network.

--check verifies a bundle that someone else made: nothing outside its folder is written or read, and a file
that was altered, added or removed is named. `committee predict` opens a bundle after the same checks.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from committee.cli._options import add_config, add_json, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table

GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the model, the output, and what the bundle contains."""
    add = parser.add_argument
    add("name", nargs="?", metavar="NAME", help="member or ensemble to bundle")
    add(
        "--out",
        type=Path,
        metavar="PATH",
        help="folder to write, or a zip file if it ends in .zip (default: bundles/NAME in the store)",
    )
    add("--force", action="store_true", help="replace a bundle with other content at --out")
    add(
        "--format",
        default="onnx",
        metavar="FORMAT",
        help="format of the model: onnx, or such as onnx:precision=float16 (default: onnx)",
    )
    add(
        "--web-runtime",
        default="none",
        metavar="npm|FOLDER|none",
        help="where onnxruntime-web for the page comes from: a download with npm, a folder that has the "
        "package, such as node_modules, or nowhere (default: none)",
    )
    add(
        "--license",
        default="",
        metavar="ID",
        help="license of the weights for the model card, such as apache-2.0 (default: model_card.license of "
        "the recipe)",
    )
    add("--check", type=Path, metavar="PATH", help="verify this bundle, instead of writing one")
    add_store(parser)
    add_config(parser, "data set", "dataset.path=photos")
    add_json(parser)


def run(arguments: Namespace) -> int:
    """Write or verify a bundle, and print its files."""
    from committee.errors import UsageError
    from committee.pipeline.bundling.reading import check

    if (arguments.name is None) == (arguments.check is None):
        got = "neither" if arguments.name is None else "both"
        raise UsageError("bundle", expected="NAME or --check PATH", got=got)
    if arguments.check is not None:
        found = check(arguments.check)
    else:
        from committee.pipeline.bundle import bundle

        found = bundle(
            recipe_of(arguments),
            store_of(arguments),
            arguments.name,
            arguments.out,
            format=arguments.format,
            web_runtime=arguments.web_runtime,
            license=arguments.license,
            force=arguments.force,
        )
    if arguments.json:
        print_json({"name": found.name, "path": str(found.path), "files": found.files})
    else:
        done = "is intact" if arguments.check else "is written"
        rows = [[name, size / 1e6] for name, size in found.files.items()]
        print_table(f"The bundle {found.path.as_posix()} of {found.name} {done}", ["file", "MB"], rows)
    return 0

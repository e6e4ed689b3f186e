"""Upload a package to the Hugging Face hub.

NAME is a member or an ensemble of the store that `committee export` has packaged, in full or in short, or the
folder of a package elsewhere. Its model card is written again if its facts have changed, all files are
compared with their checksums, and those that are listed there are uploaded in one commit. A new repository is
private unless --public is given.

The token is that of huggingface_hub: the variable HF_TOKEN, or that of `hf auth login`. --dry-run shows what
would be uploaded, without the network.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from committee.cli._options import add_dry_run, add_json, add_set, add_store, recipe_of, store_of
from committee.cli._output import print_json, print_table, print_text

GROUP = "Results"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the model, the repository, and whether it is new and public."""
    add = parser.add_argument
    add("name", metavar="NAME", help="member or ensemble, or the folder of a package")
    add("--repo", required=True, metavar="ORG/NAME", help="repository on the hub")
    add("--public", action="store_true", help="make a new repository public (default: private)")
    add("--update", action="store_true", help="commit to a repository that exists")
    add("--message", default="", metavar="TEXT", help="message of the commit")
    add_store(parser)
    add("--config", dest="recipe", metavar="FILE", help="recipe, for its section model_card")
    add_set(parser, "replace one value of the recipe, such as model_card.license=mit")
    add_dry_run(parser)
    add_json(parser)
    parser.set_defaults(config=None, trusted=[])


def run(arguments: Namespace) -> int:
    """Upload the package, and print its files and its address."""
    from committee.pipeline.push import prepare, push

    found = prepare(
        recipe_of(arguments),
        store_of(arguments),
        arguments.name,
        arguments.repo,
        public=arguments.public,
    )
    if not arguments.dry_run:
        found = push(found, update=arguments.update, message=arguments.message)
    if arguments.json:
        print_json({**vars(found), "folder": str(found.folder)})
        return 0
    kind = "private" if found.private else "public"
    title = f"{found.folder.as_posix()} would go to the {kind} repository {found.repo}"
    title = f"{found.folder.as_posix()} is at {found.url}" if found.url else title
    print_table(title, ["file", "MB"], [[name, size / 1e6] for name, size in found.files.items()])
    if not found.url:
        print_text("Nothing was sent.")
    return 0

"""Upload of a package to the Hugging Face hub: only files whose checksums are right, in one commit."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from committee.base.progress import watched
from committee.errors import DataError, StoreError, UsageError
from committee.exporters.base import CHECKSUMS, REDO
from committee.pipeline.discover import require_store
from committee.pipeline.model_card.package import write_card
from committee.pipeline.shared.package import README, STATUS, package_facts
from committee.recipe.model import Recipe
from committee.store.copies import fetch
from committee.store.hashes import hash_file
from committee.store.inside import inside
from committee.store.layout import Store

Result = TypeVar("Result")
REPO = r"\w[\w.-]*/\w[\w.-]*(?<![.-])"
REASONS = {
    401: ("a token that the hub accepts", "Set HF_TOKEN to a valid token, or log in with: hf auth login"),
    403: ("a token that may write to {repo}", "Use a token with write access to this organization or user."),
    429: ("fewer requests", "Wait some minutes, and push again with --update."),
}
"""Status of HTTP -> what was expected, and what to do."""


@dataclass(frozen=True)
class Upload:
    """A package on its way to the hub.

    Attributes
    ----------
    name : str
        The model.
    folder : Path
        The package.
    repo : str
        `ORG/NAME` on the hub.
    private : bool
        Whether a new repository is private.
    files : mapping of str to int
        Size in bytes of each file.
    url : str
        The repository; empty before the upload.

    See Also
    --------
    push : Makes one.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.pipeline.push import Upload
    >>> Upload("vote", Path("deploy/vote"), "me/vote", True, {"README.md": 4000}).url
    ''
    """

    name: str
    folder: Path
    repo: str
    private: bool
    files: Mapping[str, int]
    url: str = ""


def prepare(recipe: Recipe, store: Store, name: str, repo: str, *, public: bool = False) -> Upload:
    """Return what `push` would upload; nothing is sent.

    The model card of a package of the store is written again first, if its facts have changed. All files of
    the package are compared with its checksums; files that are not listed there are not uploaded.

    Parameters
    ----------
    recipe : Recipe
        Its section `model_card` has the license and the intended use.
    store : Store
    name : str
        A member or an ensemble, by full or short name, or the folder of a package elsewhere.
    repo : str
        `ORG/NAME` on the hub.
    public : bool
        Whether anybody may see a new repository.

    Raises
    ------
    UsageError
        There is no such package, or the name of the repository is not valid.
    UnknownNameError
        The store has no such model.
    StoreError
        A file is missing or was altered.
    """
    _check_repo(repo)
    folder = Path(name)
    if not (folder / STATUS).is_file():
        if folder.is_dir() and folder.parts[1:]:
            raise _no_package(name, REDO)
        require_store(store)
        name = store.resolve(name)
        folder = store.deploy(name)
        if not (folder / STATUS).is_file():
            raise _no_package(name, f"Write it with: committee export --model-name {name}")
        with store.hold():
            write_card(recipe, store, name, folder)
    fetch(folder)
    facts = package_facts(folder)
    files = _verified(folder, {str(each): str(found) for each, found in facts[CHECKSUMS].items()})
    return Upload(str(facts[STATUS]["name"]), folder, repo, not public, files)


def push(upload: Upload, *, update: bool = False, message: str = "") -> Upload:
    """Upload a package to the Hugging Face hub, all files in one commit.

    The address of the hub is `HF_ENDPOINT`, and the token that of `huggingface_hub`: `HF_TOKEN`, or that of
    `hf auth login`. It is in no message.

    Parameters
    ----------
    upload : Upload
        From `prepare`.
    update : bool
        Whether the repository may exist. Files in it that the package lacks stay.
    message : str
        The message of the commit.

    Returns
    -------
    Upload
        With its `url`.

    Raises
    ------
    UsageError
        There is no token, or the repository exists and `update` is not set.
    DataError
        The hub cannot be reached, or refuses the upload.

    See Also
    --------
    prepare : Verifies the package.
    """
    from huggingface_hub import CommitOperationAdd, HfApi, get_token
    from huggingface_hub.utils.tqdm import disable_progress_bars

    token = get_token()
    if not token:
        raise UsageError(
            "push",
            expected="a token of the Hugging Face hub",
            got="none",
            todo="Set HF_TOKEN, or log in with: hf auth login",
        )
    if not watched():
        disable_progress_bars()
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    repo, operations = upload.repo, [CommitOperationAdd(each, upload.folder / each) for each in upload.files]
    exists = _asked(lambda: bool(api.repo_exists(repo)), upload, token)
    if exists and not update:
        raise UsageError(
            repo,
            expected="a new repository",
            got="one that exists",
            todo="Name another with --repo, or commit to this one with --update.",
        )
    if not exists:
        _asked(lambda: api.create_repo(repo, private=upload.private), upload, token)
    text = message or f"{upload.name}, exported by committee"
    _asked(lambda: api.create_commit(repo, operations, commit_message=text), upload, token)
    url = f"{api.endpoint.rstrip('/')}/{repo}"
    return Upload(upload.name, upload.folder, repo, upload.private, upload.files, url)


def _check_repo(repo: str) -> None:
    if not re.fullmatch(REPO, repo, re.ASCII) or len(repo) > 96 or "--" in repo or ".." in repo:
        expected = "ORG/NAME, at most 96 letters, digits, dots, dashes and underscores"
        raise UsageError("--repo", expected=expected, got=f"'{repo}'")


def _no_package(name: str, todo: str) -> UsageError:
    return UsageError(name, expected="a package", got="none", todo=todo)


def _verified(folder: Path, sums: Mapping[str, str]) -> dict[str, int]:
    """Return the sizes of the files of a package, and of its checksums, after each was compared."""
    if README not in sums:
        raise StoreError(str(folder), expected="a package with a model card", got="one without", todo=REDO)
    for name, checksum in sums.items():
        path = inside(folder, name)
        if not path.is_file() or hash_file(path) != checksum:
            got = "another" if path.is_file() else "none"
            raise StoreError(str(path), expected=f"the file in {CHECKSUMS}", got=got, todo=REDO)
    return {name: (folder / name).stat().st_size for name in sorted([*sums, CHECKSUMS])}


def _asked(request: Callable[[], Result], upload: Upload, token: str) -> Result:
    """Make a request; an error of the hub or of the network is one sentence without the token."""
    try:
        return request()
    except Exception as error:
        raise _error(error, upload.repo, token) from None


def _error(error: BaseException, repo: str, token: str) -> DataError:
    error = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error  # of one file
    response: Any = getattr(error, "response", None)
    text = (str(error).strip().splitlines() or [type(error).__name__])[0].replace(token, "***")
    if response is None:
        todo = "Check the connection and HF_ENDPOINT, and push again with --update."
        return DataError(repo, expected="the hub to answer", got=text, todo=todo)
    status = int(response.status_code)
    expected, todo = REASONS.get(status, ("the hub to accept the package", "Push again with --update."))
    return DataError(repo, expected=expected.format(repo=repo), got=f"{status}: {text}", todo=todo)

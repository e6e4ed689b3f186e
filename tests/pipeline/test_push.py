"""Packages go to the hub in one commit, with their checksums verified, and errors are one sentence."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from committee.store.manifest import hash_file

TOKEN = "hf_SecretOfTheUser"


class Hub(ThreadingHTTPServer):
    """A stand-in of the hub: the part of its HTTP interface that uploads use."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.created: list[dict[str, Any]] = []
        self.large: dict[str, bytes] = {}
        self.status = 200

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, value: Any, status: int = 200) -> None:
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        self.wfile.write(text)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def do_GET(self) -> None:
        repo = self.path.removeprefix("/api/models/").partition("?")[0]
        known = repo in self.server.repos
        self.answer({"id": repo} if known else {"error": "not found"}, 200 if known else 404)

    def do_PUT(self) -> None:
        self.server.large[self.path.rpartition("/")[2]] = self.body()
        self.answer({})

    def do_POST(self) -> None:
        body, hub = self.body(), self.server
        assert self.headers["Authorization"] == f"Bearer {TOKEN}"
        if hub.status != 200:
            self.answer({"error": f"token {TOKEN} is refused"}, hub.status)
        elif self.path == "/api/repos/create":
            hub.created.append(json.loads(body))
            name = "{organization}/{name}".format(**hub.created[-1])
            hub.repos[name] = {}
            self.answer({"url": f"{hub.address}/{name}"})
        elif "/preupload/" in self.path:
            files = json.loads(body)["files"]
            modes = {True: "lfs", False: "regular"}
            answers = (
                {"path": each["path"], "uploadMode": modes[each["size"] > 10**5], "shouldIgnore": False}
                for each in files
            )
            self.answer({"files": list(answers)})
        elif self.path.endswith("/objects/batch"):
            objects = json.loads(body)["objects"]
            actions = ({"upload": {"href": f"{hub.address}/large/{each['oid']}"}} for each in objects)
            found = [{**each, "actions": its} for each, its in zip(objects, actions, strict=True)]
            self.answer({"transfer": "basic", "objects": found})
        elif "/commit/" in self.path:
            lines = [json.loads(line) for line in body.splitlines()]
            repo = self.path.removeprefix("/api/models/").partition("/commit/")[0]
            files = hub.repos[repo]
            for line in lines:
                its = line["value"]
                if line["key"] == "file":
                    files[its["path"]] = base64.b64decode(its["content"])
                elif line["key"] == "lfsFile":
                    files[its["path"]] = hub.large[its["oid"]]
            url = f"{hub.address}/{repo}/commit/{'0' * 40}"
            self.answer({"commitUrl": url, "commitOid": "0" * 40})
        else:
            self.answer({"errors": [], "warnings": []})  # the metadata of a card


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    server = Hub()
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its servers speak a protocol of their own
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def package(once: Callable[..., Path], trained_root: Path, tiny_settings: list[str]) -> Path:
    """A store with a package of its member test_vit."""
    import shutil

    from committee.cli.main import main

    options = [word for value in tiny_settings for word in ("--set", value)]

    def fill(folder: Path) -> None:
        root = shutil.copytree(trained_root, folder / "store")
        words = ["--model-name", "test_vit", "--formats", "state_dict", "--store", str(root), "-q"]
        assert main(["export", *options, *words]) == 0

    return once("packaged-vit", fill) / "store"


@pytest.fixture
def words(package: Path, tmp_path: Path) -> tuple[object, ...]:
    import shutil

    root = shutil.copytree(package, tmp_path / "store")
    return ("push", "test_vit", "--repo", "me/digits", "--store", root)


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # of huggingface_hub, by httpx
def test_a_package_goes_to_a_new_private_repository(
    hub: Hub, words: tuple[object, ...], cli: Callable[..., Any]
) -> None:
    folder = Path(str(words[-1])) / "deploy" / "test_vit"
    (folder / "secret.txt").write_text("no part of the package")
    plan = json.loads(cli(*words, "--dry-run", "--json").out)
    assert plan["private"] is True and plan["url"] == "" and not hub.repos
    said = cli(*words, "--set", "model_card.license=mit")
    assert said.code == 0, said
    assert said.out.startswith(f"{folder.as_posix()} is at {hub.address}/me/digits\n")
    assert TOKEN not in said.out + said.err
    (created,) = hub.created
    assert created.get("private") is True or created.get("visibility") == "private", created
    files = hub.repos["me/digits"]
    assert set(files) == set(plan["files"]) and "secret.txt" not in files and hub.large
    for name, content in files.items():
        assert hashlib.sha256(content).hexdigest() == hash_file(folder / name), name
    assert b"license: mit" in files["README.md"]
    assert cli(*words).err == (
        "committee: me/digits: expected a new repository, got one that exists. Name another with --repo, or "
        "commit to this one with --update.\n"
    )
    assert cli("push", folder, "--repo", "me/digits", "--update").code == 0  # the folder alone


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (401, "expected a token that the hub accepts, got 401: "),
        (403, "expected a token that may write to me/digits, got 403: "),
        (418, "expected the hub to accept the package, got 418: "),
        (0, "expected the hub to answer, got "),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_without_the_token(
    hub: Hub,
    words: tuple[object, ...],
    cli: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    text: str,
) -> None:
    hub.status = status
    if status == 0:
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    said = cli(*words)
    assert said.code == 1 and said.err.startswith(f"committee: me/digits: {text}"), said.err
    assert len(said.err.splitlines()) == 1 and TOKEN not in said.err


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        (
            "token",
            2,
            "push: expected a token of the Hugging Face hub, got none. Set HF_TOKEN, or",
        ),
        (
            "repo",
            2,
            "--repo: expected ORG/NAME, at most 96 letters, digits, dots, dashes and underscores, got",
        ),
        ("package", 2, "test_resnet: expected a package, got none. Write it with: committee export --model"),
        ("name", 2, "expected one of test_resnet, test_vit, got 'test_wit'. Did you mean 'test_vit'?"),
        ("file", 1, "weights.safetensors: expected the file in checksums.json, got another. Write it"),
        ("link", 1, "expected names of files in this folder, got '../secret'. Remove the folder"),
    ],
)
def test_what_cannot_go_is_refused_before_anything_is_sent(
    hub: Hub,
    words: tuple[object, ...],
    cli: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    change: str,
    code: int,
    text: str,
) -> None:
    folder = Path(str(words[-1])) / "deploy" / "test_vit"
    verb, name, _, repo, *rest = words
    if change == "token":
        monkeypatch.delenv("HF_TOKEN")
    elif change == "file":
        (next(folder.rglob("*.safetensors"))).write_bytes(b"other")
    elif change == "link":
        sums = folder / "checksums.json"
        sums.write_text(json.dumps({**json.loads(sums.read_text("utf-8")), "../secret": "0"}), "utf-8")
    repo = {"repo": "digits"}.get(change, repo)
    name = {"package": "test_resnet", "name": "test_wit"}.get(change, name)
    said = cli(verb, name, "--repo", repo, *rest)
    assert said.code == code and text in said.err, said.err
    assert not hub.repos

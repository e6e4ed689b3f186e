"""The page predicts what the script predicts, in a browser."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from committee.errors import DependencyError, UsageError
from committee.pipeline.bundling import web
from committee.pipeline.bundling.script import files as script_files
from committee.pipeline.bundling.subject import Content, Subject
from committee.pipeline.bundling.triton import files as triton_files
from committee.pipeline.bundling.web import RUNTIME, files, runtime_files
from committee.pipeline.bundling.writing import write

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 60
DRIVER = """<!doctype html><iframe src="/web/index.html"></iframe><script>
const frame = document.querySelector("iframe");
frame.onload = async () => {
  const page = frame.contentWindow;
  const files = await Promise.all(NAMES.map(async (name) =>
    new page.File([await (await fetch("/photos/" + name)).arrayBuffer()], name)));
  await fetch("/", { method: "POST", body: JSON.stringify(await page.showAll(files)) });
};
</script>"""


@pytest.fixture(scope="session")
def runtime(once: Callable[..., Path]) -> Path:
    """The npm package onnxruntime-web; $ONNXRUNTIME_WEB names a folder that has it."""

    def fill(folder: Path) -> None:
        try:
            # Offline, npm would try for minutes.
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("npm_config_fetch_retries", "0")
                patch.setenv("npm_config_fetch_timeout", "60000")
                save(folder)
        except DependencyError as error:
            (folder / "reason").write_text(str(error))

    def save(folder: Path) -> None:
        with runtime_files(os.environ.get("ONNXRUNTIME_WEB", "npm")) as found:
            for name in RUNTIME:
                shutil.copyfile(found / name, folder / name)

    found = once("onnxruntime-web", fill)
    if (found / "reason").exists():
        pytest.skip((found / "reason").read_text())
    return found


@contextmanager
def served(folder: Path, photos: list[Path]) -> Iterator[tuple[str, list[Any], threading.Event]]:
    """Serve a bundle, its photos, and a page that gives the photos to the page of the bundle."""
    answers, done = list[Any](), threading.Event()
    extra = {f"/photos/{each.name}": each.read_bytes() for each in photos}
    extra["/driver.html"] = DRIVER.replace("NAMES", json.dumps([each.name for each in photos])).encode()

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *arguments: Any) -> None:
            pass

        def do_GET(self) -> None:
            if self.path in extra:
                self.answer(extra[self.path])
            else:
                super().do_GET()

        def do_POST(self) -> None:
            answers.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(b"")
            done.set()

        def answer(self, data: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", self.guess_type(self.path))
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/driver.html", answers, done
        finally:
            server.shutdown()
            thread.join()


def browse(folder: Path, photos: list[Path]) -> list[Any]:
    """Return the answers of the page for some photos."""
    with (
        served(folder, photos) as (address, answers, done),
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        options = ["--headless", "--no-sandbox", "--enable-unsafe-swiftshader", "--no-first-run"]
        options += ["--disable-background-networking", "--remote-debugging-port=0"]
        command = [str(BROWSER), *options, f"--user-data-dir={profile}", address]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
            done.wait(SECONDS)
            browser.terminate()
    return answers


def content(subject: Subject, runtime: Path | None) -> Content:
    return {**script_files(subject), **triton_files(subject), **files(subject, runtime)}


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize("channels", [1, 3])
def test_it_predicts_as_the_script(
    tmp_path: Path,
    subject: Callable[..., Subject],
    photos: list[Path],
    runtime: Path,
    predicted: Callable[..., dict[str, Any]],
    channels: int,
) -> None:
    made = subject(channels)
    write(content(made, runtime), tmp_path / "bundle", "mean")
    (tmp_path / "photos" / "text.jpg").write_text("no photo")
    answers = browse(tmp_path / "bundle", [*photos, tmp_path / "photos" / "text.jpg"])
    assert len(answers) == len(photos) + 1, "the page did not answer"
    assert answers.pop() == {"photo": "text.jpg", "reason": "no JPEG, PNG or WebP image"}
    expected = predicted(tmp_path / "bundle" / "predict.py", photos)
    for answer in answers:
        found = [answer["probabilities"][name] for name in made.class_names]
        assert np.allclose(found, expected[answer["photo"]], rtol=0, atol=5e-6), answer["photo"]


def test_the_page_names_no_other_server(subject: Callable[..., Subject], tmp_path: Path) -> None:
    page = files(subject(1), None)["web/index.html"].decode()
    addresses = [each.split("/")[0] for each in page.split("://")[1:]]
    assert addresses == ["localhost:8000"] and "@" not in page.partition("<script>")[2].replace("@media", "")
    assert 'const MODEL = "../triton/mean/1/model.onnx", CHANNELS = 1' in page


def test_a_model_of_two_files_has_no_page(subject: Callable[..., Subject]) -> None:
    made = subject()
    made.file.with_name("model.onnx.data").write_bytes(b"weights")
    assert files(made, None) == {}


@pytest.mark.parametrize("inside", ["", "dist", "onnxruntime-web/dist", "node_modules/onnxruntime-web/dist"])
def test_the_runtime_is_found_in_a_folder(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).mkdir(parents=True, exist_ok=True)
    for name in RUNTIME:
        (tmp_path / inside / name).touch()
    with runtime_files(str(tmp_path)) as found:
        assert found == tmp_path / inside
    with runtime_files("none") as found:
        assert found is None


def test_a_folder_without_the_runtime_is_refused(tmp_path: Path) -> None:
    text = (
        r"--web-runtime: expected npm, none, or a folder of onnxruntime-web with ort.wasm.min.js, .*, got '.*"
    )
    with pytest.raises(UsageError, match=text), runtime_files(str(tmp_path)):
        pass


def test_npm_is_named_where_it_is_missing_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.shutil, "which", lambda name: None)
    with pytest.raises(DependencyError, match=r"got none installed\. Install Node\.js"), runtime_files("npm"):
        pass

    def fail(command: list[str], **options: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="npm error network\nnpm error offline\n")

    monkeypatch.setattr(web.shutil, "which", lambda name: "npm")
    monkeypatch.setattr(web.subprocess, "run", fail)
    with pytest.raises(DependencyError, match="got npm error offline"), runtime_files("npm"):
        pass

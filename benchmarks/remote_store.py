"""Requests and bytes of a store on object storage: a server of the S3 API on this machine counts them."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from harness import Row, absent, installed, main, seconds

RECIPE = """
dataset: {name: digits, channels: 1, img_size: 32, batch_size: 64}
training: {folds: 2, epochs: 1, warmup_epochs: 0, lr: 1e-2, pretrained: false, augment: none}
backbones: {include: [timm:test_resnet, timm:test_efficientnet]}
"""
COMMANDS = {
    "run, 2 members of 2 folds": ["run", "recipe.yaml"],
    "the same run again": ["run", "recipe.yaml"],
    "leaderboard on another machine": ["leaderboard", "--store-cache", "other"],
    "leaderboard there again": ["leaderboard", "--store-cache", "other"],
    "predict with a member there": ["predict", "test_resnet", "image.png", "--store-cache", "other"],
    "the run there": ["run", "recipe.yaml", "--store-cache", "other"],
}


LATENCY = 0.05
"""Seconds that a server in another building needs to answer."""


class Counted:
    """A WSGI application that counts requests by method, and the bytes of their bodies.

    It answers each request after a number of seconds, `latency`, as a server behind a network does.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application, self.seen, self.latency = application, Counter[str](), 0.0

    def __call__(self, environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        self.seen[environment["REQUEST_METHOD"]] += 1
        self.seen["up"] += int(environment.get("CONTENT_LENGTH") or 0)
        time.sleep(self.latency)
        answer = b"".join(self.application(environment, start))
        self.seen["down"] += len(answer)
        return [answer]


@contextlib.contextmanager
def server() -> Iterator[Counted]:
    """Run a server with a bucket, name it in the environment, and count what it is asked."""
    import boto3
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Silent(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Print nothing."""

    counted = Counted(DomainDispatcherApplication(create_backend_app))
    made = make_server("127.0.0.1", 0, counted, True, request_handler=Silent)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{made.server_port}"
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
    before = dict(os.environ)
    os.environ.update(keys, AWS_ENDPOINT_URL=url)
    try:
        boto3.client("s3", endpoint_url=url).create_bucket(Bucket="bucket")
        yield counted
    finally:
        os.environ.clear()
        os.environ.update(before)
        made.shutdown()
        made.server_close()


def commands(counted: Counted) -> Iterator[Row]:
    """Return the requests of whole commands on digits of scikit-learn."""
    from PIL import Image

    from committee.cli.main import main as committee

    Path("recipe.yaml").write_text(RECIPE, encoding="utf-8")
    Image.fromarray(np.zeros((16, 16), np.uint8)).save("image.png")
    for work, words in COMMANDS.items():
        counted.seen.clear()
        with contextlib.redirect_stdout(io.StringIO()):
            code = committee([*words, "--store", "s3://bucket/digits", "--quiet"])
        assert code == 0, work
        yield asked(work, counted.seen)


def asked(work: str, seen: Counter[str]) -> Row:
    """Return the row of the requests of one command."""
    methods = ", ".join(f"{seen[name]} {name}" for name in ("GET", "PUT", "POST", "DELETE") if seen[name])
    count = sum(number for name, number in seen.items() if name.isupper())
    note = f"{methods}; {seen['up'] / 1e6:.2f} MB up, {seen['down'] / 1e6:.2f} MB down"
    return Row("remote store", work, "", count, note=note, unit="requests")


def commits(counted: Counted, sizes: dict[str, int], folders: int, rounds: int) -> Iterator[Row]:
    """Return the requests and the time of commits in a store with a number of folders."""
    from committee.store.commit import commit
    from committee.store.layout import Store

    def write(store: Store, name: str, size: int) -> None:
        with commit(store.checkpoint(name, 0), kind="checkpoint", fingerprint="x") as folder:
            (folder / "weights.safetensors").write_bytes(secrets.token_bytes(8) + bytes(size))

    store = Store("s3://bucket/commits")
    with store.hold():
        for number in range(folders):
            write(store, f"member_{number}", 1)
        for work, size in sizes.items():
            counted.seen.clear()
            taken = [seconds(lambda: write(store, "net", size)) for _ in range(rounds)]  # noqa: B023
            low, middle, high = statistics.quantiles(taken, n=4, method="inclusive")
            requests = sum(number for name, number in counted.seen.items() if name.isupper()) / rounds
            note = f"{requests:.1f} requests each"
            what = f"commit of {work} in a store of {folders} folders"
            yield Row("remote store", what, "", middle, low=low, high=high, note=note)
    for latency in (0.0, LATENCY):
        counted.seen.clear()
        counted.latency = latency
        work = f"first opening of a store of {folders + 1} folders, {1000 * latency:g} ms a request"
        taken = seconds(partial(Store, "s3://bucket/commits", f"fresh{latency}"))
        note = f"{counted.seen['GET']} GET, {counted.seen['down'] / 1e6:.2f} MB down"
        yield Row("remote store", work, "", taken, note=note)
    counted.latency = 0.0


def measure(quick: bool) -> list[Row]:
    """Return requests, bytes and times; the storage is on this machine, so that a network adds its own."""
    if not (installed("obstore") and installed("moto") and installed("boto3")):
        return [absent("remote store", "all", "", None, "obstore or moto")]
    sizes = {"1 MB": 10**6} if quick else {"1 MB": 10**6, "100 MB": 10**8}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["COMMITTEE_STORE_CACHE"] = str(Path(folder, "copies"))
        try:
            with server() as counted:
                rows = list(commits(counted, sizes, 5 if quick else 300, 3 if quick else 9))
                return rows if quick else [*rows, *commands(counted)]
        finally:
            del os.environ["COMMITTEE_STORE_CACHE"]


if __name__ == "__main__":
    main(measure, packages=("obstore", "moto"))

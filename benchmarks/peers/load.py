"""Clients of a server: requests over kept connections, and what came back. Bounded in number and time."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

LOOPBACK = "127.0.0.1"
SECONDS = 60.0
"""Time limit of one request."""
Check = Callable[[int, Any], bool]


@dataclass
class Result:
    """Seconds of each answer, and the number of wrong and of lost ones."""

    seconds: list[float] = field(default_factory=list)
    wrong: int = 0
    lost: int = 0
    total: float = 0.0

    def percentile(self, share: float) -> float:
        """Return the time in milliseconds within which a share of the answers came."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def summary(self) -> str:
        """Return throughput and percentiles in words."""
        marks = ", ".join(f"p{100 * share:g} {self.percentile(share):.3g} ms" for share in (0.5, 0.95, 0.99))
        return f"{len(self.seconds) / self.total:.4g} a second, {marks}"


def form(photo: bytes, path: str = "/predict") -> bytes:
    """Return a request with a photo as a form."""
    head = b'--bound\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n'
    body = head + b"Content-Type: image/jpeg\r\n\r\n" + photo + b"\r\n--bound--\r\n"
    return request(path, body, "multipart/form-data; boundary=bound")


def request(path: str, body: bytes, kind: str) -> bytes:
    """Return a request."""
    head = f"POST {path} HTTP/1.1\r\nHost: {LOOPBACK}\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = int(head.partition("content-length:")[2].partition("\r\n")[0])
    return int(head.split(" ")[1]), await reader.readexactly(length)


async def _client(
    port: int, requests: Sequence[bytes], turns: Iterator[int], check: Check, found: Result
) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    for turn in turns:
        which, start = turn % len(requests), time.perf_counter()
        try:
            writer.write(requests[which])
            status, body = await asyncio.wait_for(_answer(reader), SECONDS)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            found.lost += 1
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            continue
        found.seconds.append(time.perf_counter() - start)
        if status != 200:
            found.lost += 1
        elif not check(which, json.loads(body)):
            found.wrong += 1
    writer.close()


async def send(port: int, requests: Sequence[bytes], clients: int, count: int, check: Check) -> Result:
    """Send a number of requests over some connections, each of which sends one after the other."""
    found, turns, start = Result(), iter(range(count)), time.perf_counter()
    await asyncio.gather(*(_client(port, requests, turns, check, found) for _ in range(clients)))
    found.total = time.perf_counter() - start
    return found


def free_port() -> int:
    """Return a port that is free."""
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        return int(bound.getsockname()[1])


@contextlib.contextmanager
def started(command: Sequence[str], port: int) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run a server; yield the process, and the seconds until it accepts connections."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
                break
            if process.poll() is not None or time.perf_counter() - start > SECONDS:
                raise RuntimeError(f"{command[1]} does not answer")
            time.sleep(0.01)
        yield process, time.perf_counter() - start
    finally:
        process.terminate()
        process.wait(SECONDS)


BAD = (
    request("/predict", b"no photo", "image/jpeg"),
    request("/predict", b"{}", "application/json"),
    request("/v2/models/served/infer", b"[" * 1000, "application/json"),
    b"nonsense\r\n\r\n",
)


async def flood(port: int, rate: float, seconds: float) -> int:
    """Send bad requests at a rate, each over a connection of its own; return their number."""
    sent, tasks = 0, set[asyncio.Task[None]]()

    async def one(text: bytes) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(text)
            await asyncio.wait_for(reader.read(12), SECONDS)
            writer.close()

    start = time.perf_counter()
    while (now := time.perf_counter() - start) < seconds:
        while sent < rate * now:
            task = asyncio.create_task(one(BAD[sent % len(BAD)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks)
    return sent


if __name__ == "__main__":
    print(asyncio.run(flood(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))))

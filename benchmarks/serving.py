"""Throughput and latency of `committee serve`, its memory over many requests, and faults.

Servers and clients run on this computer, over loopback, with the same ONNX file and the same photos; each
answer is compared with that of the file. Peers: a plain loop of FastAPI and ONNX Runtime, LitServe with
batches, and KServe on arrays. KServe cannot be in one environment with committee: `KSERVE_PYTHON` is the
interpreter of another one that has kserve and onnxruntime; `LITSERVE_PYTHON` may be one with litserve.

The faults go on while good clients count their answers: 1,000 bad requests a second, clients that hang, and
decoders that are killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from harness import Row, absent, installed, main, spread
from peers.load import LOOPBACK, Check, Result, form, free_port, request, send, started
from PIL import Image

from committee.exporters.base import Card, open_exported
from committee.images.decode import decode

PEERS = Path(__file__).parent / "peers"
CLIENTS = (1, 8, 64)
CLASSES = [str(place) for place in range(10)]
PHOTOS = 8
PEER_LOADS = (
    ("FastAPI and ONNX Runtime", "", "photos", 256, 3),
    ("LitServe", "litserve", "photos", 256, 3),
    ("KServe", "kserve", "arrays", 16, 1),
)
"""Name of a peer, its package, what it gets, the number of requests of each load, and of rounds."""


def photos(quick: bool) -> list[bytes]:
    """Return JPEG photos of 640 x 480 pixels with structure of many sizes."""
    files, random = [], np.random.default_rng(0)
    for _ in range(2 if quick else PHOTOS):
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        file = io.BytesIO()
        coarse.resize((640, 480), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    return files


def model(folder: Path) -> Path:
    """Write a network with random weights as an ONNX file, with its preprocessing."""
    import torch

    from committee.exporters.onnx import Onnx
    from committee.models.member import Member

    name, size = "mobilenetv3_small_050", 224
    member = Member.build(f"timm:{name}", classes=CLASSES, size=size, name=name, seed=0).eval()
    example = torch.zeros(2, 3, size + 10, size, dtype=torch.uint8)
    return Onnx().export(member, example, folder, Card.of(member, "served"))


def mean_model(folder: Path) -> Path:
    """Write an ONNX file whose probabilities follow from the mean of each channel."""
    from onnx import TensorProto, helper, save

    random = np.random.default_rng(0).normal(size=(3, len(CLASSES))) / 50
    weights = helper.make_tensor("weights", TensorProto.FLOAT, random.shape, random.ravel())
    nodes = [
        helper.make_node("Cast", ["images"], ["values"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["values"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ["b", 3, "h", "w"])
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["b", len(CLASSES)])
    graph = helper.make_graph(nodes, "mean", [images], [output], [weights])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    facts = {"name": "served", "class_names": json.dumps(CLASSES), "provenance": "{}"}
    helper.set_model_props(made, facts)
    save(made, folder / "model.onnx")
    return folder / "model.onnx"


def expected(file: Path, contents: Sequence[bytes]) -> list[Any]:
    """Return the probabilities of photos that the file gives them in this process."""
    opened = open_exported(file)
    return [opened(decode(content)[None])[0] for content in contents]


def agrees(truth: Sequence[Any]) -> Check:
    """Return the check of an answer, of ours or of a peer."""

    def check(which: int, answer: Any) -> bool:
        found = answer["outputs"][0]["data"] if "outputs" in answer else answer["probabilities"]
        values = list(found.values()) if isinstance(found, dict) else found
        # Decoders of JPEG may differ by a level.
        return bool(np.abs(np.asarray(values) - truth[which]).max() < 0.02)

    return check


def commands(file: Path) -> dict[str, Callable[[int], list[str]]]:
    """Return the command of each server for a port."""
    python, own = sys.executable, ["-m", "committee", "serve", str(file), "--queue", "512", "--port"]

    def script(name: str, interpreter: str) -> Callable[[int], list[str]]:
        return lambda port: [interpreter, str(PEERS / f"{name}_server.py"), str(file), str(port)]

    return {
        "": lambda port: [python, *own, str(port)],
        "FastAPI and ONNX Runtime": script("plain", python),
        "LitServe": script("litserve", os.environ.get("LITSERVE_PYTHON", python)),
        "KServe": script("kserve", os.environ.get("KSERVE_PYTHON", python)),
    }


def arrays(contents: Sequence[bytes]) -> list[bytes]:
    """Return requests of the Open Inference Protocol with the pixels of photos as binary data."""
    found = []
    for content in contents:
        pixels = decode(content)[None]
        size = {"binary_data_size": pixels.nbytes}
        tensor = {"name": "images", "datatype": "UINT8", "shape": pixels.shape, "parameters": size}
        text = json.dumps({"inputs": [tensor], "outputs": [{"name": "probabilities"}]})
        path, kind = "/v2/models/served/infer", "application/octet-stream"
        header = f"{kind}\r\nInference-Header-Content-Length: {len(text)}"
        found.append(request(path, text.encode() + pixels.tobytes(), header))
    return found


def loads(
    file: Path, requests: Sequence[bytes], what: str, check: Check, peer: str, rounds: int, count: int
) -> list[Row]:
    """Compare ours with a peer at several numbers of clients; the servers take turns."""
    made, own, other = commands(file), free_port(), free_port()
    rows = []
    with started(made[""](own), own) as (_, begun), started(made[peer](other), other) as (_, theirs):
        for port in (own, other):
            asyncio.run(send(port, requests, 8, min(count, 4 * PHOTOS), check))
        for clients in CLIENTS:
            pairs = [
                tuple(
                    asyncio.run(send(port, requests, clients, max(clients, count), check))
                    for port in (own, other)
                )
                for _ in range(rounds)
            ]
            rows.append(_compared(pairs, what, clients, peer))
        note, ratio = "from the command until it accepts connections", theirs / begun
        rows.append(Row("start of a server", "one ONNX file", peer, begun, ratio, ratio, ratio, note=note))
    return rows


def _compared(pairs: Sequence[Any], what: str, clients: int, peer: str) -> Row:
    times = [[each.total / len(each.seconds) for each in pair] for pair in pairs]
    middle, low, high = spread([theirs / ours for ours, theirs in times])
    wrong = [sum(pair[side].wrong + pair[side].lost for pair in pairs) for side in (0, 1)]
    last = pairs[-1]
    note = f"ours {last[0].summary()}; theirs {last[1].summary()}; wrong or lost: {wrong[0]} and {wrong[1]}"
    ours = 1000 * statistics.median(ours for ours, _ in times)
    work = f"{what} of 640 x 480, {clients} client{'s' * (clients > 1)}"
    return Row("time of a request", work, peer, ours, middle, low, high, 1, note, "ms")


def memory(file: Path, contents: Sequence[bytes], check: Check, count: int) -> Row:
    """Measure how the memory of the server and its decoders grows from a tenth of the requests to all."""
    small = io.BytesIO()
    Image.open(io.BytesIO(contents[0])).resize((64, 48)).save(small, "JPEG")
    port = free_port()
    with started(commands(file)[""](port), port) as (process, _):
        requests = [form(small.getvalue())]
        results, sizes = [], []
        for part in (count // 10, count - count // 10):
            results.append(asyncio.run(send(port, requests, 16, part, lambda which, answer: True)))
            sizes.append(_memory(process.pid))
    lost = sum(each.lost for each in results)
    note = f"{sizes[0]:.0f} MB after a tenth, {sizes[1]:.0f} MB at the end; lost {lost}"
    return Row(
        "growth of memory", f"{count:,} photos", "", sizes[1] - sizes[0], target=20, note=note, unit="MB"
    )


def _memory(pid: int) -> float:
    parent = psutil.Process(pid)
    return sum(each.memory_info().rss for each in (parent, *parent.children(recursive=True))) / 1e6


async def _flood(port: int, rate: int, until: float) -> int:
    """Send bad requests at a rate from a process of its own; return their number."""
    seconds = str(until - time.perf_counter())
    command = [sys.executable, str(PEERS / "load.py"), str(port), str(rate), seconds]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return int(said)


async def _kill(pid: int, until: float) -> int:
    """Kill a decoder each second; return how many were killed."""
    killed = 0
    while time.perf_counter() < until:
        with contextlib.suppress(psutil.Error, StopIteration):  # It ends in this moment.
            children = psutil.Process(pid).children(recursive=True)
            decoder = next(each for each in children if "committee.images.decoder" in each.cmdline())
            decoder.kill()
            killed += 1
        await asyncio.sleep(1)
    return killed


async def _hang(port: int, count: int, until: float) -> None:
    """Open connections that send half of a request, and nothing more."""
    opened = [await asyncio.open_connection(LOOPBACK, port) for _ in range(count)]
    for number, (_, writer) in enumerate(opened):
        writer.write(form(b"x" * 1000)[: 20 + 10 * (number % 20)])
    await asyncio.sleep(max(0.0, until - time.perf_counter()))
    for _, writer in opened:
        writer.close()


async def _good(port: int, requests: Sequence[bytes], check: Check, until: float) -> Result:
    """Send good requests over eight connections until the end."""
    found = Result()
    while time.perf_counter() < until:
        part = await send(port, requests, 8, 8 * len(requests), check)
        found.seconds += part.seconds
        found.wrong, found.lost = found.wrong + part.wrong, found.lost + part.lost
        found.total += part.total
    return found


def faults(file: Path, contents: Sequence[bytes], check: Check, seconds: float, rate: int) -> list[Row]:
    """Count wrong and lost answers of good clients while a fault goes on."""
    requests, rows = [form(each) for each in contents], []
    port = free_port()

    async def during(fault: Callable[[float], Any]) -> tuple[Result, Any]:
        until = time.perf_counter() + seconds
        found, other = await asyncio.gather(_good(port, requests, check, until), fault(until))
        return found, other

    with started(commands(file)[""](port), port) as (process, _):
        asyncio.run(send(port, requests, 8, 4 * len(requests), check))  # The decoders start.
        kinds: dict[str, Callable[[float], Any]] = {
            f"{rate:,} bad requests a second": lambda until: _flood(port, rate, until),
            "50 clients that hang": lambda until: _hang(port, 50, until),
            "one killed decoder a second": lambda until: _kill(process.pid, until),
        }
        for name, fault in kinds.items():
            found, other = asyncio.run(during(fault))
            note = f"{len(found.seconds)} good answers, {found.summary()}; faults: {other or 50}"
            lost = found.wrong + found.lost
            rows.append(Row("wrong or lost answers", name, "", lost, target=0, note=note, unit="answers"))
    return rows


def measure(quick: bool) -> list[Row]:
    """Compare the servers, and count what goes wrong."""
    with tempfile.TemporaryDirectory() as folder:
        file, contents = (mean_model if quick else model)(Path(folder)), photos(quick)
        check = agrees(expected(file, contents))
        if quick:
            return faults(file, contents, check, 0.1, 50)
        sent = {"photos": [form(each) for each in contents], "arrays": arrays(contents)}
        rows = []
        for peer, package, what, count, rounds in PEER_LOADS:
            if not package or installed(package) or f"{package.upper()}_PYTHON" in os.environ:
                rows += loads(file, sent[what], what, check, peer, rounds, count)
            else:
                rows.append(absent("time of a request", f"{what} of 640 x 480", peer, 1, package))
        rows.append(memory(file, contents, check, 50_000))
        return rows + faults(file, contents, check, 8, 1000)


if __name__ == "__main__":
    main(measure, packages=("fastapi", "uvicorn", "onnxruntime", "litserve"), threads=None)

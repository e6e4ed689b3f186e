"""One server of three models for all tests, and servers with limits of their own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from committee.inference.rules import rule_of
from committee.predictions.target_types import CLASS_MAPS, NUMBERS
from committee.serving.limits import Limits
from committee.serving.measures import Measures
from committee.serving.served import Served, open_served
from committee.serving.server import Server, bind
from committee.serving.service import Service

CLASSES = ("temple", "flower", "été")


class Pixels:
    """A model whose outputs follow from the mean of the first channel: numbers, or maps of two classes."""

    class_names, channels, provenance = ("dark", "light"), 3, {}

    def __init__(self, name: str, target_type: Any) -> None:
        self.name, self.target_type = name, target_type

    def __call__(self, images: Any) -> Any:
        light = images[:, 0].astype(np.float32) / 255
        if not self.target_type.dense:
            light = light.mean((1, 2))
        return np.stack([1 - light, light], axis=1)


@contextlib.contextmanager
def running(
    models: Sequence[Served],
    limits: Limits,
    host: str = "127.0.0.1",
    measures: Measures | None = None,
    **certificate: Path,
) -> Iterator[Any]:
    """Run a server in a thread; it has the addresses `http` and `grpc`, and the `service`."""
    service, started = Service(models, limits), threading.Event()
    listening = bind(host, 0, 0, **certificate)
    server = Server(service, measures or Measures(), listening, started.set)
    thread = threading.Thread(target=server.run)
    thread.start()
    assert started.wait(30)
    try:
        found = Running(service, listening.addresses()[0], listening.grpc_at)
        with found.client:
            yield found
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


class Running:
    """A server that answers."""

    def __init__(self, service: Service, http: str, grpc: str) -> None:
        self.service, self.http, self.grpc = service, http, grpc
        self.client = httpx.Client(base_url=http, timeout=20, trust_env=False)

    def post(self, photo: bytes, **query: str) -> Any:
        """Send a photo as a form."""
        return self.client.post("/predict", files={"file": ("a.jpg", photo)}, params=query)


def small(call: Callable[[Any], Any], limits: Limits, name: str = "small") -> Served:
    """Return a model of two classes whose answers a function makes."""
    model = Pixels(name, NUMBERS)
    model.__class__ = type("Called", (Pixels,), {"__call__": lambda self, images: call(images)})
    return Served(model, rule_of(model, coverage=None), limits)


@pytest.fixture(scope="session")
def pets(once: Any) -> Path:
    """An ONNX file of a small network with random weights and a table of prediction sets."""

    def fill(folder: Path) -> None:
        import torch
        from torch import nn

        from committee.exporters.base import Card
        from committee.exporters.onnx import Onnx
        from committee.metrics.set_table import SetTable
        from committee.models.member import Member

        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3 * 16, 3))
        member = Member.from_module(net, classes=CLASSES, size=32).eval()
        logs = np.log(np.random.default_rng(0).dirichlet([1.0] * 3, 200))
        table = SetTable.of(logs, np.zeros(200, int), rows="val", approximate=False)
        card = Card.of(member, "pets", {"sets": table.to_json()})
        Onnx().export(member, torch.zeros(2, 3, 40, 50, dtype=torch.uint8), folder, card)
        torch.save(net.state_dict(), folder / "net.pt")

    pytest.importorskip("onnxruntime", reason="the model is an ONNX file")
    return once("served", fill) / "model.onnx"


@pytest.fixture(scope="session")
def photo(once: Any) -> Path:
    """A JPEG photo that is rotated when it is seen."""

    def fill(folder: Path) -> None:
        pixels = np.random.default_rng(1).integers(0, 256, (9, 7, 3)).astype(np.uint8)
        image = Image.fromarray(pixels).resize((70, 90), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(folder / "turned.jpg", exif=exif, quality=95)

    return once("served photo", fill) / "turned.jpg"


@pytest.fixture(scope="session")
def server(pets: Path, tmp_path_factory: Any) -> Iterator[Running]:
    """A server of `pets` with prediction sets and abstention, of numbers and of maps."""
    from committee.recipe.load import load_recipe
    from committee.store.layout import Store

    limits = Limits(batch=4, body=200_000, seconds=10, decoders=1)
    store = Store(tmp_path_factory.mktemp("served") / "store")
    recipe, measures = load_recipe(None, ["device=cpu"]), Measures()
    rules = {"coverage": 0.9, "abstain_below": 0.999, "on_batch": measures.count_batch}
    models = [open_served(str(pets), store, recipe, limits, **rules)]
    for name, kind in (("numbers", NUMBERS), ("maps", CLASS_MAPS)):
        model = Pixels(name, kind)
        models.append(Served(model, rule_of(model, coverage=None), limits))
    with running(models, limits, measures=measures) as found:
        yield found

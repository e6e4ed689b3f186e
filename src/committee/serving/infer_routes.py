"""The Open Inference Protocol v2 over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import FastAPI, Request, Response

from committee._version import __version__
from committee.serving.body import read_body
from committee.serving.infer_json import LENGTH, read_request, write_answer
from committee.serving.refusal import BUSY
from committee.serving.schemas import health, infer, metadata
from committee.serving.service import Service
from committee.serving.tensors import facts_of, metadata_of, outputs_of

EXTENSIONS = ["binary_tensor_data"]
LARGE = 2**16
"""Bytes of a body from which it is read in another thread."""
NAMED = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")


def add_infer_routes(app: FastAPI, service: Service) -> None:
    """Add the routes below /v2."""
    _add_server(app, service)
    for path in NAMED:
        _add_model(app, service, path)
        _add_infer(app, service, f"{path}/infer")


def _add_server(app: FastAPI, service: Service) -> None:
    @app.get("/v2", responses=health(), summary="Name, version and extensions of the server")
    async def server() -> Response:
        return _json({"name": "committee", "version": __version__, "extensions": EXTENSIONS})

    @app.get("/v2/health/live", responses=health(), summary="Whether the server runs")
    async def live() -> Response:
        stuck = any(served.is_stuck for served in service.models.values())
        return _json({"live": not stuck}, BUSY if stuck else 200)

    @app.get("/v2/health/ready", responses=health(), summary="Whether all models answer")
    async def ready() -> Response:
        return _json({"ready": service.is_ready}, 200 if service.is_ready else BUSY)


def _add_model(app: FastAPI, service: Service, path: str) -> None:
    @app.get(path, responses=metadata(), summary="Inputs and outputs of a model, and what was loaded")
    async def described(name: str, version: str = "") -> Response:
        served = service.served(name, version)
        changed = await asyncio.to_thread(served.edition.is_changed) if served.edition else False
        facts = {**facts_of(served), "changed": changed}
        return _json({**metadata_of(served), "parameters": facts})

    @app.get(f"{path}/ready", responses=metadata(), summary="Whether a model answers")
    async def model_ready(name: str, version: str = "") -> Response:
        served = service.served(name, version)
        is_ready = not (served.is_stuck or service.is_draining)
        return _json({"name": served.name, "ready": is_ready}, 200 if is_ready else BUSY)


def _add_infer(app: FastAPI, service: Service, path: str) -> None:
    @app.post(path, summary="Predict images that are arrays", **infer())
    async def inferred(request: Request, name: str, version: str = "") -> Response:
        served = service.served(name, version)
        body, header = await read_body(request, service.limits), request.headers.get(LENGTH)
        if len(body) > LARGE:
            asked = await asyncio.to_thread(read_request, served, body, header)
        else:
            asked = read_request(served, body, header)
        with service.admit(len(asked.images) - 1):  # The request counts as one.
            found = await service.predict_images(served, asked.images)
        content, headers = write_answer(served, asked, outputs_of(served, found, list(asked.outputs)))
        return Response(content, headers=headers)


def _json(content: Any, status: int = 200) -> Response:
    return Response(json.dumps(content), status, media_type="application/json")

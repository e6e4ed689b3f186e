"""Prediction of one photo over HTTP, and the page for it."""

from __future__ import annotations

import io
import json
from typing import Literal

import numpy as np
from fastapi import FastAPI, Request, Response

from committee.inference.map_files import map_file
from committee.inference.predict import Prediction
from committee.serving.body import photo_of, read_body
from committee.serving.header import PREDICT
from committee.serving.page import page
from committee.serving.refusal import BAD, Refusal
from committee.serving.schemas import photo
from committee.serving.served import Served
from committee.serving.service import Service

NPY = "application/x-npy"
KINDS = {".png": "image/png", ".tif": "image/tiff", ".npy": NPY}
Output = Literal["json", "map", "array"]


def add_photo_routes(app: FastAPI, service: Service) -> None:
    """Add /predict, and the page that sends photos to it."""
    content, headers = page(list(service.models))

    @app.get("/", response_class=Response, summary="A page to drop a photo on")
    async def shown() -> Response:
        return Response(content, headers=headers, media_type="text/html")

    @app.post(PREDICT, summary="Predict a photo: a JPEG, PNG or WebP file", **photo())
    async def predict(request: Request, model: str | None = None, output: Output = "json") -> Response:
        served = service.served(model)
        kind = request.headers.get("content-type", "")
        body = photo_of(kind, await read_body(request, service.limits))
        return _answer(served, await service.predict_photo(served, body), output)


def _answer(served: Served, prediction: Prediction, output: Output) -> Response:
    """Return what is said of a photo, or its maps as a file."""
    maps = prediction.probabilities
    assert maps is not None
    headers = {"X-Model-Digest": served.digest}
    if output == "json":
        facts = {"model": served.name, "digest": served.digest}
        said = {**facts, **served.answer(prediction), **served.rule.facts()}
        return Response(json.dumps(said), headers=headers, media_type="application/json")
    if not served.type.dense:
        raise Refusal(
            BAD, "output", expected="'json' of a model with one answer for an image", got=f"'{output}'"
        )
    if output == "array":
        file = io.BytesIO()
        np.save(file, maps)
        return Response(file.getvalue(), headers=headers, media_type=NPY)
    suffix, image = map_file(served.model, maps)
    return Response(image, headers=headers, media_type=KINDS[suffix])

"""How OpenAPI describes the requests and answers of the server."""

from __future__ import annotations

from typing import Any

from committee.serving.header import MULTIPART, PHOTO_TYPES
from committee.serving.refusal import BUSY, FAILED

Schema = dict[str, Any]
DESCRIPTION = (
    "Predicts images with models of committee: photos with POST /predict, arrays with the Open Inference "
    "Protocol v2."
)
_ERRORS = {
    400: "The request is not valid, or the image is broken",
    401: "The token is missing or wrong",
    404: "There is no such model",
    408: "The body arrived too slowly",
    413: "The body is too large",
    415: "The type of the body is not supported",
    421: "The Host is not one of this server",
    500: "The model failed",
    503: "The server is busy or a model does not answer; Retry-After says when to try again",
}
_ERROR: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
}
_PARAMETERS: Schema = {"type": "object"}
_LENGTHS: Schema = {"type": "array", "items": {"type": "integer"}}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required}


def _named(**more: Schema) -> Schema:
    return _object(["name", *more], name={"type": "string"}, **more)


_TENSORS: Schema = {
    "type": "array",
    "items": _named(datatype={"type": "string"}, shape=_LENGTHS),
}
_INPUT = _object(
    ["name", "shape", "datatype", "data"],
    name={"type": "string", "const": "images"},
    shape=_LENGTHS,
    datatype={"type": "string", "enum": ["UINT8", "FP32"]},
    data={"type": "array"},
    parameters=_PARAMETERS,
)
_REQUEST = _object(
    ["inputs"],
    id={"type": "string"},
    parameters=_PARAMETERS,
    inputs={"type": "array", "items": _INPUT, "minItems": 1, "maxItems": 1},
    outputs={"type": "array", "items": _object(["name"], name={"type": "string"}, parameters=_PARAMETERS)},
)
_ANSWER = _object(
    ["model_name", "outputs"],
    id={"type": "string"},
    model_name={"type": "string"},
    model_version={"type": "string"},
    parameters=_PARAMETERS,
    outputs=_TENSORS,
)
_FILE: Schema = {"type": "string", "format": "binary"}


def responses(answer: Schema, *statuses: int) -> Any:
    """Return the answers of a route: with success, and the errors with these and the usual statuses."""
    errors = sorted({*statuses, 401, 421, FAILED, BUSY})
    found = {status: {"description": _ERRORS[status], "content": _json(_ERROR)} for status in errors}
    return {200: {"description": "Success", "content": answer}, **found}


def health() -> Any:
    """Return the answers of a route that tells how the server is."""
    return responses(_json({"type": "object"}))


def metadata() -> Any:
    """Return the answers of the description of a model."""
    model = _named(versions={"type": "array"}, platform={"type": "string"}, inputs=_TENSORS, outputs=_TENSORS)
    return responses(_json(model), 404)


def infer() -> Schema:
    """Return the description of `infer`: body and answers."""
    body = {"required": True, "content": _json(_REQUEST)}
    answers = {**_json(_ANSWER), "application/octet-stream": {"schema": _FILE}}
    return {
        "responses": responses(answers, 400, 404, 408, 413, 415),
        "openapi_extra": {"requestBody": body},
    }


def photo() -> Schema:
    """Return the description of a prediction of a photo: body and answers."""
    form = {MULTIPART: {"schema": _object(["file"], file=_FILE)}}
    files = {kind: {"schema": _FILE} for kind in PHOTO_TYPES}
    prediction = _object(["model", "digest"], model={"type": "string"}, digest={"type": "string"})
    maps = {kind: {"schema": _FILE} for kind in ("image/png", "image/tiff", "application/x-npy")}
    return {
        "responses": responses({**_json(prediction), **maps}, 400, 404, 408, 413, 415),
        "openapi_extra": {"requestBody": {"required": True, "content": {**form, **files}}},
    }

"""Requests and answers of `infer` over HTTP: JSON, and the extension for binary data after it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from committee.models.predictor import Images
from committee.serving.refusal import BAD, Refusal
from committee.serving.served import VERSION, Served
from committee.serving.tensors import Tensor, array_of, check_input, facts_of, wanted_outputs

LENGTH = "Inference-Header-Content-Length"
"""Header with the number of bytes of the JSON part, if binary data follow."""
SIZE = "binary_data_size"
_DEEP = re.compile(rb"(?:\[\s*){64}")
"""More nested lists than arrays have axes."""


@dataclass(frozen=True)
class InferRequest:
    """A request: its id, the input, and the outputs that are wanted, each with whether it is binary."""

    id: str
    images: Images
    outputs: Mapping[str, bool]


def read_request(served: Served, body: bytes, header: str | None) -> InferRequest:
    """Return the request in a body.

    Parameters
    ----------
    served : Served
    body : bytes
    header : str or None
        Value of the header `Inference-Header-Content-Length`.

    Raises
    ------
    Refusal
        It is not a request for the model.
    """
    text, binary = _divided(body, header)
    content = _parsed(text)
    inputs = _objects(content, "inputs")
    check_input(served, [each.get("name") for each in inputs])
    first, options = inputs[0], _parameters(inputs[0], SIZE)
    data: Any = first.get("data")
    if SIZE in options:
        if options[SIZE] != len(binary) or data is not None:
            raise Refusal(BAD, SIZE, expected=f"{len(binary)}, and no data", got=ascii(options[SIZE])[:50])
        data = binary
    elif binary or not isinstance(data, list):
        raise Refusal(BAD, "data of 'images'", expected=f"a list of numbers, or {SIZE}", got="another")
    images = array_of(served, first.get("datatype"), first.get("shape"), data)
    return InferRequest(_id(content), images, _outputs(served, content))


def write_answer(
    served: Served, request: InferRequest, tensors: Sequence[Tensor]
) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of an answer."""
    described, binary = [], list[bytes]()
    for each in tensors:
        entry: dict[str, Any] = {"name": each.name, "datatype": each.datatype, "shape": each.shape}
        if request.outputs[each.name]:
            binary.append(each.tobytes())
            entry["parameters"] = {SIZE: len(binary[-1])}
        else:
            entry["data"] = each.values.ravel().tolist()
        described.append(entry)
    head = {"model_name": served.name, "model_version": VERSION, "parameters": facts_of(served)}
    answer = {**head, **({"id": request.id} if request.id else {}), "outputs": described}
    text = json.dumps(answer, separators=(",", ":")).encode()
    if not binary:
        return text, {"Content-Type": "application/json"}
    headers = {"Content-Type": "application/octet-stream", LENGTH: str(len(text))}
    return b"".join([text, *binary]), headers


def _divided(body: bytes, header: str | None) -> tuple[bytes, bytes]:
    """Return the JSON part of a body and the binary data after it."""
    if header is None:
        return body, b""
    if not (header.isascii() and header.isdigit() and len(header) < 20 and int(header) <= len(body)):
        raise Refusal(
            BAD, LENGTH, expected=f"0..{len(body)}, the size of the JSON part", got=ascii(header)[:50]
        )
    return body[: int(header)], body[int(header) :]


def _parsed(text: bytes) -> Mapping[str, Any]:
    if _DEEP.search(text):  # The parser would take a millisecond to find that it is too deep.
        raise Refusal(BAD, "the request", expected="a JSON object", got="invalid JSON")
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise Refusal(BAD, "the request", expected="a JSON object", got="invalid JSON") from None
    if not isinstance(found, dict):
        raise Refusal(BAD, "the request", expected="a JSON object", got="another JSON value")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _objects(content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """Return the list of objects of a key; an empty one if it is absent."""
    found = content.get(key, [])
    if not (isinstance(found, list) and all(isinstance(each, dict) for each in found)):
        raise Refusal(BAD, key, expected="a list of objects", got="another JSON value")
    return found


def _parameters(content: Mapping[str, Any], known: str = "") -> Mapping[str, Any]:
    """Return the parameters of a part; those of extensions that the server lacks are refused if `known`."""
    found = content.get("parameters", {})
    if not isinstance(found, dict):
        raise Refusal(BAD, "parameters", expected="an object", got="another JSON value")
    others = sorted(set(found) - {known})
    if known and others:
        raise Refusal(BAD, "parameters", expected=f"'{known}' alone", got=ascii(others[0])[:50])
    return found


def _id(content: Mapping[str, Any]) -> str:
    found = content.get("id", "")
    if not isinstance(found, str):
        raise Refusal(BAD, "id", expected="a string", got="another JSON value")
    return found


def _outputs(served: Served, content: Mapping[str, Any]) -> dict[str, bool]:
    """Return the wanted outputs, and whether each is binary."""
    everywhere = _parameters(content).get("binary_data_output", False) is True
    listed = _objects(content, "outputs")
    binary = {}
    for each in listed:
        options = _parameters(each, "binary_data")
        binary[str(each.get("name"))] = options.get("binary_data", everywhere) is True
    names = wanted_outputs(served, [each.get("name") for each in listed])
    return {name: binary.get(name, everywhere) for name in names}

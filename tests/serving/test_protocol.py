"""The Open Inference Protocol v2, as Triton's own client speaks it, and as JSON alone."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest

from committee.inference.predict import parts_of

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 3, 20, 31)).astype(np.uint8)


def module(protocol: str) -> Any:
    name = f"tritonclient.{protocol}"
    found = pytest.importorskip(name, reason=f"{name} is not installed")
    with contextlib.suppress(AttributeError):  # It would close a closed client, in any thread.
        del found.InferenceServerClient.__del__
    return found


@pytest.fixture(params=["http", "grpc"])
def triton(request: Any, server: Any) -> Any:
    """The client of a protocol, and its module."""
    found = module(request.param)
    address = server.grpc if request.param == "grpc" else server.http.removeprefix("http://")
    client = found.InferenceServerClient(address)
    yield found, client
    client.close()


def inputs(module: Any, images: Any, **options: Any) -> list[Any]:
    found = module.InferInput("images", images.shape, "UINT8")
    found.set_data_from_numpy(images, **options)
    return [found]


def test_tritonclient_describes_and_predicts(triton, server):
    module, client = triton
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("pets", "1")
    assert not client.is_model_ready("pets", "2") if module.__name__.endswith("http") else True
    options = {"as_json": True} if module.__name__.endswith("grpc") else {}
    described = client.get_model_metadata("pets", **options)
    assert [(each["name"], each["datatype"]) for each in described["outputs"]] == [
        ("probabilities", "FP32"),
        ("answer", "BYTES"),
    ]
    assert [int(length) for length in described["inputs"][0]["shape"]] == [-1, 3, -1, -1]
    served = server.service.models["pets"]
    canvases = np.stack([parts_of(image, served.canvases)[0] for image in IMAGES])
    found = client.infer("pets", inputs(module, IMAGES), request_id="seven")
    assert np.array_equal(found.as_numpy("probabilities"), served.model(canvases))
    said = json.loads(found.as_numpy("answer")[0])
    assert said["abstained"] is True and said["prediction"] is None and said["set"]
    response = found.get_response(**options)
    assert response["id"] == "seven"
    digest = response["parameters"]["digest"]
    assert (digest if isinstance(digest, str) else digest["string_param"]) == served.digest
    wanted = [module.InferRequestedOutput("probabilities")]
    one = client.infer("pets", inputs(module, IMAGES[:1]), outputs=wanted)
    assert one.as_numpy("answer") is None and one.as_numpy("probabilities").shape == (1, 3)


def test_tritonclient_gets_one_sentence_for_a_wrong_request(triton):
    module, client = triton
    from tritonclient.utils import InferenceServerException

    for name, images, expected in (
        ("cats", IMAGES, "the model: expected one of pets, numbers, maps, got 'cats'."),
        ("pets", IMAGES[0], "shape of 'images': expected lengths [any, 3, any, any], got [3, 20, 31]."),
    ):
        with pytest.raises(InferenceServerException) as caught:
            client.infer(name, inputs(module, images))
        assert caught.value.message() == expected


def test_grpc_messages_are_those_of_the_specification():
    """Every field that is built here has the number, type and label of Triton's generated module."""
    theirs = pytest.importorskip("tritonclient.grpc", reason="the comparison needs tritonclient").service_pb2
    from committee.serving.grpc_messages import MESSAGES, message

    def fields(descriptor: Any) -> Any:
        return {
            each.number: (each.name, each.type, each.is_repeated, getattr(each.message_type, "full_name", ""))
            for each in descriptor.fields
        }

    for name in MESSAGES:
        other = theirs
        for part in name.split("."):
            other = getattr(other, part)
        assert fields(message(name).DESCRIPTOR) == fields(other.DESCRIPTOR)


def test_json_alone(server):
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 3, 2, 1], "data": [[[[0], [255]]] * 3]}
    answer = server.client.post("/v2/models/numbers/infer", json={"id": "a", "inputs": [tensor]}).json()
    assert answer["model_name"] == "numbers" and answer["id"] == "a"
    values, said = answer["outputs"]
    assert (values["name"], values["shape"], values["data"]) == ("values", [1, 2], [0.5, 0.5])
    assert json.loads(said["data"][0]) == {"values": {"dark": 0.5, "light": 0.5}}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"inputs": []}, "inputs: expected one input 'images', got none."),
        ({"inputs": "x"}, "inputs: expected a list of objects, got another JSON value."),
        ({"id": 7}, "id: expected a string, got another JSON value."),
        ({"outputs": [{"name": "x"}]}, "outputs: expected 'probabilities' or 'answer', got 'x'."),
        (
            {"outputs": [{"name": "answer", "parameters": {"classification": 2}}]},
            "parameters: expected 'binary_data' alone, got 'classification'.",
        ),
        ({"datatype": "FP32"}, "datatype of 'images': expected 'UINT8', got 'FP32'."),
        ({"shape": [1, 3, 2, 2]}, "data of 'images': expected 12 whole numbers 0..255, got 6."),
        (
            {"shape": [0, 3, 2, 1]},
            "shape of 'images': expected lengths [any, 3, any, any], got [0, 3, 2, 1].",
        ),
        ({"data": [256] * 6}, "data of 'images': expected whole numbers 0..255, got other values."),
        ({"data": [1.5] * 6}, "data of 'images': expected whole numbers 0..255, got other values."),
        (
            {"data": ["a" * 9, 1, 1, 1, 1, 1]},
            "data of 'images': expected whole numbers 0..255, got other values.",
        ),
        ({"data": [10**30] * 6}, "data of 'images': expected whole numbers 0..255, got other values."),
        ({"data": None}, "data of 'images': expected a list of numbers, or binary_data_size, got another."),
    ],
)
def test_wrong_requests_of_json(server, change, expected):
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 3, 2, 1], "data": [0] * 6}
    tensor |= {key: value for key, value in change.items() if key in tensor}
    request = {"inputs": [tensor], **{key: value for key, value in change.items() if key not in tensor}}
    answer = server.client.post("/v2/models/pets/infer", json=request)
    assert (answer.status_code, answer.json()) == (400, {"error": expected})


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"{", {}, "the request: expected a JSON object, got invalid JSON."),
        (b"[" * 100_000, {}, "the request: expected a JSON object, got invalid JSON."),
        (b"[]", {}, "the request: expected a JSON object, got another JSON value."),
        (
            b"{}",
            {"Inference-Header-Content-Length": "9"},
            "Inference-Header-Content-Length: expected 0..2, the size of the JSON part, got '9'.",
        ),
    ],
)
def test_wrong_bodies(server, body, headers, expected):
    answer = server.client.post("/v2/models/pets/infer", content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (400, {"error": expected})


def test_inputs_that_are_no_images():
    """A model of vectors has an input FP32 of one shape, and takes no photos."""
    from committee.inference.rules import rule_of
    from committee.predictions.target_types import NUMBERS
    from committee.serving.limits import Limits
    from committee.serving.served import Served

    from .conftest import Pixels, running

    class Vectors(Pixels):
        input_shape = (3,)

        def __call__(self, inputs):
            return inputs[:, :2] * 2

    limits, model = Limits(decoders=1), Vectors("vectors", NUMBERS)
    with running([Served(model, rule_of(model, coverage=None), limits)], limits) as found:
        address = "/v2/models/vectors/infer"
        tensor = {"name": "images", "datatype": "FP32", "shape": [2, 3], "data": [[1, 2, 3], [4, 5.5, 6]]}
        answer = found.client.post(address, json={"inputs": [tensor]}).json()
        assert answer["outputs"][0]["data"] == [2, 4, 8, 11]
        nothing = found.client.post(address, json={"inputs": [{**tensor, "data": [1e39] * 6}]}).json()
        assert nothing == {"error": "data of 'images': expected finite numbers, got other values."}
        photo = found.post(b"a photo")
        assert photo.json() == {
            "error": "vectors: expected inputs [3], got a photo. Send them to /v2/models/vectors/infer."
        }

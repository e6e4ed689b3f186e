"""Photos: the same answer as everywhere, and one sentence for what is none."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from committee.errors import UsageError
from committee.images.decode import decode
from committee.inference.map_files import MapFiles
from committee.inference.predict import parts_of, predict
from committee.recipe.load import load_recipe
from committee.serving.limits import Limits
from committee.serving.served import open_served
from committee.store.layout import Store

from .conftest import running


def test_a_photo_has_the_same_answer_through_module_command_line_file_and_server(server, pets, photo, cli):
    import torch
    from torch import nn

    from committee.models.member import Member

    said = server.post(photo.read_bytes()).json()
    options = ("--coverage", 0.9, "--abstain-below", 0.999)
    line = json.loads(cli("predict", pets, photo, *options, "--json").out)
    served = server.service.models["pets"]
    assert (said.pop("model"), said.pop("digest")) == ("pets", served.digest)
    assert {"id": str(photo.as_posix()), **said} == {**line["predictions"][0], "sets": line["sets"]}
    assert said["abstained"] is True and said["set"]
    net = nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(3 * 16, 3))
    net.load_state_dict(torch.load(pets.with_name("net.pt")))
    member = Member.from_module(net, classes=served.model.class_names, size=32).eval()
    with torch.inference_mode():
        expected = member(torch.from_numpy(decode(photo))[None]).softmax(1)[0].numpy()
    assert np.allclose(list(said["probabilities"].values()), expected, atol=1e-6)


def test_a_stored_model_answers_as_on_the_command_line(trained_root, photo):
    served = open_served("mine=test_resnet", Store(trained_root), load_recipe(None, ["device=cpu"]), Limits())
    assert served.name == "mine" and len(served.digest) == 64 and not served.edition.is_changed()
    parts = parts_of(decode(photo, served.model.channels), served.canvases)
    (expected,) = predict(served.model, [photo])
    found = served.batcher.submit(("a", parts)).result()
    assert np.array_equal(found.probabilities, expected.probabilities)
    served.close()


def test_standard_deviations_are_those_of_the_command_line(numbers_root, photo, cli):
    """Of a photo as of arrays: `values` have the standard deviations after each number."""
    store = Store(numbers_root)
    name, recipe, limits = "soft_voting_ensemble", load_recipe(None, ["device=cpu"]), Limits(decoders=1)
    words = ("predict", name, photo, "--std", "--json", "--store", numbers_root)
    (line,) = json.loads(cli(*words).out)["predictions"]
    with running([open_served(f"ink={name}", store, recipe, limits, std=True)], limits) as server:
        found = server.post(photo.read_bytes()).json()
        assert {key: found[key] for key in line if key != "id"} == {
            k: v for k, v in line.items() if k != "id"
        }
        pixels = decode(photo, 1)[None]
        tensor = {"name": "images", "datatype": "UINT8", "shape": pixels.shape, "data": pixels.tolist()}
        outputs = server.client.post("/v2/models/ink/infer", json={"inputs": [tensor]}).json()["outputs"]
        described = server.client.get("/v2/models/ink").json()["outputs"][0]
    assert described["shape"] == [-1, *outputs[0]["shape"][1:]] == [-1, 2, 2]
    assert json.loads(outputs[1]["data"][0])["epistemic_std"] == line["epistemic_std"]
    expected = [line[key][target] for target in ("ink", "left") for key in ("values", "epistemic_std")]
    assert np.allclose(outputs[0]["data"], expected, atol=1e-6)
    with pytest.raises(UsageError, match="--engine: expected eager with --std, which needs the outputs"):
        open_served(name, store, recipe, limits, std=True, engine="channels_last")


def test_a_stored_model_answers_on_the_engine_that_is_named(trained_root, photo):
    store, recipe, limits = Store(trained_root), load_recipe(None, ["device=cpu"]), Limits(decoders=1)
    eager, fast = (
        open_served(f"{name}=test_resnet", store, recipe, limits, engine=engine)
        for name, engine in (("eager", "eager"), ("fast", "channels_last"))
    )
    assert fast.model.module.engine == "channels_last"
    with running([eager, fast], limits) as server:
        answers = [server.post(photo.read_bytes(), model=name).json() for name in ("eager", "fast")]
    assert answers[0]["digest"] == answers[1]["digest"]
    probabilities = [list(each["probabilities"].values()) for each in answers]
    assert np.allclose(*probabilities, atol=1e-5)


def test_forms_of_a_photo(server, photo):
    content = photo.read_bytes()
    form = server.post(content).json()
    body = server.client.post("/predict", content=content, headers={"Content-Type": "image/jpeg"})
    assert body.json() == form and body.headers["X-Model-Digest"] == form["digest"]
    other = server.client.post("/predict", files={"file": content}, data={"note": "x" * 100})
    assert other.json() == form


def test_maps_are_the_files_of_the_command_line(server, photo, tmp_path):
    content, served = photo.read_bytes(), server.service.models["maps"]
    (expected,) = predict(served.model, [photo])
    mask = server.post(content, model="maps", output="map")
    (path,) = MapFiles(tmp_path, served.model, [photo]).write(photo, expected.probabilities)
    assert mask.content == path.read_bytes() and mask.headers["content-type"] == "image/png"
    array = server.post(content, model="maps", output="array")
    assert np.array_equal(np.load(io.BytesIO(array.content)), expected.probabilities)
    assert (
        server.post(content, model="maps").json()["shares"]
        == served.rule.entry(expected.probabilities)["shares"]
    )


BROKEN = "the photo: expected a JPEG, PNG or WebP image, got {}. Replace it or leave it out."
IMAGE = {"content-type": "image/png"}
FORM = {"content-type": "multipart/form-data; boundary=x"}
TYPES = "image/jpeg, image/png, image/webp, application/octet-stream"


@pytest.mark.parametrize(
    ("status", "body", "headers", "query", "expected"),
    [
        (400, b"GIF89a", IMAGE, {}, BROKEN.format("a GIF image")),
        (400, b"--x\r\n", FORM, {}, "the form: expected one file, got 0."),
        (400, b"nonsense", FORM, {}, "the form: expected multipart/form-data, got a damaged one."),
        (404, b"", IMAGE, {"model": "x"}, "the model: expected one of pets, numbers, maps, got 'x'."),
        (400, b"", IMAGE, {"output": "x"}, "query.output: Input should be 'json', 'map' or 'array'."),
        (413, bytes(200_001), IMAGE, {}, "the request: expected at most 200000 bytes, got more."),
        (413, bytes(900_000), IMAGE, {}, "the request: expected at most 200000 bytes, got more."),
        (
            415,
            b"{}",
            {"content-type": "application/json"},
            {},
            f"Content-Type: expected multipart/form-data with a boundary, or {TYPES}, "
            "got 'application/json'.",
        ),
        (
            415,
            b"{}",
            {**IMAGE, "content-encoding": "gzip"},
            {},
            "the request: expected a body without Content-Encoding, got 'gzip'.",
        ),
    ],
)
def test_what_is_no_photo_is_refused_in_one_sentence(server, status, body, headers, query, expected):
    answer = server.client.post("/predict", content=body, headers=headers, params=query)
    assert (answer.status_code, answer.json()) == (status, {"error": expected})


def test_too_many_pixels_are_refused_by_their_header(server):
    file = io.BytesIO()
    Image.new("1", (8000, 7000)).save(file, "PNG")
    answer = server.post(file.getvalue())
    assert answer.status_code == 400
    assert answer.json() == {"error": BROKEN.format("more than 50 million pixels: 8000 x 7000")}


def test_a_model_with_one_answer_has_no_maps(server, photo):
    answer = server.post(photo.read_bytes(), output="map")
    assert answer.json() == {
        "error": "output: expected 'json' of a model with one answer for an image, got 'map'."
    }

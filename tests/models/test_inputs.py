"""Members of networks of anything but images: vectors, sequences, tensors of many channels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

from committee.errors import CommitteeError
from committee.images.as_given import AsGiven
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.stacked import Stack


def make(shape, number=0, **options):
    torch.manual_seed(number)
    size = int(np.prod(shape))
    net = nn.Sequential(nn.Flatten(), nn.Linear(size, 4), nn.ReLU(), nn.Linear(4, 3))
    options = options or {"classes": ["x", "y", "z"]}
    return Member.from_module(net, shape=shape, name=f"net_{number}", **options).eval()


@pytest.mark.parametrize("shape", [(5,), (2, 6), (7, 4, 4), (1, 2, 3, 4)])
def test_a_member_takes_inputs_of_its_shape_and_lives_in_ensembles(shape, tmp_path) -> None:
    members = [make(shape, number) for number in range(3)]
    inputs, labels = torch.randn(9, *shape, dtype=torch.float64), np.arange(9) % 3
    outputs = torch.stack([member.network.net(inputs.float()).softmax(1) for member in members])
    ensemble = Ensemble(members)
    np.testing.assert_allclose(ensemble.predict(inputs), outputs.mean(0).detach(), atol=1e-6)
    np.testing.assert_allclose(
        ensemble.predict(inputs.numpy(), batch_size=2), ensemble.predict(inputs), atol=1e-6
    )
    assert members[0].embed(inputs).shape == (9, 4)
    loader = [(inputs[:5], labels[:5]), (inputs[5:], labels[5:])]
    singles = list(zip(inputs, labels, strict=True))
    for data in loader, singles:
        np.testing.assert_array_equal(
            ensemble.predictions(data).sample_ids, ensemble.predictions(inputs, labels).sample_ids
        )
        np.testing.assert_allclose(
            ensemble.predictions(data).logits, ensemble.predictions(inputs, labels).logits, atol=1e-6
        )
    ensemble.fit(inputs, labels, method="weighted").save(tmp_path / "saved")
    nets = {member.name: make(shape, 9).network.net for member in members}
    again = Ensemble.load(tmp_path / "saved", nets=nets)
    np.testing.assert_array_equal(again.predict(inputs), ensemble.predict(inputs))
    assert isinstance(again.members[0].view, AsGiven) and again.members[0].normalized


def test_rows_of_a_data_frame_are_inputs() -> None:
    frame = pytest.importorskip("pandas").DataFrame({"a": [0.5, 1.5], "b": [1, 2]})
    member = make((2,))
    np.testing.assert_array_equal(member.predict(frame), member.predict(frame.to_numpy(np.float32)))


def test_networks_of_numbers(tmp_path) -> None:
    member = make((5,), targets=["a", "b", "c"], shift=[1.0] * 3, scale=[2.0] * 3)
    inputs = torch.randn(4, 5)
    np.testing.assert_allclose(member.predict(inputs), 2 * member.network.net(inputs).detach() + 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda member: member.predict(None),
            "images: expected a tensor, an array or a sequence of images, got a NoneType. Put a single image",
        ),
        (
            lambda member: member.predict("photo.jpg"),
            "images: expected a tensor, an array or a sequence of im",
        ),
        (
            lambda member: member.predict(torch.zeros(2, 0)),
            "images: expected images with pixels, got an array",
        ),
        (lambda member: member.predict(torch.zeros(2, 5), 0), "batch_size: expected at least 1, got 0."),
        (
            lambda member: member.predict(torch.zeros(2, 5), "3"),
            "batch_size: expected a whole number, got '3'.",
        ),
        (
            lambda member: Ensemble(member),
            "ensemble: expected a sequence of modules, its members, got a Member.",
        ),
        (
            lambda member: Ensemble({"a": member}),
            "ensemble: expected a sequence of modules, its members, got a d",
        ),
        (
            lambda member: Ensemble([member, 3]),
            "ensemble: expected a sequence of modules, its members, got a int",
        ),
        (lambda member: Stack([member], [1]), "stack: example: expected a tensor [B, ...], got a list."),
    ],
)
def test_what_is_no_batch_and_no_member_is_named(call, message) -> None:
    with pytest.raises(CommitteeError) as caught:
        call(make((5,)))
    assert str(caught.value).startswith(message)


def test_inputs_that_are_not_finite_are_named() -> None:
    members, inputs = [make((5,), number) for number in range(2)], np.ones((6, 5), np.float32)
    inputs[3, 2], inputs[4] = np.nan, np.inf
    ensemble, hard = Ensemble(members), Ensemble([make((5,), 2), make((5,), 3)], "hard_voting", name="hard")
    calls = {
        "net_0: inputs": lambda: members[0].predict(list(inputs)),
        "hard: inputs": lambda: hard.predict(inputs, batch_size=2),
        "ensemble: inputs": lambda: ensemble.fit(inputs, np.arange(6) % 3, method="weighted"),
        "example": lambda: ensemble.optimize(inputs, cache=False),
        "net_4: inputs": lambda: make((5,), 4, targets=["a", "b", "c"]).predict_distribution(inputs),
    }
    for who, call in calls.items():
        with pytest.raises(CommitteeError) as caught:
            call()
        assert str(caught.value) == (
            f"{who}: expected finite numbers, got NaN or infinity in 2 of 6 rows, the first of which is row "
            "4. Leave out these rows, or fill in values: numpy.nan_to_num."
        )
    with torch.no_grad():
        members[1].network.net[1].bias.fill_(np.nan)
    with pytest.raises(CommitteeError, match=r"for 6 of 6 images\. Check the weights of the networks\.$"):
        ensemble.predict(np.ones((6, 5), np.float32))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            torch.zeros(3, 4),
            "net_0: expected a batch float [batch, 5], got float32 [3, 4] with values in 0..0.",
        ),
        (torch.zeros(5), "Add the axis of the batch: inputs[None]."),
        (torch.zeros(3, 5, dtype=torch.int64), "Convert them as in the training: inputs.float()."),
        (torch.zeros(3, 5, dtype=torch.uint8), "Convert them as in the training: inputs.float()."),
        (np.zeros((3, 5)), "Call the method predict, or torch.from_numpy(images)."),
    ],
)
def test_other_inputs_are_errors(inputs, message) -> None:
    with pytest.raises(CommitteeError) as caught:
        make((5,))(inputs)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {},
            "net: expected the size of square images, or the shape of an input, got neither. "
            "Pass size=... or shape=[...].",
        ),
        (
            {"size": 5, "shape": [5]},
            "net: expected the size of square images, or the shape of an input, got both.",
        ),
        ({"shape": []}, "the shape of an input: expected lengths from 1 to 1048576, got []."),
        ({"shape": [0]}, "the shape of an input: expected lengths from 1 to 1048576, got [0]."),
        ({"shape": [4]}, "net: expected a network from inputs, float [4, 4], to logits, got RuntimeError"),
        ({"shape": [5], "classes": 2}, "net: classes: expected a sequence of names, got 2."),
        ({"shape": [5], "classes": []}, "net: classes: expected a sequence of names, got []."),
        ({"shape": [5], "classes": ["x", "x"]}, "net: classes: expected distinct names, got 'x' twice."),
        ({"shape": [5], "net": nn.Linear}, "net: expected a network, an nn.Module, got <class 'torch.nn."),
    ],
)
def test_bad_shapes_are_errors(options, message) -> None:
    with pytest.raises(CommitteeError) as caught:
        Member.from_module(**{"net": nn.Linear(5, 2), "classes": ["x", "y"], "name": "net", **options})
    assert str(caught.value).startswith(message)


def test_a_stored_shape_is_checked(tmp_path) -> None:
    make((5,)).save(tmp_path)
    file = tmp_path / "member.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    description["view"]["shape"] = [10**12]
    file.write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(CommitteeError, match="the shape of an input"):
        Member.load(tmp_path, net=nn.Linear(5, 3))

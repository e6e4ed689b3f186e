"""Ensembles: members of any kind, one run of each network, classes matched by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from committee.combiners.shared.serving import default_task, serving
from committee.errors import DataError, UsageError
from committee.models.ensemble import Ensemble, folds_member
from committee.models.member import Member

PHOTOS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 3, 40, 30), dtype=np.uint8))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])
LOADER = [(PHOTOS, LABELS), (PHOTOS.flip(3), LABELS), (PHOTOS.flip(2), LABELS), (PHOTOS.flip(1), LABELS)]


class Bare(nn.Module):
    """A module from images to logits without a name, classes or preprocessing."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.01, -0.02, 0.03]))
        self.shift, self.calls = shift, 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images.float().mean((2, 3)) * self.scale + self.shift * torch.arange(3.0)


@pytest.fixture(scope="module")
def members() -> list[Member]:
    names = ("test_resnet", "test_vit", "test_efficientnet")
    made = [Member.build(n, classes="abc", size=32, seed=k).eval() for k, n in enumerate(names)]
    for member in made:
        # Outputs of random networks hardly depend on the image, so they are scaled up.
        for parameter in member.network.head_parameters():
            parameter.data.mul_(20)
    return made


@torch.no_grad()
def test_weights_are_of_probabilities():
    a, b = Bare(), Bare(0.5)
    output = Ensemble([a, b], weights=[0.6, 0.4])(PHOTOS)
    expected = 0.6 * a(PHOTOS).softmax(1) + 0.4 * b(PHOTOS).softmax(1)
    torch.testing.assert_close(output.exp(), expected)


@torch.no_grad()
def test_weights_by_name():
    ensemble = Ensemble([Bare(), Bare(0.5)], weights={"y": 3, "x": 1}, names=["x", "y"])
    same = Ensemble([ensemble.members[0], ensemble.members[1]], weights=[0.25, 0.75])
    torch.testing.assert_close(ensemble(PHOTOS), same(PHOTOS))


def test_default_is_soft_voting_and_names_are_numbered():
    ensemble = Ensemble([Bare(), Bare()])
    assert ensemble.combiner.key == "soft_voting"
    assert ensemble.names == ("Bare", "Bare_2")


@torch.no_grad()
def test_classes_are_matched_by_name(members: list[Member]):
    a = members[0]
    other = Member.build("test_vit", classes="cab", size=32, seed=9).eval()
    output = Ensemble([a, other])(PHOTOS).exp()
    expected = (a(PHOTOS).softmax(1) + other(PHOTOS).softmax(1)[:, [1, 2, 0]]) / 2
    torch.testing.assert_close(output, expected)
    turned = Ensemble([a, other], class_names="cab")(PHOTOS).exp()
    torch.testing.assert_close(turned, expected[:, [2, 0, 1]])


def test_other_classes_are_refused(members: list[Member]):
    other = Member.build("test_vit", classes="abd", size=32, name="odd")
    with pytest.raises(DataError) as caught:
        Ensemble([members[0], other])
    assert str(caught.value) == (
        "ensemble member 'odd': expected the classes 'a', 'b', 'c', got classes without 'c'."
        " Train the members on the same classes."
    )


@torch.no_grad()
def test_shared_networks_run_once():
    a, b, c = Bare(), Bare(0.3), Bare(-0.4)
    inner = Ensemble([a, b], weights=[0.7, 0.3], names=["a", "b"])
    nested = Ensemble([inner, c, Ensemble([inner, c, a], "hard_voting"), b])
    output = nested(PHOTOS)
    assert [a.calls, b.calls, c.calls] == [1, 1, 1]
    assert [len(nested.members), len(nested.votes)] == [3, 2]
    hard = Ensemble([inner, c, a], "hard_voting")(PHOTOS)
    by_hand = torch.stack([inner(PHOTOS), c(PHOTOS).log_softmax(1), hard, b(PHOTOS).log_softmax(1)])
    torch.testing.assert_close(output.exp(), by_hand.exp().mean(0))
    torch.testing.assert_close(nested.member_logits(PHOTOS).log_softmax(2), by_hand)
    assert sum(p.numel() for p in nested.parameters()) == 9
    assert len(nested.state_dict()) - sum("combiner" in key for key in nested.state_dict()) == 3


@torch.no_grad()
def test_nested_classes_are_matched_by_name(members: list[Member]):
    turned = Member.build("test_vit", classes="cab", size=32, seed=9).eval()
    inner = Ensemble([turned, members[0]])
    nested = Ensemble([members[1], inner])
    expected = (members[1](PHOTOS).softmax(1) + inner(PHOTOS).exp()[:, [1, 2, 0]]) / 2
    torch.testing.assert_close(nested(PHOTOS).exp(), expected)


@pytest.mark.parametrize("method", ["soft_voting", "weighted", "greedy_selection", "stacking_lr"])
def test_fit_from_a_loader(method: str, members: list[Member]):
    ensemble = Ensemble(members).fit(LOADER, method=method)
    predictions = ensemble.predictions(LOADER)
    assert predictions.logits.shape == (3, 24, 3)
    assert predictions.labels is not None and predictions.labels[:6].tolist() == LABELS.tolist()
    with torch.no_grad():
        expected = ensemble.combiner.combine(predictions.logits)[:6]
        np.testing.assert_allclose(ensemble(PHOTOS).numpy(), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(ensemble.infer(PHOTOS), ensemble(PHOTOS))


def test_fit_takes_options_and_keeps_the_combiner_it_has(members: list[Member]):
    ensemble = Ensemble(members, "weighted").fit(LOADER, metric="accuracy")
    assert ensemble.combiner.options()["metric"] == "accuracy"
    assert ensemble.fit(LOADER).combiner.options()["metric"] == "accuracy"


def test_fit_of_modules_without_class_names():
    ensemble = Ensemble([Bare(), Bare(1.0)]).fit(LOADER, method="weighted")
    assert ensemble.predictions(LOADER).class_names == ("0", "1", "2")


@torch.no_grad()
@pytest.mark.parametrize("method", ["soft_voting", "weighted", "stacking_lr"])
def test_saved_ensemble_answers_the_same(method: str, members: list[Member], tmp_path: Path):
    inner = Ensemble(members[:2], weights=[0.8, 0.2], name="inner")
    ensemble = Ensemble([inner, members[2], members[0]], name="top").fit(LOADER, method=method)
    ensemble.save(tmp_path)
    loaded = Ensemble.load(tmp_path)
    assert torch.equal(loaded(PHOTOS), ensemble(PHOTOS))
    assert (loaded.name, loaded.names, loaded.class_names) == ("top", ensemble.names, ("a", "b", "c"))
    assert [len(loaded.members), len(loaded.votes)] == [3, 1]
    assert len(list((tmp_path / "members").iterdir())) == 3


@torch.no_grad()
def test_saved_ensemble_of_own_modules(tmp_path: Path):
    nets = [nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)) for _ in range(2)]
    made = [Member.from_module(net, classes="abc", size=16, name=f"n{k}") for k, net in enumerate(nets)]
    ensemble = Ensemble(made)
    ensemble.save(tmp_path)
    blank = {f"n{k}": nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)) for k in range(2)}
    assert torch.equal(Ensemble.load(tmp_path, nets=blank)(PHOTOS), ensemble(PHOTOS))


def test_bare_modules_cannot_be_saved(tmp_path: Path):
    with pytest.raises(UsageError) as caught:
        Ensemble([Bare()]).save(tmp_path)
    assert str(caught.value) == (
        "ensemble: expected members with a save method, got Bare. Wrap it with Member.from_module."
    )
    assert not list(tmp_path.iterdir())


def test_folds_speak_together(members: list[Member]):
    together = folds_member(members, "resnet")
    assert together.name == "resnet"
    probabilities = np.mean([member.predict(PHOTOS) for member in members], axis=0)
    np.testing.assert_allclose(together.predict(PHOTOS), probabilities, rtol=1e-5)
    assert Ensemble([together, members[0]]).names == ("resnet", "test_resnet")


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("method", serving(default_task()))
def test_permuted_members_and_every_combiner(method: str, members: list[Member]):
    options = {
        "compose": {"inputs": {"soft": "soft_voting", "log": "logit_averaging"}, "final": "soft_voting"},
        "fallback": {"inner": "soft_voting", "fallback": "logit_averaging"},
        "subset": {"members": ["test_vit", "test_resnet"]},
    }.get(method, {})
    forwards = Ensemble(members).fit(LOADER, **options, method=method)
    backwards = Ensemble(members[::-1]).fit(LOADER, **options, method=method)
    torch.testing.assert_close(forwards(PHOTOS), backwards(PHOTOS), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"members": []}, "ensemble: expected at least one member, got none."),
        (
            {"combiner": "soft_voting", "weights": [1, 1]},
            "ensemble: expected a combiner or weights, got both. Leave one of them out.",
        ),
        ({"names": ["a"]}, "ensemble.names: expected 2 distinct names, got 'a'."),
        ({"names": ["a", "a"]}, "ensemble.names: expected 2 distinct names, got 'a', 'a'."),
    ],
)
def test_what_does_not_fit_is_said(arguments: dict[str, object], sentence: str):
    with pytest.raises(UsageError) as caught:
        Ensemble(**{"members": [Bare(), Bare()], **arguments})
    assert str(caught.value) == sentence


def test_a_member_twice_is_refused():
    module = Bare()
    with pytest.raises(UsageError) as caught:
        Ensemble([module, module])
    assert (
        str(caught.value) == "ensemble: expected distinct members, got 'Bare' twice. Give it a larger weight."
    )


def test_combiner_of_other_members_is_refused():
    fitted = Ensemble([Bare(), Bare(1.0)], names=["a", "b"]).fit(LOADER, method="weighted").combiner
    with pytest.raises(DataError) as caught:
        Ensemble([Bare(), Bare()], fitted, names=["b", "a"])
    assert str(caught.value) == (
        "ensemble: expected the members that the combiner was fitted on, 'a', 'b', got 'b', 'a'."
        " Give them these names, in this order."
    )


def test_empty_loader():
    with pytest.raises(DataError) as caught:
        Ensemble([Bare()]).fit([])
    assert str(caught.value) == "ensemble: expected batches of (images, labels), got an empty loader."


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_nested_ensemble_can_be_traced_for_export(members: list[Member]):
    nested = Ensemble([Ensemble(members[:2]), members[1], members[2]], weights=[0.5, 0.2, 0.3]).eval()
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(nested, (PHOTOS,), dynamic_shapes=({0: batch},))
    torch.testing.assert_close(program.module()(PHOTOS[:4]), nested(PHOTOS[:4]))

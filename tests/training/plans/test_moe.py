"""Mixtures of experts as plans: no expert runs while the gate learns."""

import numpy as np
import pytest
import torch

from committee.errors import UsageError
from committee.models.member import Member
from committee.models.stored import load_network
from committee.pipeline.shared.sample_weights import sample_weights
from committee.predictions.table import Predictions
from committee.recipe.runs import Moe
from committee.solvers.experts import ClassExperts, NumberExperts
from committee.training.fit.predict import logits_of
from committee.training.plans.base import Inputs
from committee.training.plans.moe import MoePlan, gate_loss

SECTION = Moe(num_experts=2, top_k=1, gating_hidden_dim=8, epochs=5)


@pytest.fixture
def candidates(add_single, store):
    """Cross-fit three members; return their joined out-of-fold predictions."""
    for seed in range(3):
        add_single(f"m{seed}", f"training.epochs={seed + 1}", f"seed={seed}")
    return Predictions.join([Predictions.load(store.kfold(f"m{seed}") / "oof") for seed in range(3)])


def moe(candidates, dataset, store, cpu, section=SECTION, split="oof"):
    names = candidates.members
    facts = {name: {"img_size": 8} for name in names}
    inputs = Inputs(names, facts, dict.fromkeys(names, "x"), dataset, store, cpu, trusted=True)
    return MoePlan("moe", inputs, section, candidates, split)


def test_it_keeps_the_contract(candidates, dataset, store, cpu, contract):
    contract(moe(candidates, dataset, store, cpu))


def test_no_expert_runs_while_the_gate_learns(candidates, dataset, store, cpu, monkeypatch):
    plan = moe(candidates, dataset, store, cpu)
    monkeypatch.setattr("committee.training.plans.moe.call_times", lambda *_: [1.0])
    monkeypatch.setattr(Member, "forward", lambda self, images: pytest.fail("an expert ran"))
    rows = dataset.rows("train")
    kept, held_out = rows[dataset.folds[rows] != 0], rows[dataset.folds[rows] == 0]
    made = plan.run(kept, "fold_0", fingerprint="x")["moe"]
    stored = plan.predict(made, held_out, "fold_0")
    monkeypatch.undo()
    run = logits_of(made, dataset, held_out, batch_size=32, device=cpu)
    np.testing.assert_allclose(stored, run, rtol=1e-3, atol=1e-4)


def test_the_report_says_who_is_asked_and_what_is_saved(candidates, dataset, store, cpu):
    made = moe(candidates, dataset, store, cpu).run(dataset.rows("train"), "refit", fingerprint="x")["moe"]
    report = made.provenance
    assert len(report["experts"]) == 2 and report["chosen_by"] == "greedy_forward"
    assert "m2" in report["experts"], "the best of the members"
    assert sum(report["usage"].values()) == pytest.approx(1, abs=1e-3)
    assert 0.1 < report["saved"] < 0.9
    assert report["summary"].startswith("by greedy_forward: ")


def test_it_has_out_of_fold_rows(candidates, dataset, store, cpu, crossfitted):
    crossfitted(moe(candidates, dataset, store, cpu), store)
    oof = Predictions.load(store.kfold("moe") / "oof")
    assert len(oof) == 240 and not oof.seen.any()


def test_weights_of_images_are_stored_by_fold(candidates, dataset, store, cpu, crossfitted):
    section = Moe(num_experts=2, top_k=2, gating_hidden_dim=8, epochs=2)
    crossfitted(moe(candidates, dataset, store, cpu, section), store)
    found = sample_weights(store, "moe", "oof")
    assert np.allclose(found.weights.sum(axis=1), 1) and set(found.members) <= set(candidates.members)
    assert found.to_frame().index.tolist() == list(Predictions.load(store.kfold("moe") / "oof").sample_ids)
    fold = load_network(store.checkpoint("moe", "fold_1"), trusted=True)
    rows = dataset.rows("train")[dataset.folds[dataset.rows("train")] == 1]
    with torch.inference_mode():
        weights = fold.weights(dataset.images(rows, fold.view)).numpy()
    own = found.to_frame()[fold.provenance["experts"]].loc[dataset.sample_ids[rows]]
    np.testing.assert_allclose(own, weights, atol=1e-6)
    assert repr(sample_weights(store, "moe")) == "SampleWeights('moe', test, 80 images x 2 members)"
    assert sample_weights(store, "m0") is None and len(sample_weights(store, "moe", most=7).sample_ids) == 7
    assert "images with a weight" in found._repr_html_()


def test_the_gate_learns_who_is_right(dataset, store, cpu, candidates):
    # Each of two members knows the digits that the other does not: a gate that sees them can tell.
    labels = candidates.labels
    low = labels < 5
    right = np.full((2, len(labels), 10), -4.0, np.float32)
    right[0, low, labels[low]] = right[1, ~low, labels[~low]] = 8
    right[0, ~low, (labels[~low] + 1) % 10] = right[1, low, (labels[low] + 1) % 10] = 4
    known = Predictions.from_logits(
        right,
        members=["m0", "m1"],
        class_names=candidates.class_names,
        labels=labels,
        sample_ids=candidates.sample_ids,
        folds=candidates.folds,
    )
    section = Moe(num_experts=2, top_k=1, gating_hidden_dim=32, epochs=60)
    made = moe(known, dataset, store, cpu, section).run(dataset.rows("train"), "refit", fingerprint="x")[
        "moe"
    ]
    order = [made.provenance["experts"].index(name) for name in ("m0", "m1")]
    with torch.inference_mode():
        asked = made.weights(dataset.images(dataset.rows("train"))).argmax(1).numpy()
    wanted = np.where(dataset.labels[dataset.rows("train")] < 5, order[0], order[1])
    assert (asked == wanted).mean() > 0.75


@pytest.mark.parametrize("top_k", [1, 2])
@pytest.mark.parametrize(
    "experts",
    [
        ClassExperts(torch.tensor([[-0.1, -3.0, -3.0]]).expand(400, 3)),
        NumberExperts(torch.tensor([[[0.1], [3.0], [3.0]]]).expand(400, 3, 1)),
    ],
    ids=["classes", "numbers"],
)
def test_the_gate_has_a_gradient_towards_who_is_right(experts, top_k):
    torch.manual_seed(0)
    output = torch.zeros(400, 6, requires_grad=True)
    gate_loss(output, experts, slice(None), top_k).backward()
    mean = output.grad.mean(0)
    assert mean[0] < 0 < mean[1] and mean[2] > 0


def test_shares_that_differ_cost():
    torch.manual_seed(0)
    quiet = torch.tensor([[0.0, 0.0, -30.0, -30.0]]).expand(400, 4)
    biased = torch.tensor([[3.0, 0.0, -30.0, -30.0]]).expand(400, 4)
    alike = ClassExperts(torch.full((400, 2), -1.0))
    assert gate_loss(biased, alike, slice(None), 1) > gate_loss(quiet, alike, slice(None), 1)


def test_more_experts_than_members_are_as_many_as_there_are(candidates, dataset, store, cpu, caplog):
    plan = moe(candidates, dataset, store, cpu, Moe(num_experts=9, top_k=2, epochs=1))
    assert plan.experts == 3
    assert "moe: only 3 experts, since there are no more members" in caplog.text


def test_one_member_is_no_moe(candidates, dataset, store, cpu):
    with pytest.raises(
        UsageError, match=r"runs\.moe: expected at least 2 members, since top_k is 1, got m0\."
    ):
        moe(candidates.select(["m0"]), dataset, store, cpu)


def test_rows_of_a_val_split_that_it_learned_from_count_as_seen(candidates, dataset, store, cpu, crossfitted):
    val = Predictions.join([Predictions.load(store.kfold(f"m{seed}") / "val_refit") for seed in range(3)])
    plan = moe(val, dataset, store, cpu, split="val")
    assert plan.folds == 0
    crossfitted(plan, store)
    assert Predictions.load(store.kfold("moe") / "val_refit").seen.all()

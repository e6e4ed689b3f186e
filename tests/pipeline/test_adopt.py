"""Adoption of networks from elsewhere: file layouts, orders of classes, and rows that they may have seen."""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from committee.errors import DataError, LeakError, MismatchError, StoreError, UsageError
from committee.images.dataset import open_dataset
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.stored import load_network
from committee.pipeline.adopt import Foreign, adopt
from committee.pipeline.discover import look_through
from committee.pipeline.run import run_verb
from committee.pipeline.shared.class_names import read_classes
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.shared.splits import fitting_rows, load_predictions
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.train import Train
from committee.predictions.table import Predictions
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store.layout import Store


def recipe(*overrides: str) -> Recipe:
    fixed = ["device=cpu", "dataset.img_size=32", "runs.score_ensemble.contributions_budget=0"]
    return load_recipe(None, [*fixed, *overrides])


@pytest.fixture
def net(trained: Store) -> Member:
    """A trained network that is adopted as if it came from elsewhere."""
    return load_network(trained.checkpoint("test_vit", "refit"), ())


def foreign(tmp_path: Path, member: Member, **changes) -> Foreign:
    """Return a description of the network, with files of its weights and classes."""
    weights, classes = tmp_path / "net.pt", tmp_path / "classes.txt"
    torch.save(member.network.net.state_dict(), weights)
    classes.write_text("\n".join(member.class_names) + "\n", encoding="utf-8")
    given = {
        "name": "guest",
        "backbone": "timm:test_vit",
        "weights": weights,
        "classes": classes,
        "mean": member.view.options()["mean"],
        "std": member.view.options()["std"],
    }
    return Foreign(**{**given, **changes})


WRAPPED = {
    "timm_with_arguments": lambda state: {
        "epoch": 3,
        "arch": "test_vit",
        "state_dict": state,
        "args": argparse.Namespace(lr=0.1, opt="adamw"),
        "metric": np.float64(77.5),
    },
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3},
    "ddp": lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
    "lightning": lambda state: {
        "state_dict": {**{f"model.{n}": t for n, t in state.items()}, "loss.weight": torch.ones(10)},
        "hyper_parameters": {"lr": 0.1},
        "pytorch-lightning_version": "2.5",
    },
    "compiled": lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
    "torchvision_average": lambda state: {
        "model": {name: torch.zeros_like(tensor) for name, tensor in state.items()},
        "model_ema": {"n_averaged": torch.ones(()), **{f"module.{n}": t for n, t in state.items()}},
        "args": argparse.Namespace(model="test_vit"),
    },
    "timm": lambda state: {
        "state_dict": {name: torch.zeros_like(tensor) for name, tensor in state.items()},
        "state_dict_ema": state,
        "arch": "test_vit",
    },
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_any_wrapping_predicts_as_the_network_does(
    kind: str, trained: Store, net: Member, tmp_path: Path
) -> None:
    given = foreign(tmp_path, net, seen="none", ema=kind in ("timm", "torchvision_average"))
    torch.save(WRAPPED[kind](net.network.net.state_dict()), given.weights)
    found = adopt(recipe(), trained, given)
    assert found.state == "adopted" and found.agrees["fresh"] > 0.15
    dataset = open_dataset(None, trained, img_sizes=[32], folds=0, seed=0)
    with torch.inference_mode():
        expected = net(dataset.images(dataset.rows("test"))).numpy()
    stored = load_predictions(trained, ["guest"], "test").logits[0]
    np.testing.assert_allclose(stored, expected, atol=1e-5)


def test_safetensors(trained: Store, net: Member, tmp_path: Path) -> None:
    given = foreign(tmp_path, net, weights=tmp_path / "net.safetensors")
    save_file({f"backbone.{n}": t for n, t in net.network.net.state_dict().items()}, given.weights)
    assert adopt(recipe(), trained, given).prefix == "backbone."


def test_it_is_a_member_like_any_other(trained: Store, net: Member, tmp_path: Path) -> None:
    adopt(recipe(), trained, foreign(tmp_path, net, seen="none"))
    entry = next(each for each in look_through(trained)["members"] if each["name"] == "guest")
    assert entry["backbone"] == "timm:test_vit" and entry["adopted"]["seen"] == "none"
    assert run_verb("build-ensemble", recipe(), trained, methods=["soft_voting"]).done == [
        "soft_voting_ensemble"
    ]
    facts = ensemble_facts(trained, "soft_voting_ensemble")
    assert facts["members"] == ["guest", "test_resnet", "test_vit"] and facts["n"] == 191
    outcome = Evaluate().run(recipe(), trained)
    assert {"guest", "soft_voting_ensemble"} <= set(outcome.done) and outcome.exit_code == 0, outcome.failed
    report = json.loads((trained.member_metrics("guest") / "metrics.json").read_text("utf-8"))
    assert (report["start"], report["seen"]) == ("adopted", 0)
    assert (
        run_verb(
            "export", recipe("exports.formats=[checkpoint]"), trained, models=["soft_voting", "guest"]
        ).exit_code
        == 0
    )


def test_classes_in_another_order_are_matched_by_name(trained: Store, net: Member, tmp_path: Path) -> None:
    order = np.random.default_rng(0).permutation(10)
    state = dict(net.network.net.state_dict())
    for name in ("head.weight", "head.bias"):
        state[name] = state[name][torch.from_numpy(order)]
    given = foreign(tmp_path, net, seen="none")
    torch.save(state, given.weights)
    given.classes.write_text(json.dumps([net.class_names[place] for place in order]), encoding="utf-8")
    found = adopt(recipe(), trained, given)
    assert found.reordered
    one, other = (load_predictions(trained, [name], "test") for name in ("guest", "test_vit"))
    np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)
    run_verb("build-ensemble", recipe(), trained, methods=["stacking_lr"])
    module, facts = load_model(trained, "stacking_lr")
    assert isinstance(module, Ensemble) and facts["class_names"] == list(one.class_names)
    dataset = open_dataset(None, trained, img_sizes=[32], folds=0, seed=0)
    rows = dataset.rows("test")
    with torch.inference_mode():
        predicted = module(dataset.images(rows)).argmax(1).numpy()
    Evaluate().run(recipe(), trained)
    report = json.loads((trained.ensemble_metrics("stacking_lr") / "metrics.json").read_text("utf-8"))
    assert (predicted == dataset.labels[rows]).mean() == pytest.approx(report["metrics"]["accuracy"]["value"])


def test_other_classes_are_listed(trained: Store, net: Member, tmp_path: Path) -> None:
    given = foreign(tmp_path, net)
    given.classes.write_text(
        "\n".join(["0", "1", "2", "3", "4", "5", "6", "seven", "8", "nine"]), encoding="utf-8"
    )
    with pytest.raises(DataError) as caught:
        adopt(recipe(), trained, given)
    assert str(caught.value) == (
        f"{given.classes}: expected the classes of the data set, in any order, got '7', '9' missing and "
        "'seven', 'nine' unknown. All members of a store must have the same classes."
    )


def test_all_that_does_not_fit_is_in_one_table(trained: Store, net: Member, tmp_path: Path) -> None:
    given = foreign(tmp_path, net)
    state = dict(net.network.net.state_dict())
    state["head.weight"] = state["head.weight"][:7]
    del state["pos_embed"]
    state["extra"] = torch.zeros(3)
    torch.save({f"module.{name}": tensor for name, tensor in state.items()}, given.weights)
    with pytest.raises(MismatchError) as caught:
        adopt(recipe(), trained, given)
    first, header, *rows = str(caught.value).splitlines()
    assert first == (
        f"{given.weights}: expected the {len(net.network.net.state_dict())} tensors of timm:test_vit, got 3 "
        "that do not match, with the prefix 'module.'. "
        "Give the backbone that was trained, and the names of all its classes."
    )
    assert header.split() == ["expected", "got"]
    assert [row.split()[0] for row in rows] == ["pos_embed", "head.weight", "extra"]
    assert "[10, 64]" in rows[1] and "[7, 64]" in rows[1] and rows[2].split()[-1] == "[3]"
    assert trained.members() == ("test_resnet", "test_vit")


def test_a_pickle_payload_is_not_run(trained: Store, net: Member, tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self):
            return Path.touch, (canary,)

    given = foreign(tmp_path, net)
    for write in (
        lambda file: torch.save({"state_dict": net.network.net.state_dict(), "extra": Payload()}, file),
        lambda file: Path(file).write_bytes(pickle.dumps(Payload())),
    ):
        write(given.weights)
        with pytest.raises(DataError, match=r"expected a state dict of tensors"):
            adopt(recipe(), trained, given)
        assert not canary.exists()


def test_an_adoption_that_fails_leaves_nothing(trained: Store, net: Member, tmp_path: Path) -> None:
    given = foreign(tmp_path, net, seen="none")
    state = torch.load(given.weights)
    before = trained.members()
    torch.save({**state, "head.bias": state["head.bias"] * float("nan")}, given.weights)
    with pytest.raises(DataError) as caught:
        adopt(recipe(), trained, given)
    assert str(caught.value) == (
        f"{given.weights}: expected finite weights, got NaN or infinity in 'head.bias'. "
        "Give an earlier checkpoint, or train it again with a lower learning rate."
    )
    torch.save({**state, "head.weight": state["head.weight"] * 0 + 3e38}, given.weights)
    with pytest.raises(DataError, match="expected finite numbers, got NaN or infinity"):
        adopt(recipe(), trained, given)
    assert trained.members() == before
    assert not trained.checkpoint("guest", "refit").parent.exists() and not trained.kfold("guest").exists()


def test_nothing_is_fitted_on_rows_that_may_have_been_seen(
    trained: Store, net: Member, tmp_path: Path, caplog
) -> None:
    found = adopt(recipe(), trained, foreign(tmp_path, net))
    assert found.fresh == {"train": 0, "val": 0, "test": 0} and set(found.agrees) == {"seen"}
    with pytest.raises(LeakError):
        load_predictions(trained, ["guest"]).require_unseen("fit")
    with caplog.at_level("WARNING", logger="committee"):
        outcome = run_verb("build-ensemble", recipe(), trained, methods=["weighted", "stacking_lr"])
    assert outcome.exit_code == 0
    assert ensemble_facts(trained, "stacking_lr")["members"] == ["test_resnet", "test_vit"]
    assert (
        "guest is left out of ensembles: it may have been trained on the rows that combiners are fitted on. "
        "Name the images that it was not trained on: committee adopt --seen or --fresh"
    ) in caplog.text
    with pytest.raises(StoreError) as caught:
        run_verb("build-ensemble", recipe("backbones.include=[guest]"), trained, methods=["weighted"])
    assert str(caught.value) == (
        "guest: expected rows that no member was trained on, got 0 of 191. "
        "List such rows with committee adopt --fresh FILE, or use backbones.exclude."
    )
    assert Evaluate().run(recipe("backbones.include=[guest]"), trained).exit_code == 0
    report = json.loads((trained.member_metrics("guest") / "metrics.json").read_text("utf-8"))
    assert report["seen"] == report["n"] == 49


def test_fits_use_the_fresh_rows(trained: Store, net: Member, tmp_path: Path, caplog) -> None:
    ids = load_predictions(trained, ["test_vit"]).sample_ids
    (tmp_path / "fresh.txt").write_text("\n".join(ids[:80]), encoding="utf-8")
    adopt(recipe(), trained, foreign(tmp_path, net, fresh=str(tmp_path / "fresh.txt")))
    deployed = dict.fromkeys(("guest", "test_vit"), "refit")
    with caplog.at_level("INFO", logger="committee"):
        rows, kind = fitting_rows(trained, deployed, deployed)
    assert kind == "oof" and set(rows.sample_ids) == set(ids[:80])
    assert (
        "80 of 191 rows are used to fit combiners: the others were, or may have been, used to train guest"
        in caplog.text
    )
    assert run_verb("build-ensemble", recipe(), trained, methods=["weighted"]).exit_code == 0
    assert ensemble_facts(trained, "weighted_ensemble")["n"] == 80


@pytest.mark.parametrize(
    ("seen", "train_rows", "test_rows"), [("none", 191, 49), ("train", 0, 49), ("all", 0, 0)]
)
def test_seen_rows(seen, train_rows, test_rows, trained, net, tmp_path) -> None:
    found = adopt(recipe(), trained, foreign(tmp_path, net, seen=seen), dry_run=True)
    assert (found.fresh["train"], found.fresh["test"]) == (train_rows, test_rows)
    assert found.state == "would be adopted" and "guest" not in trained.members()


def test_a_member_is_adopted_once_and_replaced_by_other_weights(
    trained: Store, net: Member, tmp_path: Path
) -> None:
    given = foreign(tmp_path, net, seen="none")
    assert adopt(recipe(), trained, given).state == "adopted"
    assert adopt(recipe(), trained, given).state == "adopted already"
    before = load_predictions(trained, ["guest"]).logits
    state = {name: tensor * 0.9 for name, tensor in net.network.net.state_dict().items()}
    torch.save(state, given.weights)
    assert adopt(recipe(), trained, given).state == "adopted"
    assert not np.array_equal(load_predictions(trained, ["guest"]).logits, before)


def test_names_of_trained_members_are_refused_and_training_keeps_an_adopted_member(
    trained: Store, net: Member, tmp_path: Path, tiny_settings: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        adopt(recipe(), trained, foreign(tmp_path, net, name="test_vit"))
    assert str(caught.value) == (
        "--name: expected a name that no trained member has, got 'test_vit'. Choose another name."
    )
    adopt(recipe(), trained, foreign(tmp_path, net, seen="none"))
    again = load_recipe(None, [*tiny_settings, "backbones.include=[timm:test_vit, guest]"])
    assert Train().run(again, trained).done == ["test_vit"]
    assert "guest" in trained.members()


def test_a_store_of_its_own(store: Store, net: Member, tmp_path: Path, tiny_settings: list[str]) -> None:
    given = foreign(tmp_path, net, seen="none")
    own = load_recipe(None, tiny_settings)
    assert adopt(own, store, given).rows["train"] == 191
    assert (
        run_verb(
            "build-ensemble", load_recipe(None, ["device=cpu"]), store, methods=["soft_voting"]
        ).exit_code
        == 0
    )
    assert isinstance(Predictions.load(store.kfold("guest") / "oof").folds, np.ndarray)


def test_ids_that_do_not_exist(trained: Store, net: Member, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("nobody\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        adopt(recipe(), trained, foreign(tmp_path, net, seen=str(tmp_path / "ids.txt")))
    assert str(caught.value) == (
        f"{tmp_path / 'ids.txt'}: expected ids of images of the data set, got 'nobody'. "
        "The first column of the files of committee predictions --csv FILE lists them."
    )
    with pytest.raises(UsageError) as caught:
        adopt(recipe(), trained, foreign(tmp_path, net, fresh="everything"))
    assert str(caught.value) == (
        "--fresh: expected a split (train, val, test) or a file with one id per line, got 'everything'."
    )


def test_files_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "classes"
    for text in ("cat\ndog\n", '["cat", "dog"]', '{"1": "dog", "0": "cat"}'):
        path.write_text(text, encoding="utf-8")
        assert read_classes(path) == ["cat", "dog"]
    for text, got in (("cat\ncat\n", "'cat' twice"), ("", "none")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError) as caught:
            read_classes(path)
        assert str(caught.value) == f"{path}: expected different class names, got {got}."


def test_a_file_of_classes_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_classes(tmp_path / "none.txt")
    assert str(caught.value) == (
        f"{tmp_path / 'none.txt'}: the file does not exist. Name a file of class names with --classes."
    )
    (tmp_path / "other.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match="expected class names in UTF-8, got other bytes"):
        read_classes(tmp_path / "other.txt")


def test_an_adopted_member_has_no_fold_networks(trained: Store, net: Member, tmp_path: Path) -> None:
    adopt(recipe(), trained, foreign(tmp_path, net, seen="none"))
    folds = recipe("training.inference=folds")
    assert run_verb("build-ensemble", folds, trained, methods=["soft_voting"]).exit_code == 0
    assert ensemble_facts(trained, "soft_voting_ensemble")["inference"] == {
        "guest": "refit",
        "test_resnet": "folds",
        "test_vit": "folds",
    }
    assert Evaluate().run(folds, trained).exit_code == 0


def test_a_missing_average_is_an_error(trained: Store, net: Member, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        adopt(recipe(), trained, foreign(tmp_path, net, ema=True))
    text = str(caught.value)
    assert "expected weights under one of state_dict_ema, model_ema, ema_state_dict, ema, got" in text
    assert text.endswith("Load the plain weights, or give another file.")

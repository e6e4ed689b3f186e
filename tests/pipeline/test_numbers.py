"""A recipe of numbers from images to reports: one small store, all stages."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from committee.errors import CommitteeError
from committee.models.stored import load_network
from committee.models.timing import Timing
from committee.pipeline.comparing import comparison
from committee.pipeline.comparing.served import Served
from committee.pipeline.run import plan_run, run_verb
from committee.pipeline.shared import network_files, trials
from committee.pipeline.shared.splits import load_predictions
from committee.predictions.table import Predictions
from committee.recipe.compression import Compression
from committee.recipe.load import load_recipe
from committee.store.layout import Store
from committee.tasks import Regression


def test_all_of_a_store_is_about_numbers(numbers_root):
    store = Store(numbers_root)
    rows = load_predictions(store)
    assert rows.target_type.name == "numbers" and rows.target_names == ("ink", "left")
    assert rows.labels.shape == (len(rows), 2) and set(rows.folds.tolist()) == {0, 1}
    assert set(store.ensembles()) == {
        f"{name}_ensemble" for name in ("soft_voting", "median", "weighted", "greedy_selection")
    }
    for name in (*store.members(), *store.ensembles()):
        folder = numbers_root / "metrics" / ("ensembles" if name in store.ensembles() else "") / name
        report = json.loads((folder / "metrics.json").read_text("utf-8"))
        assert {*report["metrics"]} == {*report["cross_fitted"]} == {"rmse", "mae", "r2", "spearman"}
        assert [each["target"] for each in report["per_target"]] == ["ink", "left"]
        assert not {"per_class", "confusion", "mistakes", "mutual_information"} & {*report}
        by_target = [each for each in report["sets"]["intervals"] if each["target"] == "ink"]
        (narrow, wide) = sorted(by_target, key=lambda each: each["wanted"])
        assert wide["mean_width"]["value"] >= narrow["mean_width"]["value"] > 0
        assert 0.6 < wide["coverage"]["value"] <= 1
        if name in store.ensembles():
            assert set(report["gain"]) >= {"rmse"} and report["calibrate"] == "none"


def test_stages_on_stored_members_serve_numbers(numbers_root, number_settings, tmp_path, own_nets):
    (tmp_path / "more").mkdir()
    for gray in (40, 80):
        Image.new("L", (8, 8), gray).save(tmp_path / "more" / f"{gray}.png")
    store = Store(shutil.copytree(numbers_root, tmp_path / "store"))
    extra = [
        "runs.stacking={enable: true}",
        "runs.meta_fuser={enable: true}",
        "pruning={methods: [greedy_forward]}",
        "tta={views: [hflip], of: [test_vit], weights: learned}",
        "runs.moe={num_experts: 2, top_k: 2, gating_hidden_dim: 8, epochs: 2}",
        "runs.fusion={fusion_methods: [concat_mlp], fusion_config: {hidden_dims: [8], epochs: 3, lr: 0.01}}",
        "channel_pruning={of: [test_resnet], epochs: 1}",
        f"distillation={{student: '{own_nets}:small', epochs: 4, lr: 0.03, seeds: 1, cached: 1, mixup: 0.5, "
        f"unlabeled: '{tmp_path / 'more'}', loss: mae_values}}",
    ]
    recipe = load_recipe(None, [*number_settings, *extra])
    members = ["channel_pruned_test_resnet", "distilled_own_nets_small", "fusion_concat_mlp", "moe"]
    for verb, made in (
        ("stack", ["stacking_ridge"]),
        ("prune", ["pruned_greedy_forward"]),
        ("meta-fuse", ["meta_fuser"]),
        ("tta", ["tta_test_vit"]),
        ("moe-train", members[3:]),
        ("fusion-train", members[2:3]),
        ("prune-channels", members[:1]),
        ("distill", members[1:2]),
    ):
        outcome = run_verb(verb, recipe, store)
        assert not outcome.failed and outcome.done == made
    rows = load_predictions(store, members)
    errors = (rows.logits - rows.labels) / rows.labels.std(axis=0)
    assert (np.sqrt(np.square(errors).mean(axis=1)) < 1.5).all(), "outputs are in the units of their targets"
    run_verb("evaluate", recipe, store)
    report = json.loads((store.ensemble_metrics(members[1]) / "metrics.json").read_text("utf-8"))
    found = report["distillation"]
    value = found["distilled"]["metrics"]["rmse"]["value"]
    assert value == pytest.approx(report["metrics"]["rmse"]["value"])
    assert found["gain"]["rmse"]["value"] == pytest.approx(
        found["scratch"]["metrics"]["rmse"]["value"] - value
    )


def test_files_of_numbers_are_kept_by_their_error_and_compared(
    numbers_root, number_settings, tmp_path, monkeypatch
):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr(network_files, "CALLS", 2)
    store = Store(shutil.copytree(numbers_root, tmp_path / "store"))
    files = [
        "compress={of: [test_resnet], methods: [onnx_static], images: 4}",
        "compare={models: [test_resnet]}",
    ]
    recipe = load_recipe(None, [*number_settings, *files])
    assert not run_verb("compress", recipe, store).failed
    report = json.loads(store.compression_report().read_text("utf-8"))["models"]["test_resnet"]
    its = report["files"]["onnx_int8"]
    assert its["status"] == "kept" and its["choosing"]["agreement"] == 1
    assert its["test"]["rmse_lost"]["value"] == pytest.approx(
        its["test"]["rmse"]["value"] - report["float32"]["test"]["rmse"]["value"]
    )
    assert 0 < its["test"]["max_abs_diff"] < 0.01
    timings = dict.fromkeys(("1", "32"), Timing(1.0, 2.0, 0.0, 3))
    monkeypatch.setattr(
        comparison, "serve", lambda paths, *_: (dict.fromkeys(paths, Served(timings, {})), {})
    )
    assert not run_verb("compare", recipe, store).failed
    found = json.loads(store.comparison_report().read_text("utf-8"))
    assert {row["kind"] for row in found["rows"]} == {"single", "int8 single"}
    exact, other = (row["scores"]["rmse"]["value"] for row in found["rows"])
    assert other == pytest.approx(exact, rel=0.01) and " and has an RMSE of " in found["text"]


def test_a_network_and_predictions_from_elsewhere(numbers_root, number_settings, tmp_path, cli):
    """The network returns standardized numbers; the table has targets in another order."""
    store = Store(shutil.copytree(numbers_root, tmp_path / "store"))
    net = load_network(store.checkpoint("test_vit", "refit"), ())
    torch.save(net.network.net.state_dict(), tmp_path / "net.pt")
    (tmp_path / "targets.txt").write_text("ink\nleft\n", encoding="utf-8")
    output, view = net.network.output, net.view.options()
    shift, scale, mean, std = (
        ",".join(map(repr, each if isinstance(each, (list, tuple)) else [each]))
        for each in (output.shift, output.scale, view["mean"], view["std"])
    )
    words = [
        "--backbone",
        "timm:test_vit",
        "--weights",
        tmp_path / "net.pt",
        "--classes",
        tmp_path / "targets.txt",
    ]
    words += ["--mean", mean, "--std", std, "--img-size", 32, f"--shift={shift}", "--scale", scale]
    said = cli("adopt", "--name", "guest", *words, "--fresh", "test", "--store", store.root)
    assert said.code == 0, said.err
    assert "RMSE on the seen training images: " in said.out
    mine, guest = (Predictions.load(store.kfold(name) / "test_refit") for name in ("test_vit", "guest"))
    np.testing.assert_allclose(guest.logits, mine.logits, rtol=1e-4)
    assert guest.target_type.name == "numbers" and guest.target_names == ("ink", "left")

    rows, folder = Predictions.load(store.kfold("test_vit") / "oof"), tmp_path / "trainer" / "oof"
    folder.mkdir(parents=True)

    values = zip(rows.sample_ids, rows.logits[0].tolist(), strict=True)
    lines = [f"{name},{left!r},{ink!r}" for name, (ink, left) in values]
    (folder / "resnet.csv").write_text("\n".join(["id,left,ink", *lines]), encoding="utf-8")
    said = cli("import", tmp_path / "trainer", "--store", store.root)
    assert said.code == 0, said.out + said.err
    stored = Predictions.load(store.kfold("resnet") / "oof")
    assert stored.target_names == ("ink", "left")
    np.testing.assert_allclose(stored.logits, rows.logits, rtol=1e-5)
    np.testing.assert_array_equal(stored.labels, rows.labels)


def test_a_debug_run_uses_what_applies_to_numbers(numbers_root, number_settings, tmp_path, cli):
    store = shutil.copytree(numbers_root, tmp_path / "store")
    words = [word for each in number_settings for word in ("--set", each)]
    said = cli("debug", "--section", "stack", "--store", store, *words)
    assert said.code == 0 and "stacking_ridge" in said.out, said.out + said.err


def test_a_file_is_refused_by_its_relative_error():
    model = SimpleNamespace(
        dataset=SimpleNamespace(task=Regression()), choosing=SimpleNamespace(kind="out-of-fold")
    )
    found = {"n": 50, "rmse": {"value": 2.1}, "agreement": 1.0}
    found["rmse_lost"] = {"value": 0.1, "low": 0.05, "high": 0.15}
    judge = trials.Trials(model, Compression(tolerance=0.04), list)
    assert judge.refusal(found) == (
        "its rmse is 5.00% larger [2.50%, 7.50%] on 50 out-of-fold rows, and compress.tolerance is 4%"
    )
    assert not trials.Trials(model, Compression(tolerance=0.06), list).refusal(found)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "runs.score_ensemble.methods=[hard_voting]",
            "runs.score_ensemble.methods: expected combiners of numbers: ",
        ),
        ("runs.score_ensemble.calibrate=pooled", "expected none for numbers, got pooled. Leave it out."),
        (
            "runs.stacking={meta_learners: [lr]}",
            "runs.stacking.meta_learners: expected combiners of numbers: ",
        ),
        (
            "compare={min_accuracy: 0.9}",
            "compare.min_accuracy: expected none for numbers, whose models have an rmse, got 0.9. "
            "Leave it out: files are chosen by that metric, within the limits of latency and size.",
        ),
        ("runs.score_ensemble.optimization_metric=accuracy", "expected rmse or mae or r2 for numbers"),
        (
            "runs.score_ensemble.calibrate=temperature",
            "got 'temperature'. Numbers have no temperature: leave it out for them.",
        ),
        ("pruning={metric: log_loss}", "pruning.metric: expected rmse or mae or r2 for numbers"),
        (
            "distillation={loss: dkd}",
            "distillation.loss: expected a loss of numbers: mae_values, mse_values, got 'dkd'. "
            "Leave it out, which means mse_values.",
        ),
        (
            "dataset.units={inc: gray}",
            "expected names of targets: 'ink', 'left', got 'inc'. Did you mean 'ink'?",
        ),
    ],
)
def test_what_is_for_classes_is_refused_before_training_and_in_a_plan(
    number_settings, store, override, message
):
    for run in (plan_run, lambda recipe, store: run_verb("train", recipe, store)):
        with pytest.raises(CommitteeError) as caught:
            run(load_recipe(None, [*number_settings, override]), store)
        assert message in str(caught.value) and not list(store.members())


def test_a_plan_names_what_a_run_of_numbers_makes(numbers_root, number_settings):
    store = Store(numbers_root)
    stages = plan_run(load_recipe(None, number_settings), store).facts["stages"]
    assert set(stages["score_ensemble"]["ensembles"]) == set(store.ensembles())

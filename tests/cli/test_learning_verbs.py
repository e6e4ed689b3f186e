"""The verbs that learn from predictions: stack, meta-fuse and prune, as a user sees them."""

from __future__ import annotations

import json

from committee.combiners.base import COMBINERS
from committee.store.layout import Store

STACKING = "stacking_"
QUICK = ("--set", "device=cpu", "--set", "runs.score_ensemble.contributions_budget=0")
LEARNERS = [name.removeprefix(STACKING) for name in COMBINERS.names() if name.startswith(STACKING)]


def test_stack(trained: Store, cli) -> None:
    words = ("stack", "--store", trained.root, *QUICK)
    said = cli(*words, "--meta-learner", "lr", "--dry-run")
    assert said.code == 0 and "stacking_lr" in said.out
    said = cli(
        *words,
        "--set",
        "runs.stacking.meta_learners=[lr, rf]",
        "--set",
        "runs.stacking.rf_config.n_estimators=10",
        "--json",
    )
    assert said.code == 0, said.err
    answer = json.loads(said.out)
    assert answer["done"] == ["stacking_lr", "stacking_rf"]
    assert answer["ensembles"][1]["spec"]["inner"]["n_estimators"] == 10
    said = cli(*words)
    assert (said.code, said.err.splitlines()[-1]) == (
        2,
        "committee: runs.stacking: expected an enabled section, got none. "
        "Add the section to the recipe, or name a learner: --meta-learner lr",
    )
    said = cli(*words, "--meta-learner", "xbg")
    assert said.err.splitlines()[-1] == (
        f"committee: runs.stacking.meta_learners[0]: expected one of {', '.join(LEARNERS)}, got 'xbg'. "
        "Did you mean 'xgb'? (--set runs.stacking.meta_learners=[xbg])"
    )


def test_meta_fuse(trained: Store, cli) -> None:
    words = ("--store", trained.root, *QUICK)
    assert cli("build-ensemble", *words, "--method", "soft_voting").code == 0
    fuser = ("--set", "runs.meta_fuser.input_ensembles=[soft_voting, moe]")
    said = cli("meta-fuse", *words, *fuser, "--dry-run")
    assert said.code == 0 and "meta_fuser would train lr on soft_voting_ensemble" in said.out
    assert "Without moe: " in said.out
    said = cli("meta-fuse", *words, *fuser)
    assert said.code == 3 and "meta_fuser" in said.out and "failed: meta_fuser without moe: " in said.out


def test_prune(trained: Store, cli) -> None:
    words = ("prune", "--store", trained.root, *QUICK, "--method", "greedy_forward")
    said = cli(*words, "--dry-run")
    assert said.code == 0 and "pruned_greedy_forward would be chosen" in said.out
    said = cli(*words, "--target-size", "1")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0] == "pruned_greedy_forward" and {"size", "log_loss,"} <= set(" ".join(lines[1:3]).split())
    words_of = " ".join(said.out.split())
    assert "pruned_greedy_forward keeps test_" in words_of and "with the choice cross-fitted" in words_of
    assert "Pareto front of all evaluated subsets" in lines
    said = cli(*words, "--max-latency-ms", "0.00001")
    assert said.code == 1 and "got none: the closest is" in said.out

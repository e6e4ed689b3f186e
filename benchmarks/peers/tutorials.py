"""The tutorials of TorchEnsemble and torch-uncertainty, and the same with `committee`.

`python peers/tutorials.py WAY ROWS EPOCHS` runs one function below, and prints the cost, what it returns, and
its number of statements as one JSON object. `fixed` is the smallest fit of five networks, without data.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from peers.small_networks import MLP, Labeled, LeNet, fashion
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def torchensemble(train: Labeled, test: Labeled, epochs: int) -> dict[str, float]:
    """Train ten LeNets on their votes, with a cosine schedule: the introduction of TorchEnsemble."""
    from torchensemble import VotingClassifier

    train_loader = DataLoader(TensorDataset(*train), batch_size=128, shuffle=True)
    test_loader = DataLoader(TensorDataset(*test), batch_size=128)
    model = VotingClassifier(estimator=LeNet, n_estimators=10, cuda=False)
    model.set_optimizer("AdamW", lr=1e-3, weight_decay=5e-4)
    model.set_scheduler("CosineAnnealingLR", T_max=epochs)
    model.fit(train_loader, epochs=epochs, save_model=False)
    return {"accuracy": model.evaluate(test_loader) / 100}


def torchensemble_ours(train: Labeled, test: Labeled, epochs: int) -> dict[str, float]:
    """Do the same with `committee`."""
    from committee import Ensemble, fit_members

    settings = {"lr": 1e-3, "weight_decay": 5e-4, "scheduler": "cosine", "warmup_epochs": 0}
    members = fit_members(LeNet, train, n=10, epochs=epochs, batch_size=128, **settings)
    found = Ensemble(members).predict(test.images, batch_size=128)
    return {"accuracy": (found.argmax(1) == test.classes.numpy()).mean()}


def torch_uncertainty(train: Labeled, test: Labeled, epochs: int) -> dict[str, float]:
    """Train five LeNets as a deep ensemble, and evaluate its uncertainty: torch-uncertainty's tutorial."""
    from torch_uncertainty import TUTrainer
    from torch_uncertainty.methods.deep_ensembles import deep_ensembles
    from torch_uncertainty.routines import ClassificationRoutine
    from torch_uncertainty.transforms import RepeatTarget

    train_loader = DataLoader(TensorDataset(*train), batch_size=128, shuffle=True)
    test_loader = DataLoader(TensorDataset(*test), batch_size=128)
    model = deep_ensembles([LeNet() for _ in range(5)], task="classification")
    routine = ClassificationRoutine(
        model=model,
        num_classes=10,
        loss=nn.CrossEntropyLoss(),
        is_ensemble=True,
        format_batch_fn=RepeatTarget(5),
        optim_recipe=torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=5e-4),
    )
    trainer = TUTrainer(accelerator="cpu", max_epochs=epochs, logger=False, enable_checkpointing=False)
    trainer.fit(routine, train_loader)
    [found] = trainer.test(routine, test_loader, verbose=False)
    return {"accuracy": found["test/cls/Acc"], "aurc": found["test/sc/AURC"], "ece": found["test/cal/ECE"]}


def torch_uncertainty_ours(train: Labeled, test: Labeled, epochs: int) -> dict[str, float]:
    """Do the same with `committee`."""
    from committee import Ensemble, fit_members
    from committee.metrics import evaluate

    settings = {"lr": 1e-3, "weight_decay": 5e-4, "scheduler": "constant", "warmup_epochs": 0}
    members = fit_members(LeNet, train, n=5, epochs=epochs, batch_size=128, **settings)
    ensemble = Ensemble(members)
    rows = ensemble.predictions(test.images, test.classes)
    return evaluate(ensemble.combiner.combine(rows.logits), rows.labels, ["accuracy", "aurc", "ece"])


def fixed(train: Labeled, test: Labeled, epochs: int) -> dict[str, float]:
    """Train five perceptrons on two batches: what remains is the fixed cost."""
    from committee import fit_members

    fit_members(MLP, (train.images[:256], train.classes[:256]), n=5, epochs=1, batch_size=128)
    return {}


WAYS = (torchensemble, torchensemble_ours, torch_uncertainty, torch_uncertainty_ours, fixed)


def lines(function: Any) -> int:
    """Return the number of lines of a function, without the first one and its documentation."""
    return sum(bool(line.strip()) for line in inspect.getsource(function).splitlines()) - 2


def run(way: str, rows: int, epochs: int) -> dict[str, float]:
    """Run one way; return its seconds, those of the processor, its lines and what it returned."""
    function = next(each for each in WAYS if each.__name__ == way)
    _, train, test = fashion(rows, rows)
    torch.manual_seed(0)
    start, busy = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        found = {name: float(value) for name, value in function(train, test, epochs).items()}
    wall, cpu = time.perf_counter() - start, time.process_time() - busy
    return {"seconds": wall, "cpu": cpu, "lines": lines(function), **found}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    name, count, passes = sys.argv[1:]
    print(json.dumps(run(name, int(count), int(passes))))

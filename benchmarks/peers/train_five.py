"""Train five networks in one way, and print the cost and the accuracy of the mean of their probabilities.

`python peers/train_five.py WAY [DEVICE]` trains on a few images, prints what the start has cost as one JSON
object, and then trains for each line `NETWORK SEED ROWS EPOCHS` of its input. All ways use AdamW with a
constant learning rate, the same batch size and no augmentation, as their documentations show.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

START, BUSY = time.perf_counter(), time.process_time()
sys.path.insert(0, str(Path(__file__).parents[1]))

import torch  # noqa: E402
from peers import small_networks  # noqa: E402
from peers.small_networks import Labeled  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn.functional import cross_entropy  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

MEMBERS, BATCH, RATE, DECAY = 5, 128, 1e-3, 0.01
Build = Callable[[], nn.Module]
Predict = Callable[[Tensor], Tensor]


def loop(build: Build, train: Labeled, epochs: int, seed: int) -> Predict:
    """Train one network after the other, on batches that are indexed from tensors."""

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(train.images)).split(BATCH):
            yield train.images[rows], train.classes[rows]

    return _loop(build, batches, epochs)


def loop_with_loader(build: Build, train: Labeled, epochs: int, seed: int) -> Predict:
    """Train one network after the other, on the batches of a `DataLoader`."""
    loader = _loader(train)
    return _loop(build, lambda: iter(loader), epochs)


def _loop(build: Build, batches: Callable[[], Iterator[tuple[Tensor, Tensor]]], epochs: int) -> Predict:
    nets = [build() for _ in range(MEMBERS)]
    for net in nets:
        optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=DECAY)
        for _ in range(epochs):
            for images, classes in batches():
                optimizer.zero_grad()
                cross_entropy(net(images), classes).backward()
                optimizer.step()
    return _mean(nets)


def voting(build: Build, train: Labeled, epochs: int, seed: int) -> Predict:
    """Train TorchEnsemble's `VotingClassifier`."""
    from torchensemble import VotingClassifier

    return _torchensemble(VotingClassifier, build, train, epochs)


def bagging(build: Build, train: Labeled, epochs: int, seed: int) -> Predict:
    """Train TorchEnsemble's `BaggingClassifier`."""
    from torchensemble import BaggingClassifier

    return _torchensemble(BaggingClassifier, build, train, epochs)


def _torchensemble(kind: Any, build: Any, train: Labeled, epochs: int) -> Predict:
    model = kind(estimator=build, n_estimators=MEMBERS, cuda=train.images.is_cuda)
    model.set_optimizer("AdamW", lr=RATE, weight_decay=DECAY)
    with contextlib.redirect_stdout(io.StringIO()):
        model.fit(_loader(train), epochs=epochs, save_model=False)
    return model.eval()


def torch_uncertainty(build: Build, train: Labeled, epochs: int, seed: int) -> Predict:
    """Train torch-uncertainty's deep ensemble with its routine and trainer."""
    from torch_uncertainty import TUTrainer
    from torch_uncertainty.methods.deep_ensembles import deep_ensembles
    from torch_uncertainty.routines import ClassificationRoutine
    from torch_uncertainty.transforms import RepeatTarget

    model = deep_ensembles([build() for _ in range(MEMBERS)], task="classification")
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    routine = ClassificationRoutine(
        model=model,
        num_classes=10,
        loss=nn.CrossEntropyLoss(),
        is_ensemble=True,
        format_batch_fn=RepeatTarget(MEMBERS),
        optim_recipe=optimizer,
    )
    trainer = TUTrainer(
        accelerator="gpu" if train.images.is_cuda else "cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
    )
    trainer.fit(routine, train_dataloaders=_loader(train))
    return _mean(list(model.core_models))


def ours(build: Build, train: Labeled, epochs: int, seed: int) -> Predict:
    """Train with `committee.fit_members`."""
    return _ours("single", build, train, epochs, seed)


def ours_stacked(build: Build, train: Labeled, epochs: int, seed: int) -> Predict:
    """Train with `committee.fit_members` as one network, up to the last bits of the results."""
    return _ours("single", build, train, epochs, seed, "stacked")


def ours_bagging(build: Build, train: Labeled, epochs: int, seed: int) -> Predict:
    """Train bags with `committee.fit_members`."""
    return _ours("bagging", build, train, epochs, seed)


def _ours(plan: str, build: Build, train: Labeled, epochs: int, seed: int, together: str = "auto") -> Predict:
    import committee

    members = committee.fit_members(
        build,
        train=(train.images, train.classes),
        n=MEMBERS,
        plan=plan,
        epochs=epochs,
        lr=RATE,
        batch_size=BATCH,
        weight_decay=DECAY,
        scheduler="constant",
        warmup_epochs=0,
        seed=seed,
        together=together,
        device=train.images.device,
    )
    ensemble = committee.Ensemble(members).to(train.images.device)
    return lambda images: torch.from_numpy(ensemble.predict(images)).to(images.device)


def _loader(train: Labeled) -> DataLoader[Any]:
    return DataLoader(TensorDataset(train.images, train.classes), BATCH, shuffle=True)


def _mean(nets: list[nn.Module]) -> Predict:
    for net in nets:
        net.eval()
    return lambda images: torch.stack([net(images) for net in nets]).softmax(-1).mean(0)


WAYS = (loop, loop_with_loader, voting, bagging, torch_uncertainty, ours, ours_stacked, ours_bagging)


def run(way: str, network: str, seed: int, rows: int, epochs: int, device: str = "cpu") -> dict[str, float]:
    """Train in one way; return seconds, those of the processor, of training alone, and the accuracy.

    On a GPU, the images are in its memory before the clock starts.
    """
    train_five = next(each for each in WAYS if each.__name__ == way)
    torch.manual_seed(seed)
    _, *splits = small_networks.fashion(rows, rows)
    train, test = (Labeled(*(each.to(device) for each in split)) for split in splits)
    torch.zeros(1, device=device).item()
    start, busy = time.perf_counter(), time.process_time()
    predict = train_five(on(device, getattr(small_networks, network)), train, epochs, seed)
    if device != "cpu":
        torch.cuda.synchronize()
    wall, cpu = time.perf_counter() - start, time.process_time() - busy
    with torch.inference_mode():
        accuracy = (predict(test.images).argmax(1) == test.classes).float().mean().item()
    return {"fit": wall, "fit_cpu": cpu, "accuracy": accuracy}


def on(device: str, network: type[nn.Module]) -> type[nn.Module]:
    """Return a class whose networks are on a device; TorchEnsemble takes a class alone."""

    class Placed(network):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.to(device)

    return Placed


def peak_mb() -> float:
    """Return the largest memory of this process in MB; 0 where the system does not say."""
    try:
        import resource
    except ImportError:
        return 0.0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / 1e6 if sys.platform == "darwin" else used / 1e3


def serve(way: str, device: str = "cpu") -> None:
    """Print what the start has cost, and then what each fit that the input asks for has cost."""
    run(way, "MLP", 0, 256, 1, device)
    print(json.dumps({"wall": time.perf_counter() - START, "cpu": time.process_time() - BUSY}), flush=True)
    for line in sys.stdin:
        network, *numbers = line.split()
        found = run(way, network, *map(int, numbers), device)
        print(json.dumps(found | {"peak_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    serve(*sys.argv[1:])

"""How much faster than a plain loop training can be: the matrix products of a step alone, at their rate here.

A step of a perceptron multiplies, in each layer, the inputs by the weights, the gradients by the inputs, and,
in all layers but the first, the gradients by the weights. `products alone` is the time of these, without
optimizer, loss or Python: no arrangement of the same products is faster on one core. Processor time on one
thread, in alternation with the plain loop (fused AdamW) and with whole calls of `fit_members`: each fit for
itself, and all as one stack. Two cores can halve the seconds of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from harness import Row, main, spread
from peers.small_networks import MLP
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from committee import fit_members

QUESTION, LOOP = "limit of training", "plain loop"
MEMBERS, BATCH, EPOCHS = 5, 128, 3
WORK = f"{MEMBERS} MLP 784-256-256-10, batch {BATCH}, a step of all, processor time of one thread"


def measure(quick: bool) -> list[Row]:
    """Measure the products, the plain loop and ours in alternation."""
    rounds, steps = (1, 3) if quick else (5, 79)
    images, classes = torch.randn(steps * BATCH, 784), torch.randint(0, 10, (steps * BATCH,))
    ways: dict[str, Callable[[], Any]] = {
        "products alone": partial(products, steps * EPOCHS),
        LOOP: partial(loop, images, classes),
        "ours": partial(ours, images, classes, "none"),
        "ours, as one stack": partial(ours, images, classes, "stacked"),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + 1):
        for name, work in ways.items():
            times[name].append(1e3 * seconds(work) / (steps * EPOCHS))
    found = []
    for name in ("products alone", "ours", "ours, as one stack"):
        own = times[name][1:]
        ratios = [theirs / mine for theirs, mine in zip(times[LOOP][1:], own, strict=True)]
        found.append(Row(QUESTION, f"{WORK}: {name}", LOOP, spread(own)[0], *spread(ratios), unit="ms"))
    return found


def products(steps: int) -> None:
    """Multiply what the steps of all networks multiply."""
    layers = [each for each in MLP().children() if isinstance(each, nn.Linear)]
    weights = [layer.weight.detach() for layer in layers]
    inputs = [torch.randn(BATCH, weight.shape[1]) for weight in weights]
    outputs = [torch.empty(BATCH, weight.shape[0]) for weight in weights]
    of_weights, of_inputs = ([torch.empty_like(each) for each in some] for some in (weights, inputs))
    for _ in range(steps * MEMBERS):
        for place, (weight, given, out) in enumerate(zip(weights, inputs, outputs, strict=True)):
            torch.mm(given, weight.t(), out=out)
            torch.mm(out.t(), given, out=of_weights[place])
            if place:
                torch.mm(out, weight, out=of_inputs[place])


def loop(images: Tensor, classes: Tensor) -> None:
    """Train one network after the other."""
    for _ in range(MEMBERS):
        net = MLP()
        optimizer = torch.optim.AdamW(net.parameters(), fused=True)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(images)).split(BATCH):
                cross_entropy(net(images[rows]), classes[rows]).backward()
                optimizer.step()
                optimizer.zero_grad()


def ours(images: Tensor, classes: Tensor, together: Any) -> None:
    """Train with `committee.fit_members`, with all that a call does once."""
    options = {"epochs": EPOCHS, "batch_size": BATCH, "together": together, "device": "cpu"}
    fit_members(MLP, (images, classes), n=MEMBERS, **options)


def seconds(work: Callable[[], Any]) -> float:
    """Return the processor time of a call."""
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main(measure)

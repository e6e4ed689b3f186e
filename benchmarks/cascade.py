"""Latency of a cascade of ResNet-18, -50 and -101 at 224 pixels, compared with running all networks.

The weights are random; the thresholds are set so that each of the first two networks passes a third of its
images on. Both sides are the same `Ensemble`, through `infer` and `forward`, in alternation, with the same
images. They run on a GPU if there is one, and otherwise on the CPU with all threads. The largest possible
ratio is computed from the latencies of the single networks.

The same cascade is exported to ONNX, with branches and without, and both files run in onnxruntime on the CPU,
in alternation, on single images that leave after the first network (easy), or that need all (hard).
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from harness import Row, main, spread

from committee.base import onnx_branches
from committee.combiners.cascade import Cascade
from committee.exporters.base import Card
from committee.exporters.onnx import Onnx
from committee.models.ensemble import Ensemble
from committee.models.measure import batch_times, call_times
from committee.models.member import Member

QUESTION, PEER, TARGET = "a cascade", "all networks on all images", 1
LEAVING = 2 / 3


def with_thresholds(members: list[Member], photos: torch.Tensor) -> Ensemble:
    """Return a cascade whose thresholds a given share of the remaining images reaches."""
    names = [member.name for member in members]
    rule = Cascade().bind(names)
    rule.set_buffers(order=torch.arange(len(members)), inverse_temperature=torch.ones(len(members)))
    rule.set_buffers(threshold=torch.full((len(members),), 2.0))
    ensemble = Ensemble(members, rule, names=names).to(photos.device).eval()
    with torch.inference_mode():
        answers = rule._outputs(ensemble.member_logits(photos))
    left = torch.ones(len(photos), dtype=torch.bool, device=photos.device)
    threshold = torch.zeros(len(members), device=photos.device)
    for stage, answer in enumerate(answers[:-1]):
        sure = answer.amax(dim=1).exp()
        threshold[stage] = torch.quantile(sure[left], 1 - LEAVING)
        left = left & (sure < threshold[stage])
    rule.set_buffers(threshold=threshold)
    return ensemble


def measure(quick: bool) -> list[Row]:
    """Compare latencies of single images and of batches."""
    gpu = torch.cuda.is_available()
    device, size = torch.device("cuda" if gpu else "cpu"), 32 if quick else 224
    names = ("test_resnet", "test_byobnet") if quick else ("resnet18", "resnet50", "resnet101")
    generator = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 256, (64, 3, size, size), dtype=torch.uint8, generator=generator).to(device)
    classes = [str(place) for place in range(100)]
    members = [Member.build(f"timm:{name}", classes=classes, size=size, name=name, seed=0) for name in names]
    ensemble = with_thresholds(members, photos)
    answers = []
    for batch in (1, 32) if quick else (1, 32, 256) if gpu else (1, 32):
        calls = 2 if quick else 60 if gpu else 8
        drawn = np.random.default_rng(0).integers(0, len(photos), (calls, batch))
        batches = [photos[torch.from_numpy(rows).to(device)] for rows in drawn]
        skipping, dense = batch_times([ensemble.infer, ensemble], batches, seconds=45)
        alone = [float(np.median(call_times(member, batches[0]))) for member in ensemble.members]
        reached = [(1 - LEAVING) ** stage for stage in range(len(alone))]
        ideal = sum(alone) / sum(cost * share for cost, share in zip(alone, reached, strict=True))
        ratio = float(dense.sum() / skipping.sum())
        low, high = spread((dense / skipping).tolist())[1:]
        where = torch.cuda.get_device_name() if gpu else "CPU"
        work = f"{' + '.join(names)}, {size} px, {batch} a call, {where}"
        note = f"ratio of the mean times; at most {ideal:.2f} by the networks' own; quartiles are over calls"
        ours = statistics.mean(skipping) / 1000
        answers.append(Row(QUESTION, work, PEER, ours, ratio, low, high, TARGET, note))
    return [*answers, *exported(ensemble.cpu(), photos.cpu(), " + ".join(names), 5 if quick else 60)]


def exported(ensemble: Ensemble, photos: torch.Tensor, names: str, calls: int) -> list[Row]:
    """Compare the ONNX file with branches and the one without, on single images."""
    card = Card("cascade", ensemble.class_names)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        branched = Onnx().open(Onnx().export(ensemble, photos[:2], Path(one), card))
        with patch.object(onnx_branches, "add_branches", lambda graph: None):
            dense = Onnx().open(Onnx().export(ensemble, photos[:2], Path(other), card))
    with torch.inference_mode():
        exits = ensemble.combiner.exits(ensemble.member_logits(photos))
    answers = []
    for kind, stage in (("easy", 0), ("hard", int(exits.max()))):
        images = photos[exits == stage]
        batches = [images[[call % len(images)]] for call in range(calls)]
        files = [lambda image, file=file: file(image.numpy()) for file in (branched, dense)]
        skipping, whole = batch_times(files, batches, seconds=45)
        ratio, low, high = spread((whole / skipping).tolist())
        work = f"{names}, {photos.shape[-1]} px, one {kind} image a call, ONNX file in onnxruntime, CPU"
        note = "median ratio; quartiles are over calls"
        ours = statistics.median(skipping) / 1000
        answers.append(
            Row("an exported cascade", work, "the file without branches", ours, ratio, low, high, 0, note)
        )
    return answers


if __name__ == "__main__":
    main(measure, threads=None)

"""Carry every preset to ONNX at 224 pixels and compare it with its module on real photos.

    python scripts/export_presets.py [NAME ...] [--out FOLDER]

Prints a line a preset: seconds, size, largest difference in probability. Ends with 1 when one failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch
from sklearn.datasets import load_sample_images

from committee.backbones.presets import PRESETS
from committee.errors import CommitteeError
from committee.exporters.base import EXPORTERS, Card
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.pipeline.shared.parity import check_parity, several_sizes


def main() -> int:
    """Export the named presets, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"presets: {', '.join(PRESETS)}; left out: all"
    )
    parser.add_argument("--out", type=Path, help="where the files stay; left out: a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        results = [carry(name, arguments.out or Path(temporary)) for name in arguments.names or PRESETS]
    return 0 if all(results) else 1


def carry(name: str, out: Path) -> bool:
    """Export one preset and say how it went."""
    start = time.perf_counter()
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    member = awake(Member.build(name, classes=[str(index) for index in range(10)], size=224, seed=0))
    photos = [image[::2, ::2].transpose(2, 0, 1).copy() for image in load_sample_images().images]
    try:
        exporter = EXPORTERS.make("onnx")
        card = Card(name, member.class_names)
        file = exporter.export(member, torch.from_numpy(photos[0])[None].repeat(2, 1, 1, 1), folder, card)
        reference = ModulePredictor(member, name, member.class_names)
        parity = check_parity(reference, exporter.load(file, member), several_sizes(photos), name)
    except CommitteeError as error:
        print(f"{name:24} failed: {error}", flush=True)
        return False
    seconds, megabytes = time.perf_counter() - start, file.stat().st_size / 1e6
    print(f"{name:24} {seconds:6.0f} s {megabytes:7.1f} MB {parity['max_abs_diff']:9.1e}", flush=True)
    return True


def awake(member: Member) -> Member:
    """Shake the norms: an error in a block would not show where the block ends in one that starts at zero."""
    generator = torch.Generator().manual_seed(0)
    for layer in member.modules():
        if "Norm" in type(layer).__name__:
            for parameter in layer.parameters(recurse=False):
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return member.eval()


if __name__ == "__main__":
    sys.exit(main())

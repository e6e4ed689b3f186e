"""Export every preset at 224 pixels, and compare each file with its module on real photographs.

    python scripts/export_presets.py [NAME ...] [--format FORMAT] [--out FOLDER]

Prints one line for each preset: seconds, size, largest difference of a probability. The exit code is 1 if
one failed.
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
    """Export the given presets, or all; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"presets (default: all): {', '.join(PRESETS)}"
    )
    parser.add_argument("--format", choices=EXPORTERS.names(), default="onnx", help="format (default: onnx)")
    parser.add_argument("--out", type=Path, help="folder of the files (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out = arguments.out or Path(temporary)
        results = [export(name, arguments.format, out) for name in arguments.names or PRESETS]
    return 0 if all(results) else 1


def export(name: str, key: str, out: Path) -> bool:
    """Export one preset, print the result, and return whether it succeeded."""
    start = time.perf_counter()
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    member = with_active_norms(Member.build(name, classes=[str(k) for k in range(10)], size=224, seed=0))
    photos = [image[::2, ::2].transpose(2, 0, 1).copy() for image in load_sample_images().images]
    try:
        exporter = EXPORTERS.make(key)
        card = Card(name, member.class_names)
        example = torch.from_numpy(photos[0])[None].repeat(2, 1, 1, 1)
        file = exporter.export(member, example, folder, card)
        reference = ModulePredictor(member, name, member.class_names)
        parity = check_parity(reference, exporter.load(file, member), several_sizes(photos), name)
    except CommitteeError as error:
        print(f"{name:24} failed: {error}", flush=True)
        return False
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
    seconds = time.perf_counter() - start
    print(f"{name:24} {seconds:6.0f} s {size:7.1f} MB {parity['max_abs_diff']:9.1e}", flush=True)
    return True


def with_active_norms(member: Member) -> Member:
    """Add noise to the parameters of all norms: a norm of zero at the end of a block would hide errors."""
    generator = torch.Generator().manual_seed(0)
    for layer in member.modules():
        if "Norm" in type(layer).__name__:
            for parameter in layer.parameters(recurse=False):
                parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return member.eval()


if __name__ == "__main__":
    sys.exit(main())

"""Draw the picture of a report that the first page of the documentation shows.

    committee report --store demo/store --out report.html
    python scripts/picture_of_report.py report.html docs/images/report.webp

Chromium draws the page without a window; the picture is the top of the page, in the light design.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LARGEST = 150_000
"""Bytes of the picture."""


def draw(page: Path, width: int, height: int, folder: Path) -> Image.Image:
    """Return the top of a page as Chromium draws it, with two dots for a pixel."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        sys.exit(f"Chromium is not installed: none of {', '.join(PROGRAMS)} was found")
    file = folder / "page.png"
    options = [
        "--headless=new",
        "--no-sandbox",
        "--hide-scrollbars",
        "--force-device-scale-factor=2",
        f"--user-data-dir={folder / 'profile'}",
        f"--window-size={width},{height}",
        "--virtual-time-budget=10000",
        f"--screenshot={file}",
    ]
    subprocess.run([program, *options, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)
    return Image.open(file).convert("RGB")


def save(picture: Image.Image, out: Path) -> int:
    """Write the picture in the best quality with which it is small enough, and return its bytes."""
    for quality in (90, 80, 70, 60, 50, 40):
        picture.save(out, quality=quality, method=6)
        if out.stat().st_size <= LARGEST:
            break
    return out.stat().st_size


def main() -> None:
    """Draw the picture."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--height", type=int, default=1150)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        picture = draw(arguments.page, arguments.width, arguments.height, Path(folder))
        size = save(picture, arguments.out)
    print(f"{arguments.out}: {picture.width} x {picture.height}, {size / 1000:.0f} kB")


if __name__ == "__main__":
    main()

"""Build the documentation site of this version: `make docs`.

    python scripts/build_docs.py --out site

The site of a version is in `site/VERSION`, with warnings as errors. `versions.json` lists the versions in
`site`, from which the theme makes a menu where a server hosts them, and `index.html` leads to the newest.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from committee._version import __version__

ROOT = Path(__file__).parents[1]
REDIRECT = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={0}/index.html">\n'
)


def order(version: str) -> list[int]:
    """Return the numbers of a version, by which versions are sorted."""
    return [int(number) for number in re.findall(r"\d+", version)]


def main() -> int:
    """Build this version, and list all versions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="folder of all versions")
    out: Path = parser.parse_args().out.absolute()
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "-d", str(out / __version__)]
    done = subprocess.run(words, cwd=ROOT)
    if done.returncode:
        return done.returncode
    versions = sorted((path.parent.name for path in out.glob("*/index.html")), key=order, reverse=True)
    entries = [
        {"version": each, "title": each, "aliases": ["latest"][: each == versions[0]]} for each in versions
    ]
    (out / "versions.json").write_text(json.dumps(entries), encoding="utf-8")
    (out / "index.html").write_text(REDIRECT.format(versions[0]), encoding="utf-8")
    print(f"{out / __version__}: serve it with python -m http.server --bind 127.0.0.1 --directory {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Build the documentation site of this version: `make docs`.

    python scripts/build_docs.py --out site

The site of a version is in `site/VERSION`, with warnings as errors; its pages can be opened as files, and its
search works there. `versions.json` lists the versions in `site`, from which the theme makes a menu where a
server hosts them, and `index.html` leads to the newest.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from packaging.version import Version

from committee._version import __version__

ROOT = Path(__file__).parents[1]
REDIRECT = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={0}/index.html">\n'
)


def list_versions(out: Path) -> None:
    """Write the list of the versions in a folder, the newest first, and the page that leads to the newest."""
    versions = sorted((path.parent.name for path in out.glob("*/index.html")), key=Version, reverse=True)
    entries = [
        {"version": each, "title": each, "aliases": ["latest"][: each == versions[0]]} for each in versions
    ]
    (out / "versions.json").write_text(json.dumps(entries), encoding="utf-8")
    (out / "index.html").write_text(REDIRECT.format(versions[0]), encoding="utf-8")


def main() -> int:
    """Build this version, and list all versions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="folder of all versions")
    out: Path = parser.parse_args().out.absolute()
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "-d", str(out / __version__)]
    done = subprocess.run(words, cwd=ROOT)
    if done.returncode:
        return done.returncode
    list_versions(out)
    serve = f"{sys.executable} -m http.server --bind 127.0.0.1 --directory {out}"
    print(f"{out / __version__ / 'index.html'}; with the menu of versions: {serve}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

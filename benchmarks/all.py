"""Run all benchmarks one after the other, and print one table of their ratios; `make bench` runs this file.

Each file runs in a process of its own. The rows are written to `benchmarks/results/<machine>.json`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import Row, about, print_table, slug

HERE = Path(__file__).parent
NO_QUESTIONS = ("harness.py", "all.py")


def run(file: Path, quick: bool) -> dict[str, Any] | Row:
    """Run one file and show its output; return the row that says why, if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "rows.json"
        command = [sys.executable, str(file), "--json", str(answer), *["--quick"] * quick]
        print(f"== {file.name}", flush=True)
        start = time.perf_counter()
        done = subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True)
        print(f"{done.stderr}   {time.perf_counter() - start:.0f} s\n", flush=True)
        if done.returncode == 0:
            return json.loads(answer.read_text(encoding="utf-8"))
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Row(file.stem, "all of it", "", None, note=f"failed: {reason}")


def main() -> int:
    """Run the files, print the table, and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "files",
        nargs="*",
        metavar="NAME",
        help="benchmarks to run, such as metrics or 'statistics_*' (default: all)",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="use small sizes to check that the benchmarks run; write no results",
    )
    arguments = parser.parse_args()
    files = []
    for name in arguments.files or ["*"]:
        found = [file for file in sorted(HERE.glob(f"{name}.py")) if file.name not in NO_QUESTIONS]
        if not found:
            parser.error(f"there is no benchmark '{name}'")
        files += found
    answers = {file.stem: run(file, arguments.quick) for file in files}
    done = {name: answer for name, answer in answers.items() if not isinstance(answer, Row)}
    failed = [answer for answer in answers.values() if isinstance(answer, Row)]
    facts = about()
    for answer in done.values():
        facts["versions"] |= answer["about"]["versions"]
    rows = [Row(**row) for answer in done.values() for row in answer["rows"]]
    print_table(rows + failed, facts)
    if not arguments.quick:
        keep(done)
    return 1 if failed else 0


def keep(done: dict[str, Any]) -> None:
    """Replace the results of these files among the results of this machine."""
    path = HERE / "results" / f"{slug()}.json"
    path.parent.mkdir(exist_ok=True)
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**known, **done}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    sys.exit(main())

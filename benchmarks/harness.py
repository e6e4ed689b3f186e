"""Shared code of the benchmarks: rows of the table, alternating measurements, and the printed table."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "torchvision", "timm")


@dataclass(frozen=True)
class Row:
    """One result.

    Attributes
    ----------
    question : str
        The subject in a few words; rows with the same question are listed together.
    work : str
        The task, its size, and the number of threads.
    peer : str
        The program that is compared; empty if `ours` alone is the result.
    ours : float or None
        Cost of `committee`, in `unit`; None if the peer is not installed.
    ratio : float or None
        Cost of the peer divided by that of `committee`, median of the rounds; None without a peer.
    low, high : float or None
        Quartiles over the rounds, of the ratio, or of `ours` if there is no peer. Of a simulated figure: one
        standard error below and above.
    target : float or None
        The minimum ratio; without a peer, the maximum of `ours`.
    note : str
        Further information, such as that the results are equal.
    unit : str
        Unit of `ours`: s, MB, ...
    """

    question: str
    work: str
    peer: str
    ours: float | None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    target: float | None = None
    note: str = ""
    unit: str = "s"

    @property
    def reached(self) -> bool | None:
        """Whether the target is reached; None without a target or a result."""
        if self.target is None or self.ours is None:
            return None
        return self.ratio >= self.target if self.ratio is not None else self.ours <= self.target


def absent(question: str, work: str, peer: str, target: float | None, package: str) -> Row:
    """Return the row for a peer that is not installed."""
    return Row(question, work, peer, None, target=target, note=f"{package} is not installed")


def installed(module: str) -> bool:
    """Return whether a module can be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def seconds(call: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(
    ours: Callable[[], Any], theirs: Callable[[], Any], rounds: int, *, warm_up: bool = True
) -> tuple[float, float, float, float]:
    """Run both in alternation, and compare consecutive runs, so that a busy machine slows both down.

    Returns
    -------
    tuple of float
        Median seconds of `ours`; median, lower and upper quartile of the ratio of `theirs` to `ours`.
    """
    if warm_up:
        ours(), theirs()
    own, ratios = [], []
    for _ in range(rounds):
        own.append(seconds(ours))
        ratios.append(seconds(theirs) / own[-1])
    return statistics.median(own), *spread(ratios)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return median, lower and upper quartile."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def processor() -> str:
    """Return the name of the processor, if the system provides it."""
    table = Path("/proc/cpuinfo")
    if table.exists() and (found := re.search(r"model name\s*: (.*)", table.read_text(encoding="utf-8"))):
        return found[1].strip()
    return platform.processor() or platform.machine()


def slug() -> str:
    """Return a file name for this machine."""
    name = f"{platform.system()} {platform.machine()} {processor()} {os.cpu_count()} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def about(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Return the machine, its load, and the versions of the packages."""
    versions = {"python": platform.python_version()}
    for name in (*PACKAGES, *packages):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    return {
        "machine": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "load": load,
        "versions": versions,
    }


def main(
    measure: Callable[..., list[Row]],
    *,
    packages: Sequence[str] = (),
    threads: int | None = 1,
    options: Mapping[str, tuple[float, str]] = {},
) -> None:
    """Run one benchmark file; `--quick` uses small sizes, and `--json FILE` writes the rows.

    Parameters
    ----------
    measure : callable
        Function from `quick`, and the `options` by name, to rows.
    packages : sequence of str
        Additional packages whose versions are reported.
    threads : int, optional
        Threads of BLAS, OpenMP and torch in this process; None keeps the defaults.
    options : mapping of str to (float, str), optional
        Default and meaning of each number that the command line takes beside these.
    """
    parser = argparse.ArgumentParser(description=sys.modules[measure.__module__].__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="use small sizes to check that the benchmark runs"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE")
    for name, (default, meaning) in options.items():
        parser.add_argument(
            f"--{name}", type=float, default=default, metavar="X", help=f"{meaning} (default: {default:g})"
        )
    arguments = parser.parse_args()
    given = {name: getattr(arguments, name) for name in options}
    warnings.simplefilter("ignore")
    if threads is not None:
        torch.set_num_threads(threads)
    with threadpool_limits(threads):
        rows = measure(arguments.quick, **given)
    facts = about(packages)
    print_table(rows, facts)
    if arguments.json:
        text = json.dumps({"about": facts, "quick": arguments.quick, "rows": [asdict(row) for row in rows]})
        arguments.json.write_text(text + "\n", encoding="utf-8")


def print_table(rows: Sequence[Row], facts: dict[str, Any]) -> None:
    """Print the machine and the rows."""
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    print(
        f"{facts['machine']}, {facts['cores']} cores, {facts['system']}, load {facts['load']}; {versions}\n"
    )
    cells = [("question", "work", "against", "ours", "ratio [quartiles]", "target", "")]
    cells += [_cells(row) for row in rows]
    widths = [max(len(line[place]) for line in cells) for place in range(len(cells[0]))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for row in rows:
        if row.note:
            print(f"  {row.question}, {row.work}: {row.note}")


def _cells(row: Row) -> tuple[str, ...]:
    """Return a row as text."""
    ours = "-" if row.ours is None else f"{row.ours:.3g} {row.unit}"
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}x [{row.low:.3g}, {row.high:.3g}]"
    if row.ratio is None and row.ours is not None and row.low is not None:
        ours += f" [{row.low:.3g}, {row.high:.3g}]"
    target = ""
    if row.target is not None:
        target = f"{row.target:g}x" if row.peer else f"at most {row.target:g} {row.unit}"
    met = {True: "reached", False: "MISSED", None: ""}[row.reached]
    return row.question, row.work, row.peer, ours, ratio, target, met

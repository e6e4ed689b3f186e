"""Write the README's tree of files: each with the first line of its docstring.

    python scripts/write_tree.py

`tests/test_reference.py` fails where the tree is not what this script writes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "committee"
README = ROOT / "README.md"
START, END = "<!-- tree: scripts/write_tree.py -->\n", "<!-- end of tree -->\n"
OTHERS = {
    "benchmarks/": "one file a question; `make bench` runs them",
    "configs/ensemble_config.yaml": "for `python ensemble_orchestrator.py ... --config`",
    "docs/": "tutorials, how-tos, reference, explanation; every snippet is run by a test",
    "ensemble_orchestrator.py": "forwards to the command line",
    "examples/": "digits (the demo), Fashion-MNIST, published weights",
    "scripts/": "writes the reference pages and this tree; takes all presets to ONNX",
    "tests/": "mirrors `src/committee`",
}


def tree() -> str:
    """Return the tree as a fenced block of text."""
    lines = ["src/committee/", *_inside(PACKAGE, 1)]
    lines += [f"{name:<36}{what}" for name, what in OTHERS.items()]
    return "\n".join(["```text", *lines, "```", ""])


def written(readme: str) -> str:
    """Return the README with a fresh tree between its two marks."""
    before, _, rest = readme.partition(START)
    return before + START + tree() + END + rest.partition(END)[2]


def _inside(folder: Path, depth: int) -> Iterator[str]:
    indent = "  " * depth
    entries = sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.name.lstrip("_"), path.name))
    for path in entries:
        if path.is_dir() and (path / "__init__.py").exists():
            yield f"{indent}{path.name}/"
            yield from _inside(path, depth + 1)
        elif path.suffix == ".py" and path.stat().st_size:
            yield f"{indent + path.name:<36}{_clause(path)}"


def _clause(path: Path) -> str:
    """Return the first line of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.splitlines()[0].rstrip(".") if text else ""


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")

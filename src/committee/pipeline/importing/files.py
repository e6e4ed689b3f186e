"""The files of a folder that a trainer left, and what their names say: model, fold and split."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from committee.base.registry import Family
from committee.errors import DataError
from committee.store.manifest import NAME

MOST_FILES = 200_000
WEIGHTS = (".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".pth.tar", ".pt.tar")
EXPORTED = (".onnx", ".tflite", ".pt2", ".torchscript", ".h5", ".hdf5", ".keras", ".pb", ".engine")

_FOLD = re.compile(r"(?<![a-z0-9])(?:k?fold|cv|f)[_\-. =]?(\d{1,3})(?![a-z0-9])", re.IGNORECASE)
_SPLITS = {
    "oof": "oof",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "submission": "test",
    "sub": "test",
}
_OF_PREDICTIONS = {
    *_SPLITS,
    *("pred", "preds", "prediction", "predictions", "prob", "probs", "probabilities", "logits", "scores"),
}
_GENERIC = {
    *_OF_PREDICTIONS,
    *("best", "last", "latest", "final", "model", "models", "checkpoint", "checkpoints", "ckpt", "ckpts"),
    *("weight", "weights", "output", "outputs", "result", "results", "state", "dict", "ema", "epoch", "step"),
    *("fold", "folds", "kfold", "cv", "full", "all", "run", "runs", "log", "logs", "out", "saved", "train"),
    *("version", "export", "exports", "deploy", "refit", "swa", "torch", "pytorch", "lightning"),
    *("loss", "acc", "accuracy", "metric", "metrics", "f1", "auc", "score"),
}
_ENDS = re.compile(r"[_\-. ]+")


class Files:
    """The files below a folder, and below further folders with a known content.

    Parameters
    ----------
    root : Path, optional
        The folder.
    places : mapping of str to Path, optional
        Folders with one folder per model: `deploy`, `ckpt`, `kfold` or `metrics` -> the folder. By default,
        folders of these names in `root`.

    Attributes
    ----------
    free : set of Path
        Files that no layout has explained.
    """

    def __init__(self, root: Path | None, places: Mapping[str, Path] | None = None) -> None:
        self.root, self.places = root, dict(places or {})
        tops = [*([root] if root else []), *self.places.values()]
        self.all = sorted({path for top in tops for path in _below(top)})
        self.free = set(self.all)

    def claim(self, paths: Iterable[Path]) -> None:
        """Remove files from those that no layout has explained."""
        self.free -= set(paths)

    def weights(self) -> list[Path]:
        """Return the free files that may be checkpoints, sorted."""
        return sorted(path for path in self.free if is_weights(path))

    def predictions(self) -> list[Path]:
        """Return the free files that are predictions by their names, sorted."""
        return sorted(path for path in self.free if self.is_predictions(path))

    def is_predictions(self, path: Path) -> bool:
        """Return whether a name below the root contains a word for predictions, such as `oof` or `probs`."""
        return is_table(path) and bool(_words(self.parts(path)) & _OF_PREDICTIONS)

    def parts(self, path: Path) -> list[str]:
        """Return the names of a file and of its folders below the root, innermost first, without suffix."""
        folders = path.relative_to(self.top(path)).parts[:-1]
        return [stem(path), *reversed(folders)]

    def top(self, path: Path) -> Path:
        """Return the folder of those that were given that contains a file, the innermost of several."""
        tops = [*self.places.values(), *([self.root] if self.root else [])]
        inside = [top for top in tops if path.is_relative_to(top)]
        return max(inside, key=lambda top: len(top.parts))

    def model(self, path: Path, names: Iterable[str] = ()) -> str:
        """Return the name of the model of a file: what its name has beside common words, or that of a folder.

        `oof/resnet18_fold0.csv`, `resnet18/fold_0/best.pt` and `resnet18_best.pth` are files of `resnet18`.
        Without such a name, return an empty string. One of `names` that the path contains takes precedence.
        """
        parts = self.parts(path)
        inside = [name for name in names if any(_contains(text, name) for text in parts)]
        if inside:
            return max(inside, key=len)
        first = _GENERIC - {*_SPLITS} if is_weights(path) else _GENERIC
        return next(filter(None, (_stripped(_FOLD.sub("", text), first) for text in parts)), "")

    def fold(self, path: Path) -> int | None:
        """Return the number of the fold in the name of a file, or in that of a folder."""
        found = (_FOLD.search(text) for text in self.parts(path))
        return next((int(match[1]) for match in found if match), None)

    def split(self, path: Path, model: str = "") -> str:
        """Return the split that a file of predictions is of: `oof`, `val` or `test`.

        Predictions of the val rows of a fold are out-of-fold predictions, and so are those without a word for
        a split beside the name of the model.
        """
        for text in self.parts(path):
            words = _ENDS.split(text.replace(model, "").lower())
            named = [_SPLITS[word] for word in words if word in _SPLITS]
            if named:
                return "oof" if named[0] == "val" and self.fold(path) is not None else named[0]
        return "oof"


def is_store(folder: Path) -> bool:
    """Return whether committee has written results into a folder."""
    return any(any(folder.glob(f"{depth}{NAME}")) for depth in ("*/", "*/*/", "*/*/*/"))


def is_weights(path: Path) -> bool:
    """Return whether a file may be a checkpoint, by its suffix."""
    return path.name.lower().endswith(WEIGHTS) and not (
        path.suffix == ".safetensors" and bool(_words([stem(path), path.parent.name]) & _OF_PREDICTIONS)
    )


def is_table(path: Path) -> bool:
    """Return whether a file may be a table of predictions, by its suffix."""
    formats: Family[object] = Family("committee.predictions.files", "prediction file format")
    suffixes = {suffix for name in formats.names() for suffix in formats.constants(name)["suffixes"]}
    return path.suffix.lower() in suffixes and not is_weights(path)


def stem(path: Path) -> str:
    """Return the name of a file without its suffixes of a checkpoint or table."""
    name = path.name.removesuffix(".tar")
    return name.rpartition(".")[0] or name


def _words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in _ENDS.split(text.lower())}


def _contains(text: str, name: str) -> bool:
    """Return whether a text contains a name as whole words."""
    ends = r"[_\-. ]"
    return re.search(rf"(^|{ends}){re.escape(name)}($|{ends})", text) is not None


def _stripped(text: str, first: Container[str]) -> str:
    """Return a name without common words: those of `first` at its start, and all at its end."""
    words = re.split(r"([_\-. ]+)", text.strip("_-. "))
    while words and _is_generic(words[0], first):
        words = words[2:]
    while words and _is_generic(words[-1], _GENERIC):
        words = words[:-2]
    return "".join(words)


def _is_generic(word: str, among: Container[str]) -> bool:
    return word.lower() in among or word.isdecimal() or "=" in word


def _below(top: Path) -> list[Path]:
    """Return the files below a folder, without hidden ones; links to folders are not followed."""
    found: list[Path] = []
    for place, folders, names in os.walk(top):
        folders[:] = [name for name in folders if name[0] != "." or name == ".hydra"]
        found += [Path(place, name) for name in names if name[0] != "."]
        if len(found) > MOST_FILES:
            raise DataError(
                str(top),
                expected=f"at most {MOST_FILES} files",
                got="more",
                todo="Name the folder of the trainer alone.",
            )
    return found

"""Reader of folders with one subfolder per class: `root/<class>/*`, or `root/{train,val,test}/<class>/*`."""

from __future__ import annotations

from pathlib import Path

from committee.errors import DataError, first_five
from committee.images.decode import find_images, warn_of_others
from committee.images.files import Files
from committee.images.readers.base import Reader, Samples, is_split, sorted_classes, split_name

FORMATS = "JPEG, PNG or WebP images"


class Folder(Reader):
    """Reader of an image folder, with or without a folder for each split.

    Paths relative to the root are the sample ids. Folders below the folder of a class belong to this class.

    Parameters
    ----------
    path : Path
        The folder that contains a folder for each class, or for each split.

    See Also
    --------
    committee.images.readers.base.Samples : The result of `read`.
    committee.images.source.read : Select a reader and read the samples of a recipe.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.images.readers.folder import Folder
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("cat/a.png", "dog/b.png"):
    ...         Path(root, name).parent.mkdir()
    ...         Path(root, name).touch()
    ...     Folder(Path(root)).read().ids
    ['cat/a.png', 'dog/b.png']
    """

    detection_order = 5

    @classmethod
    def accepts(cls, path: Path) -> bool:
        return path.is_dir()

    def read(self) -> Samples:
        folders = _subfolders(self.path)
        if not folders:
            raise DataError(
                str(self.path),
                expected="a folder of images for each class",
                got="no folder",
                todo=f"Put the {FORMATS} of each class into {self.path.as_posix()}/CLASS/.",
            )
        split = all(is_split(folder.name) for folder in folders)
        if not split:
            self._check_mixed(folders)
        found = self._splits(folders) if split else [("train", folder) for folder in folders]
        return self._samples(found)

    def _check_mixed(self, folders: list[Path]) -> None:
        """Raise DataError for other folders next to a `train` with classes, which would become classes."""
        parents = [folder.name for folder in folders if is_split(folder.name) and _subfolders(folder)]
        others = [folder.name for folder in folders if not is_split(folder.name)]
        if "train" in (split_name(name, "") for name in parents):
            raise DataError(
                str(self.path),
                expected="only train, val and test, or a folder for each class",
                got=f"also {first_five(others)}",
                todo="Move folders that are not splits elsewhere.",
            )

    def _splits(self, folders: list[Path]) -> list[tuple[str, Path]]:
        """Return the split and the folder of each class in each split."""
        splits = {split_name(folder.name, str(folder)): folder for folder in folders}
        if "train" not in splits or len(splits) < len(folders):
            raise DataError(
                str(self.path),
                expected="train, val and test, each once, or a folder for each class",
                got=first_five(folder.name for folder in folders),
                todo="Name one of them train.",
            )
        found = []
        for split, folder in splits.items():
            classes = _subfolders(folder)
            if not classes:
                raise DataError(str(folder), expected="a folder of images for each class", got="no folder")
            found += [(split, path) for path in classes]
        return found

    def _samples(self, found: list[tuple[str, Path]]) -> Samples:
        ids, labels, splits = list[str](), list[str](), list[str]()
        left_out: dict[Path, str] = {}
        for split, folder in found:
            images, others = find_images(folder)
            left_out |= others
            if not images:
                raise DataError(
                    str(folder),
                    expected=FORMATS,
                    got="none",
                    todo="Add images of this class, or remove its folder.",
                )
            ids += [path.relative_to(self.path).as_posix() for path in images]
            labels += [folder.name] * len(images)
            splits += [split] * len(images)
        warn_of_others(self.path, left_out)
        return Samples(ids, Files(self.path, ids), labels, splits, sorted_classes(labels))


def _subfolders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))

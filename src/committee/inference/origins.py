"""What the rows of a CSV file of predictions were made from: digests of the model and of each image."""

from __future__ import annotations

import csv
import glob
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from committee.errors import DataError
from committee.images.remote import RemoteFile
from committee.inference.named import path_of
from committee.inference.photos import Photo, edition
from committee.store.hashes import hash_file
from committee.store.manifest import digest, list_files

if TYPE_CHECKING:
    from committee.store.layout import Store


class Origins:
    """The file FILE.origins beside a CSV file, with a row `id,image,model` for each of its rows.

    `image` and `model` are SHA-256 digests. A row of the CSV file is current if the digests are those of the
    present image and model.

    Parameters
    ----------
    path : Path
        The CSV file.
    model : str
        Digest of the model; see `model_digest`.
    photos : mapping of str to Path or RemoteFile
        Id -> file of the images that are predicted.

    See Also
    --------
    committee.inference.prediction_csv.PredictionCsv : Writes the CSV file.

    Examples
    --------
    >>> import tempfile
    >>> from committee.inference.origins import Origins
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     photo, table = Path(folder, "a.jpg"), Path(folder, "out.csv")
    ...     _ = photo.write_bytes(b"an image")
    ...     Origins(table, "first model", {"a.jpg": photo}).add("a.jpg")
    ...     before = Origins(table, "first model", {"a.jpg": photo}).stale(["a.jpg"])
    ...     _ = photo.write_bytes(b"another image")
    ...     before, Origins(table, "first model", {"a.jpg": photo}).stale(["a.jpg"])
    (set(), {'a.jpg'})
    """

    def __init__(self, path: Path, model: str, photos: Mapping[str, Photo]) -> None:
        self.table, self.model, self.photos = path, model, photos
        self.path = path.with_name(f"{path.name}.origins")
        self._known = _read(self.path)
        self._editions = {name: edition(photo) for name, photo in photos.items()}

    def stale(self, rows: Collection[str]) -> set[str]:
        """Return the rows of the CSV file, among the photos, whose image has changed or is not known.

        Raises
        ------
        DataError
            A row was made by another model of the same name.
        """
        if any(self._known[name][1] != self.model for name in rows if name in self._known):
            raise DataError(
                str(self.table),
                expected="predictions of this version of the model",
                got="those of another with the same name",
                todo="Give another file, or remove this one.",
            )
        return {name for name in rows if name in self.photos and not self._is_current(name)}

    def _is_current(self, name: str) -> bool:
        image, _ = self._known.get(name, ("", ""))
        return bool(image) and image == _hash(self.photos[name])

    def add(self, name: str) -> None:
        """Append the origin of a row, before the row itself: a row without origin is not current."""
        photo = self.photos[name]
        image = _hash(photo)
        if edition(photo) != self._editions[name]:
            image = ""  # It was replaced while it was predicted.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow([name, image, self.model])


def model_digest(name: str, store: Store) -> str:
    """Return a digest of a model of the store, by its name, or of an exported file or folder.

    Raises
    ------
    UnknownNameError
        The store has no such model.
    """
    path = path_of(name, store)
    if path is None:
        from committee.pipeline.shared.records import model_source

        return model_source(store, store.resolve(name))
    if path.is_dir():
        return digest(list_files(path))
    # Some formats store large arrays in files beside the first.
    parts = sorted(each for each in path.parent.glob(f"{glob.escape(path.name)}*") if each.is_file())
    return digest({each.name.removeprefix(path.name): hash_file(each) for each in parts})


def _read(path: Path) -> dict[str, tuple[str, str]]:
    """Return id -> digests of the image and of the model; an incomplete last row is ignored."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row[0]: (row[1], row[2]) for row in csv.reader(file) if len(row) == 3}


def _hash(photo: Photo) -> str:
    """Return a digest of an image; of one behind a URL, what its storage says of its content."""
    if isinstance(photo, RemoteFile):
        return digest({"edition": list(edition(photo))}) if photo.version else ""
    try:
        return hash_file(photo)
    except OSError:
        return ""

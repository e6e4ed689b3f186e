"""Files of predicted maps: masks with a palette, numbers as TIFF, and arrays of all outputs."""

from __future__ import annotations

import filecmp
import io
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from committee.errors import DataError, UsageError
from committee.inference.palette import palette
from committee.inference.photos import Photo
from committee.models.predictor import Predictor
from committee.predictions.target_types import CLASS_MAPS, NUMBER_MAPS, target_type_of
from committee.store.commit import replacing

if TYPE_CHECKING:
    from committee.inference.map_rules import Maps

ARRAYS = ("float16", "float32")
INDEXED = 256
"""Largest number of classes of a mask with 8 bits; others have 16 bits and no palette."""


class MapFiles:
    """A folder with the maps of images: one file for each image, in folders by kind.

    - `masks/NAME.png` of classes: the index of the most probable class of each pixel, with a palette; of more
      than 256 classes, 16 bits without one. `masks/classes.txt` has the names of the classes in this order.
    - `values/NAME.tif` of numbers of one target: float32. Those of several are `values/NAME.npy`,
      float32 `[H, W, T]`.
    - `arrays/NAME.npz` on request: `probabilities` or `values`, `[C, H, W]`, with `class_names`.

    NAME is the path of the image below the folder that all images share, without its suffix.

    Parameters
    ----------
    folder : Path
    model : Predictor
        The model, which predicts maps.
    photos : sequence of Path or RemoteFile
        The images.
    arrays : {"float16", "float32"}, optional
        Type of the arrays; None writes none.

    Raises
    ------
    DataError
        Two images differ by their suffix alone, or are in no common folder.

    See Also
    --------
    committee.inference.predict.predict : Predicts the maps.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from committee.inference.map_files import MapFiles
    >>> from committee.predictions.target_types import CLASS_MAPS
    >>> class Half:
    ...     name, class_names, target_type = "half", ("ground", "cell"), CLASS_MAPS
    >>> maps = np.array([[[0.9, 0.2]], [[0.1, 0.8]]], np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     photo = Path("scans/a.jpg")
    ...     written = MapFiles(Path(folder), Half(), [photo]).write(photo, maps)
    ...     [path.relative_to(folder).as_posix() for path in written]
    ['masks/a.png']
    """

    def __init__(
        self, folder: Path, model: Predictor, photos: Sequence[Photo], arrays: str | None = None
    ) -> None:
        self.folder, self.class_names, self.type = folder, model.class_names, target_type_of(model)
        self.arrays = arrays
        self._names = names_of(photos)

    def write(self, photo: Photo, maps: Maps, *, force: bool = False) -> list[Path]:
        """Write the maps of an image, float32 `[C, H, W]`; return the files.

        Parameters
        ----------
        photo : Path or RemoteFile
        maps : float32 array [C, H, W]
        force : bool
            Whether to replace files with other content.

        Raises
        ------
        UsageError
            A file exists, and has other content.
        """
        kind, suffix, save = _FILES[self.type.name, len(self.class_names) > 1]
        written = [self.path(photo, kind, suffix)]
        output_file(written[0], lambda file: save(maps, self.class_names, file), force=force)
        if kind == "masks":
            text = "".join(f"{name}\n" for name in self.class_names)
            output_file(self.folder / kind / "classes.txt", lambda file: file.write(text.encode()))
        if self.arrays is not None:
            content: dict[str, Any] = {
                self.type.answers: maps.astype(self.arrays),
                "class_names": np.array(self.class_names),
            }
            written.append(self.path(photo, "arrays", ".npz"))
            output_file(written[1], lambda file: np.savez_compressed(file, **content), force=force)
        return written

    def path(self, photo: Photo, kind: str, suffix: str) -> Path:
        """Return the path of a file of an image."""
        return self.folder / kind / f"{self.name_of(photo)}{suffix}"

    def name_of(self, photo: Photo) -> str:
        """Return the name of the files of an image, without a suffix."""
        return self._names[photo]


def names_of(photos: Sequence[Photo]) -> dict[Photo, str]:
    """Return the name of each image: its path below the common folder, without its suffix.

    Raises
    ------
    DataError
        Two images have one name, or they are in no common folder.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.inference.map_files import names_of
    >>> list(names_of([Path("scans/a.jpg"), Path("scans/b/c.png")]).values())
    ['a', 'b/c']
    """
    whole = {photo: PurePath(os.path.normpath(_place(photo))) for photo in photos}
    try:
        base = os.path.commonpath([path.parent for path in whole.values()]) if whole else ""
    except ValueError:
        raise DataError("images", expected="images on one drive", got="several drives") from None
    names: dict[Photo, str] = {}
    owners: dict[str, Photo] = {}
    for photo, path in whole.items():
        names[photo] = path.relative_to(base).with_suffix("").as_posix()
        other = owners.setdefault(names[photo].casefold(), photo)
        if other is not photo:
            raise DataError(
                f"{other.as_posix()}, {photo.as_posix()}",
                expected="images whose names differ without their suffixes, as the names of their maps",
                got=f"'{names[photo]}' twice",
                todo="Rename one, or predict them into two folders.",
            )
    return names


def _place(photo: Photo) -> Path:
    """Return the absolute path of an image; that of an image behind a URL is one of no file."""
    if isinstance(photo, Path):
        return photo.absolute()
    return Path(Path.cwd().anchor, photo.url.replace("://", "/"))


def output_file(path: Path, save: Callable[[IO[bytes]], Any], *, force: bool = False) -> None:
    """Write a file atomically, and never over one with other content, unless `force` is set.

    Raises
    ------
    UsageError
        The file exists, and has other content.
    """
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            save(file)
        if path.is_file() and not force and not filecmp.cmp(temporary, path, shallow=False):
            raise UsageError(
                f"{path.as_posix()}: the file exists with other content",
                todo="Name another folder with --out, or remove the file.",
            )


def map_file(model: Predictor, maps: Maps) -> tuple[str, bytes]:
    """Return the file of the maps of an image, as `MapFiles` writes it: its suffix and its content.

    Parameters
    ----------
    model : Predictor
        The model, which predicts maps.
    maps : float32 array [C, H, W]
    """
    names = model.class_names
    _, suffix, save = _FILES[target_type_of(model).name, len(names) > 1]
    file = io.BytesIO()
    save(maps, names, file)
    return suffix, file.getvalue()


def mask_image(indices: NDArray[np.integer[Any]], classes: int) -> Image.Image:
    """Return a mask `[H, W]` as an image: 8 bits with a palette, or 16 bits of more than 256 classes."""
    if classes > INDEXED:
        return Image.fromarray(indices.astype(np.uint16))
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(palette(INDEXED).tobytes())
    return image


def _save_mask(maps: Maps, class_names: Sequence[str], file: IO[bytes]) -> None:
    mask_image(maps.argmax(axis=0), len(class_names)).save(file, "PNG")


def _save_values(maps: Maps, target_names: Sequence[str], file: IO[bytes]) -> None:
    Image.fromarray(maps[0]).save(file, "TIFF")


def _save_array(maps: Maps, target_names: Sequence[str], file: IO[bytes]) -> None:
    np.save(file, np.ascontiguousarray(maps.transpose(1, 2, 0)))


_FILES: Mapping[tuple[str, bool], tuple[str, str, Callable[[Maps, Sequence[str], IO[bytes]], None]]] = {
    (CLASS_MAPS.name, True): ("masks", ".png", _save_mask),
    (NUMBER_MAPS.name, False): ("values", ".tif", _save_values),
    (NUMBER_MAPS.name, True): ("values", ".npy", _save_array),
}
"""Type of maps, and whether a pixel has several outputs -> folder and suffix, and how a file is saved."""

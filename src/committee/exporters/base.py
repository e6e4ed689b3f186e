"""Base class of export formats, and how an exported file is opened. Importing it does not import torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from committee.base.registry import Family
from committee.errors import StoreError, UsageError, missing
from committee.models.predictor import Canvas
from committee.models.tiling import TILE
from committee.predictions.target_types import CLASSES, TargetType, target_type_of
from committee.store.copies import fetch
from committee.store.hashes import hash_file
from committee.store.manifest import NAME, Manifest, read_manifest
from committee.store.remote.address import is_address
from committee.store.remote.downloads import bring_stored, by_address
from committee.untrusted.documents import read_json

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Images, Predictor


TOLERANCE = 1e-5
"""Largest difference between a probability of a file and that of its module. Of numbers, it is relative to
the larger of the standard deviation of the target, if the module knows it, and the root mean square."""
CHECKSUMS, METADATA = "checksums.json", "metadata.json"
STD = "std"
"""Name of the output with the standard deviations of numbers."""
REDO = "Write it again with: committee export --model-name NAME"
LARGEST_CANVAS = 4096
"""Largest side to which images are resized for an exported file; one that says more gets whole images."""


INPUT = {
    "name": "images",
    "type": "uint8 [batch, channels, height, width], of any height and width",
    "channels": "3: RGB; 1: luma (ITU-R 601)",
    "orientation": "EXIF orientation is applied",
    "transparency": "transparent pixels are put on white",
    "depth": "8 bits; of 16 bits in a gray image, the upper 8 if a value needs more than 12 bits, else the "
    "upper 8 of 12, and values of up to 8 bits as they are",
    "resizing": "none: the model resizes (bilinear, antialiased), crops or pads, and normalizes",
}
"""What an exported model expects of its images; the same as `committee.images.decode.decode` returns."""


@dataclass(frozen=True)
class Card:
    """Name, classes and origin of a model, as written into an exported file.

    Parameters
    ----------
    name : str
        Name of the member or ensemble.
    class_names : tuple of str, length C
        Class of each column of the probabilities, or target of each column of numbers.
    facts : mapping, optional
        Origin of the model, as plain JSON values.
    target_type : TargetType
        What the model predicts.
    units : tuple of str
        Unit of each target; none if they are not known.
    maps : mapping
        Of a model of maps: its `task`, the `stride` to whose multiples it pads images, the side `crop` of the
        crops of its training, and the side `tile` of the tiles in which large images are predicted.
    canvas : tuple of int and str, optional
        Size and fit of the square that is all that the model reads of an image (`Predictor.canvases`).
    shape : tuple of int
        Shape of one input, float32, of a model of other inputs than images; none of a model of images.

    See Also
    --------
    Exporter : Writes a module and its card.

    Examples
    --------
    >>> from committee.exporters.base import Card
    >>> Card("vote", ("cat", "dog"), {"kind": "ensemble"}).class_names
    ('cat', 'dog')
    """

    name: str
    class_names: tuple[str, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    target_type: TargetType = CLASSES
    units: tuple[str, ...] = ()
    maps: Mapping[str, Any] = field(default_factory=dict)
    canvas: tuple[int, str] | None = None
    shape: tuple[int, ...] = ()

    @classmethod
    def of(cls, model: Any, name: str, facts: Mapping[str, Any] | None = None) -> Card:
        """Return the card of a model that knows its classes or targets."""
        from committee.images.as_given import shape_of
        from committee.models.canvases import canvases_of

        names, units = (tuple(getattr(model, each, ())) for each in ("class_names", "units"))
        kind, maps, found = target_type_of(model), _maps_facts(model), canvases_of(model)
        canvas = (found[0].size, found[0].fit) if len(found) == 1 else None
        return cls(name, names, dict(facts or {}), kind, units, maps, canvas, shape_of(model))

    @property
    def input(self) -> Mapping[str, str]:
        """What the model expects of its images, or of its other inputs."""
        if self.shape:
            return {"name": INPUT["name"], "type": f"float32 [batch, {', '.join(map(str, self.shape))}]"}
        return (
            {**INPUT, "resizing": "none: maps have the height and width of the image"} if self.maps else INPUT
        )

    def predicts(self) -> dict[str, Any]:
        """Return the canvas, and what files say of a model of numbers or maps, as JSON values."""
        canvas = {} if self.canvas is None else {"canvas": list(self.canvas)}
        if self.target_type is CLASSES:
            return canvas
        maps = {"maps": dict(self.maps)} if self.maps else {}
        return {"target_type": self.target_type.name, "units": list(self.units), **maps, **canvas}


def canvases_in(canvas: Any, channels: int) -> tuple[Canvas, ...]:
    """Return the canvases of an exported file, by the entry `canvas` of its card; none if there is none."""
    size, fit = canvas if isinstance(canvas, list) and len(canvas) == 2 else (0, "")
    known = type(size) is int and 0 < size <= LARGEST_CANVAS and fit in ("crop", "squash", "pad")
    return ((size, fit, channels),) if known else ()


def _maps_facts(model: Any) -> dict[str, Any]:
    """Return the entry `maps` of the card of a model of maps; nothing of others."""
    if not target_type_of(model).dense:
        return {}
    strides = [part.network.stride for part in model.modules() if hasattr(part, "network")]
    crops = [part.size for part in model.modules() if getattr(part, "fit", "") == "native"]
    return {
        "task": model.task.key,
        "stride": max(strides, default=1),
        "crop": max(crops, default=TILE),
        "tile": TILE,
    }


class Exporter(ABC):
    """Base class of export formats: a format writes a module to a file, and opens that file.

    A new format is one file in `committee/exporters/`, or an entry point of the group `committee.exporters`
    of another package. Options, such as a precision, are parameters of the constructor, which have defaults
    and are stored under their own names; `open` does not need them. The attributes are literals, since
    `format_of` reads them from the source file without importing it.

    Attributes
    ----------
    suffix : str
        Ending of the file's name, such as `.onnx`, by which `open_exported` recognizes the format; empty for
        a format that writes a folder.
    graph : bool
        Whether the file contains a fixed graph. Such a format records the module inside
        `committee.base.tracing.tracing`, so that preprocessing keeps free sizes.
    branches : bool
        Whether such a graph leaves out the networks of a cascade or mixture that no image of a batch needs.
        In other graphs, every network runs on every image.
    with_std : bool
        Whether a file of a model whose networks predict variances has them; other formats refuse such a
        model.
    self_contained : bool
        Whether the file contains the whole model. If not, `open` raises UsageError.
    device : str
        The one type of device that runs the file, such as `cpu`; empty if several do.
    tolerance : float
        Largest difference between a probability of the file and that of the module (see `TOLERANCE` for
        numbers); an exporter whose options cost precision sets it on the instance.
    runs_code : bool
        Whether a file may contain code, of machines or of Python, that opening or running it executes.
        `open_exported` opens it only if the format is trusted.
    trusted : bool or collection of str
        The `python:` names that `open` may import; `open_exported` sets it.
    imports : collection of str
        The `python:` names that the options name, and that are therefore trusted.
    calibration : callable, optional
        Returns images, uint8 `[N, c, H, W]`, on which an exporter that quantizes measures the ranges of
        activations; `package` sets it. Without it, the images are those of `example`.

    See Also
    --------
    open_exported : Open a file of any format.
    committee.pipeline.shared.package.package : Write several formats of a model, each compared with it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from committee.exporters.base import Card, Exporter
    >>> class Brightness(Exporter):
    ...     suffix = ".txt"
    ...
    ...     def export(self, module, example, folder, card):
    ...         file = folder / "model.txt"
    ...         file.write_text(str(float(module(example).mean())))
    ...         return file
    ...
    ...     def open(self, file, device="cpu"):
    ...         value = float(file.read_text())
    ...         return lambda images: np.full((len(images), 1), value, np.float32)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     example = np.full((2, 3, 8, 8), 3, np.uint8)
    ...     file = Brightness().export(lambda images: images, example, Path(folder), Card("mean", ("light",)))
    ...     Brightness().open(file)(example).tolist()
    [[3.0], [3.0]]
    """

    suffix: ClassVar[str] = ""
    graph: ClassVar[bool] = False
    branches: ClassVar[bool] = False
    with_std: ClassVar[bool] = False
    self_contained: ClassVar[bool] = True
    runs_code: ClassVar[bool] = False
    device: str = ""
    tolerance: float = TOLERANCE
    trusted: bool | Collection[str] = ()
    imports: Collection[str] = ()
    calibration: Callable[[], Images] | None = None

    @abstractmethod
    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write a module into a folder and return the main file, whose name ends with `suffix`.

        Parameters
        ----------
        module : torch.nn.Module
            Images uint8 `[B, c, H, W]` -> logits or numbers `[B, C]`, or maps of them `[B, C, H, W]`; on the
            CPU, in evaluation mode.
        example : uint8 Tensor `[B, c, H, W]`
            Real images to record a graph with; B, H and W at least 2.
        folder : Path
            An existing, empty folder. A format with an empty `suffix` returns it.
        card : Card
            Name, classes and origin of the model, to be stored in the file.

        Raises
        ------
        ExportError
            The module cannot be written in this format.
        DependencyError
            A package that the format needs is not installed.
        """

    @abstractmethod
    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open an exported file for prediction.

        Parameters
        ----------
        file : Path
            A file that `export` returned, which exists, or a copy of it.
        device : str
            "cpu", "cuda", "mps" or "auto", the best that is available.

        Raises
        ------
        StoreError
            The file is damaged, or was not written by `export`.
        UsageError
            The format is not `self_contained`.
        DeviceError
            The device is not available.
        DependencyError
            A package that the format needs is not installed.
        """

    def load(self, file: Path, module: nn.Module) -> Predictor:
        """Open what `export` wrote in this process, to compare it with the module that was exported.

        A format that stores a part of a module takes the rest from `module`.
        """
        return self.open(file)


EXPORTERS: Family[Exporter] = Family("committee.exporters", "export format")


def format_of(path: Path) -> str | None:
    """Return the format of an exported file, or of a folder that `committee export` wrote, or None.

    A folder is recognized by its manifest, a file by the suffix of its name, whether or not it exists.
    """
    if path.is_dir():
        facts = read_manifest(path, verify=False).facts if (path / NAME).is_file() else {}
        return str(facts["format"]) if "format" in facts else None
    name = path.name.lower()
    found = {suffix: key for key, suffix in _suffixes().items() if name.endswith(suffix)}
    return found[max(found, key=len)] if found else None  # `.aoti.pt2` is more than `.pt2`


@by_address()
def open_exported(path: str | Path, device: str = "cpu", trusted: bool | Collection[str] = ()) -> Predictor:
    """Open an exported file of any format for prediction.

    Parameters
    ----------
    path : str or Path
        An exported file, or the folder of one format in a package, such as `deploy/NAME/onnx`, or the address
        of one. A file in such a folder is compared with its checksums first.
    device : str
        "cpu", "cuda", "mps" or "auto", the best that is available.
    trusted : bool or collection of str
        The formats that may run code of the file (`runs_code`), and the `python:` names that may be imported
        if the file names one; True allows all.

    Returns
    -------
    Predictor

    Raises
    ------
    UsageError
        The path does not exist, has no known format, or may run code and is not trusted.
    StoreError
        The file is damaged.
    DeviceError, DependencyError
        The file cannot be run here.

    See Also
    --------
    Exporter : The formats, with an example.
    """
    fetch(path := bring_stored(path) if is_address(path) else Path(path))
    if not path.exists():
        raise missing(UsageError, path)
    key = format_of(path)
    if key is None:
        raise UsageError(
            str(path),
            expected=f"an exported file ({', '.join(sorted(_suffixes().values()))}) or its folder",
            got="another",
            todo="Write one with: committee export --model-name NAME",
        )
    exporter = EXPORTERS.make(key)
    exporter.trusted = trusted
    if exporter.runs_code and trusted is not True and (not trusted or key not in trusted):
        raise UsageError(
            str(path),
            expected=f"a trusted file, since files of the format {key} can run code",
            got="one that is not trusted",
            todo=f"If you know who wrote it, add --trust {key}, or name the format in exports.formats.",
        )
    folder = path if path.is_dir() else path.parent
    if (folder / NAME).is_file():  # a copy of the file elsewhere has no checksums
        _check_package(folder, read_manifest(folder))
    model = exporter.open(_main_file(folder, exporter.suffix) if path.is_dir() else path, device)
    _check(model, path)
    return model


def _check_package(folder: Path, manifest: Manifest) -> None:
    """Raise StoreError if the folder of a format lies in the package of another model.

    The files are compared with the checksums of the package, and the name of the package with its folder: a
    copy of a package may have any name, but not that of another model, nor in the store.
    """
    package = folder.parent
    if not (package / CHECKSUMS).is_file():
        return
    sums = read_json(package / CHECKSUMS, "the checksums of a package", REDO)
    files = {f"{folder.name}/{name}": facts["sha256"] for name, facts in manifest.files.items()}
    files |= {METADATA: hash_file(package / METADATA) if (package / METADATA).is_file() else None}
    wrong = next((name for name, found in files.items() if sums.get(name) != found), None)
    if wrong is not None:
        raise StoreError(str(package / wrong), expected=f"the file in {CHECKSUMS}", got="another", todo=REDO)
    name = str(read_json(package / METADATA, "the description of a package", REDO).get("name"))
    place = package.resolve()
    if name != place.name and (place.parent.name == "deploy" or (place.parent / Path(name).name).is_dir()):
        todo = "Rename the folders of the packages, or write them again with: committee export"
        raise StoreError(
            str(package), expected=f"the package of {place.name}", got=f"that of {name}", todo=todo
        )


def _check(model: Predictor, path: Path) -> None:
    """Raise StoreError unless a model has different class names, and images of one or three channels."""
    names, channels = tuple(model.class_names), model.channels
    if not names or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        got = "none" if not names else ", ".join(map(str, names[:5]))
        raise StoreError(str(path), expected="different class names", got=got, todo=REDO)
    if not getattr(model, "input_shape", ()) and channels not in (1, 3):  # of images
        raise StoreError(str(path), expected="images of 1 or 3 channels", got=str(channels), todo=REDO)


def _suffixes() -> dict[str, str]:
    """Return the suffixes of the formats that write files."""
    found = {key: EXPORTERS.constants(key).get("suffix") for key in EXPORTERS.names()}
    return {key: suffix for key, suffix in found.items() if suffix}


def _main_file(folder: Path, suffix: str) -> Path:
    return next(iter(sorted(folder.glob(f"*{suffix}"))), folder) if suffix else folder

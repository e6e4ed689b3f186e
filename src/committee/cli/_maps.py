"""Options of `committee predict` for models of maps, and the files that they ask for."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.errors import UsageError

if TYPE_CHECKING:
    from committee.inference.map_files import MapFiles
    from committee.inference.photos import Photo
    from committee.inference.predict import Prediction
    from committee.models.predictor import Predictor
    from committee.report.map_pictures import MapPictures

TABLE = "predictions.csv"


def add_maps(output: Any, parser: ArgumentParser) -> None:
    """Add `--out` to the outputs, and the options of maps."""
    output.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="write the maps of each image into FOLDER (masks/*.png, or values/* of numbers), and a row "
        f"of FOLDER/{TABLE}",
    )
    parser.add_argument(
        "--arrays",
        choices=("float16", "float32"),
        help="with --out, also write the probabilities or numbers of all pixels as arrays/*.npz of this type",
    )
    parser.add_argument(
        "--picture",
        action="store_true",
        help="with --out, also write pictures/*.png: the image, the prediction, and where members disagree",
    )
    parser.add_argument(
        "--masks",
        type=Path,
        metavar="FOLDER",
        help="with --picture, the true masks of the images, with the same names without the suffix",
    )
    parser.add_argument(
        "--worst",
        type=int,
        metavar="N",
        help="with --masks, pictures of the N images with the worst predictions alone",
    )
    parser.add_argument(
        "--tile", type=int, metavar="PIXELS", help="side of the tiles of large images (default: 512)"
    )
    parser.add_argument(
        "--overlap",
        type=float,
        metavar="F",
        help="overlap of tiles as a fraction of their side (default: 0.25)",
    )


def check_maps(model: Predictor, arguments: Namespace) -> None:
    """Check the options, and make `--out` the folder of a table as that of `--csv`.

    Raises
    ------
    UsageError
        An option of maps is given for a model that predicts none, or without the option that it needs.
    """
    from committee.models.tiling import OVERLAP, TILE, check_tiles
    from committee.predictions.target_types import target_type_of

    names = ("out", "arrays", "picture", "masks", "worst", "tile", "overlap")
    given = [name for name in names if getattr(arguments, name) not in (None, False)]
    if given and not target_type_of(model).dense:
        raise UsageError(
            f"--{given[0]}",
            expected="a model of maps",
            got=f"{model.name}, which predicts {target_type_of(model).name}",
            todo="Leave the option out.",
        )
    for name, needed in (("arrays", "out"), ("picture", "out"), ("masks", "picture"), ("worst", "masks")):
        if name in given and needed not in given:
            raise UsageError(f"--{name}", expected=f"--{needed} as well", got="none", todo="Add it.")
    if arguments.worst is not None and arguments.worst < 1:
        raise UsageError("--worst", expected="a number of at least 1", got=str(arguments.worst))
    tile = TILE if arguments.tile is None else arguments.tile
    check_tiles(tile, OVERLAP if arguments.overlap is None else arguments.overlap, 1)
    if arguments.out is not None:
        arguments.csv = arguments.out / TABLE


def tiles_of(arguments: Namespace) -> dict[str, Any]:
    """Return the options of tiles that are given."""
    named = {"tile": arguments.tile, "overlap": arguments.overlap}
    return {name: value for name, value in named.items() if value is not None}


def tiles_suffix(arguments: Namespace) -> str:
    """Return the settings of tiles by which predictions of one model differ, as the end of its name."""
    given = [f"{name} {value:g}" for name, value in tiles_of(arguments).items()]
    return f" ({', '.join(given)})" if given else ""


class Keeper:
    """Writes the files that the arguments ask for; none without `--out`.

    Parameters
    ----------
    model : Predictor
    photos : sequence of Path or RemoteFile
    arguments : Namespace
    """

    def __init__(self, model: Predictor, photos: Sequence[Photo], arguments: Namespace) -> None:
        self._files: MapFiles | None = None
        self._pictures: MapPictures | None = None
        if arguments.out is None:
            return
        from committee.inference.map_files import MapFiles
        from committee.inference.photos import photo_id

        self._photos = {photo_id(photo): photo for photo in photos}
        self._files = MapFiles(arguments.out, model, photos, arguments.arrays)
        if arguments.picture:
            from committee.report.map_pictures import MapPictures

            tiles = tiles_of(arguments)
            self._pictures = MapPictures(self._files, model, arguments.masks, arguments.worst, **tiles)

    def keep(self, prediction: Prediction, renewed: bool) -> None:
        """Write the files of a prediction, in place of those of another version of its image if `renewed`."""
        if self._files is None or prediction.probabilities is None:
            return
        photo = self._photos[prediction.id]
        self._files.write(photo, prediction.probabilities, force=renewed)
        if self._pictures is not None:
            self._pictures.add(photo, prediction.probabilities, force=renewed)

    def close(self) -> None:
        """Write the pictures of the worst images, and print their names."""
        for title in [] if self._pictures is None else self._pictures.close():
            print(f"worst: {title}")

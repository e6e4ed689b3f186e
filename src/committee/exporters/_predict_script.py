"""Predict photos with a model.onnx that committee wrote; needs numpy, Pillow and onnxruntime alone.

python predict.py PHOTO...   prints a line of JSON for each photo: its class and all probabilities
Model().predict("photo.jpg") returns the probabilities by class; the exit code is 3 if some photos, and 1 if
all, cannot be read. Photos are upright by EXIF, on white, of 8 bits; the model resizes and normalizes them.
A model that predicts numbers prints and returns them by target, as "values". A model that predicts maps
writes masks/PHOTO.png, the index of the most probable class of each pixel, or values/PHOTO.npy, float32
`[T, H, W]`, and prints the mean of the pixels. A photo is predicted as a whole;
`committee predict` divides large ones.
"""

from __future__ import annotations

import colorsys
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

COLORS = "000000 e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7"  # of the first classes (Okabe and Ito)
DEPTHS = {"1": 255.0, "L;2": 85.0, "L;4": 17.0, "RGB;16B": 1 / 256}  # from a PNG file to Pillow's 8 bits


def read(path: str | Path, channels: int = 3) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the pixels of a JPEG, PNG or WebP file as the model takes them: uint8 `[1, channels, H, W]`."""
    with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as opened:
        frames = 1 if opened.format == "MPO" else getattr(opened, "n_frames", 1)
        if frames > 1 or opened.width * opened.height > 50_000_000:
            raise ValueError(
                f"{frames} pictures of {opened.width} x {opened.height}, not one of 50 megapixels"
            )
        scale = DEPTHS.get(str(opened.tile[0][3])) if opened.tile else None
        if scale and "transparency" in opened.info:  # a color, in the depth of the file
            opened.info["transparency"] = np.multiply(opened.info["transparency"], scale).astype(int).tolist()
        opened.load()
        image: Image.Image = opened
        with contextlib.suppress(Exception):  # broken metadata does not rotate a photo
            image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):  # the upper 8 of 8, 12 or 16 bits
            values = np.asarray(image).clip(0, 2**16 - 1)
            shift = next(bits for bits in (0, 4, 8) if values.max() < 2 ** (8 + bits))
            is_white = values == image.info.get("transparency", -1)
            image = Image.fromarray(np.where(is_white, 255, values >> shift).astype(np.uint8))
        elif image.has_transparency_data:
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image.convert("RGBA"))
        pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return np.atleast_3d(pixels).transpose(2, 0, 1)[None]


class Model:
    """A model in an ONNX file that committee exported; by default the one beside this script or below."""

    def __init__(self, path: str | Path = "") -> None:
        beside = next(Path(__file__).parent.glob("**/model.onnx"), "model.onnx")
        self.session = onnxruntime.InferenceSession(path or beside)
        self.output = self.session.get_outputs()[0].name  # "probabilities" or "values"
        self.class_names = json.loads(self.session.get_modelmeta().custom_metadata_map["class_names"])

    def outputs(self, path: str | Path) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return the probabilities or numbers of one photo, `[C]`, or those of its pixels, `[C, H, W]`."""
        images = read(path, self.session.get_inputs()[0].shape[1])
        found: np.ndarray[Any, np.dtype[np.float32]] = self.session.run([self.output], {"images": images})[0][
            0
        ]
        return found

    def predict(self, path: str | Path) -> dict[str, float]:
        """Return the probability of each class, or the number of each target, for one photo."""
        return self.named(self.outputs(path))

    def named(self, outputs: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, float]:
        """Return outputs by class or target; of maps, the mean of the pixels."""
        means = outputs if outputs.ndim == 1 else outputs.mean((1, 2), dtype=np.float64)
        return dict(zip(self.class_names, means.tolist(), strict=True))


def palette(classes: int) -> bytes:
    """Return the red, green and blue of each class: `COLORS`, then hues at steps of the golden ratio."""
    found = bytearray.fromhex(COLORS)
    for k in range(classes - len(found) // 3):
        color = colorsys.hsv_to_rgb(k * 0.618033988749895 % 1, 0.55 + 0.3 * (k % 2), 0.95 - 0.2 * (k % 3))
        found += bytes(round(255 * part) for part in color)
    return bytes(found[: 3 * classes])


def save_map(outputs: np.ndarray[Any, np.dtype[np.float32]], photo: str, is_class: bool) -> str:
    """Write the map of a photo, unless the file exists; return its path."""
    path = Path("masks" if is_class else "values", f"{Path(photo).name}{'.png' if is_class else '.npy'}")
    path.parent.mkdir(exist_ok=True)
    with path.open("xb") as file:
        if is_class:
            image = Image.fromarray(outputs.argmax(0).astype(np.uint8 if len(outputs) <= 256 else np.uint16))
            if image.mode == "L":
                image.putpalette(palette(len(outputs)))
            image.save(file, "PNG")
        else:
            np.save(file, outputs)
    return path.as_posix()


def main(paths: list[str]) -> int:
    """Print a line of JSON for each photo, or why it cannot be read; return the exit code."""
    model, failed = Model(), 0
    for path in paths:
        try:
            outputs, is_class = model.outputs(path), model.output == "probabilities"
            found, line = model.named(outputs), {"id": path}
            if outputs.ndim == 3:
                line["file"] = save_map(outputs, path, is_class)
            elif is_class:
                line["prediction"] = max(found, key=found.__getitem__)
            print(json.dumps({**line, model.output: found}, allow_nan=False))
        except Exception as error:  # a broken file may raise anything in Pillow
            print(f"{path}: {error}", file=sys.stderr)
            failed += 1
    return 0 if not failed else 3 if failed < len(paths) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)

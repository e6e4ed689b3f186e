"""Predict photos with the model.onnx beside this file; needs onnxruntime, Pillow and numpy, not committee.

python predict.py PHOTO...     prints a line of JSON for each photo: its class and all probabilities
from predict import Model      Model("model.onnx").predict("photo.jpg") returns probabilities by class

A photo is read as in training: rotated by its EXIF orientation; transparent pixels are white; gray,
palette and CMYK images become RGB (or luma, for a model of gray images); of 16 bits in a gray image, the
upper 8 of 12 or of 16 are used. The model resizes and normalizes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

WHITE = (255, 255, 255, 255)
DEPTHS = {"1": 255.0, "L;2": 85.0, "L;4": 17.0, "RGB;16B": 1 / 256}
"""Factor from the values in a PNG file to Pillow's pixels, by the raw mode of the file."""


def read(path: str | Path, channels: int = 3) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the pixels of a JPEG, PNG or WebP file as the model takes them: uint8 `[1, channels, H, W]`."""
    with Image.open(path) as image:
        _scale_transparency(image)
        image.load()
        pixels = np.asarray(_upright(_plain(image)).convert("RGB" if channels == 3 else "L"))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if channels == 3 else pixels[None])[None]


def _scale_transparency(image: Any) -> None:
    """Convert the transparent color of a PNG from the depth of the file to that of Pillow's pixels."""
    color = image.info.get("transparency")
    scale = DEPTHS.get(str(image.tile[0][3])) if image.format == "PNG" and image.tile else None
    if scale is not None and isinstance(color, int):
        image.info["transparency"] = int(color * scale)
    elif scale is not None and isinstance(color, tuple):
        image.info["transparency"] = tuple(int(value * scale) for value in color)


def _plain(image: Any) -> Any:
    """Return the image with 8 bits a channel, on white."""
    info = {key: value for key, value in image.info.items() if key != "transparency"}
    if image.mode.startswith("I"):
        values = np.asarray(image).clip(0, 2**16 - 1)
        depth = next(bits for bits in (8, 12, 16) if values.max(initial=0) < 2**bits)
        gray = (values >> (depth - 8)).astype(np.uint8)
        gray[values == image.info.get("transparency", -1)] = 255
        image = Image.fromarray(gray)
    elif "A" in image.getbands() or "transparency" in image.info:
        colored = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colored.size, WHITE), colored)
    image.info = info
    return image


def _upright(image: Any) -> Any:
    """Return the image rotated by its EXIF orientation; broken metadata does not rotate it."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:
        return image


class Model:
    """A model in an ONNX file that committee exported.

    Parameters
    ----------
    path : str or Path
        The file; by default the one beside this script.
    """

    def __init__(self, path: str | Path = "") -> None:
        self.session = onnxruntime.InferenceSession(path or Path(__file__).with_name("model.onnx"))
        facts = self.session.get_modelmeta().custom_metadata_map
        self.class_names = json.loads(facts["class_names"])
        self.channels = self.session.get_inputs()[0].shape[1]

    def predict(self, path: str | Path) -> dict[str, float]:
        """Return the probability of each class for one photo."""
        row = self.session.run(["probabilities"], {"images": read(path, self.channels)})[0][0]
        if not np.isfinite(row).all():
            raise ValueError(f"{path}: the model returned NaN or infinity")
        return dict(zip(self.class_names, row.tolist(), strict=True))


def main(paths: list[str]) -> int:
    """Print a line of JSON for each photo; return 1 if one cannot be read."""
    model, code = Model(), 0
    for path in paths:
        try:
            found = model.predict(path)
        except (OSError, ValueError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            code = 1
            continue
        print(
            json.dumps({"id": path, "prediction": max(found, key=found.__getitem__), "probabilities": found})
        )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

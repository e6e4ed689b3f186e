"""Predict photos with a model.onnx that committee wrote; needs numpy, Pillow and onnxruntime alone.

python predict.py PHOTO...     prints a line of JSON for each photo: its class and all probabilities
from predict import Model      Model("model.onnx").predict("photo.jpg") returns probabilities by class

A photo is read as in training: rotated by its EXIF orientation; transparent pixels are white; gray,
palette and CMYK images become RGB (or luma, for a model of gray images); of 16 bits in a gray image, the
upper 8 of 12 or of 16 are used. The model resizes and normalizes. The exit code is 3 if some photos cannot be
read, and 1 if none can.
"""

from __future__ import annotations

import contextlib
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
    with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
        frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
        if frames > 1 or image.width * image.height > 50_000_000:
            raise ValueError(f"{frames} pictures of {image.width} x {image.height}, not one of 50 megapixels")
        scale = DEPTHS.get(str(image.tile[0][3]), 1) if image.format == "PNG" and image.tile else 1
        key = image.info.get("transparency")  # the transparent color, in the depth of the file
        if scale != 1 and isinstance(key, int | tuple):
            scaled = (np.array(key) * scale).astype(int).tolist()
            image.info["transparency"] = scaled if isinstance(key, int) else tuple(scaled)
        image.load()
        plain = _plain(image)
    with contextlib.suppress(Exception):  # broken metadata does not rotate a photo
        plain = ImageOps.exif_transpose(plain)
    pixels = np.asarray(plain.convert("RGB" if channels == 3 else "L"))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1) if channels == 3 else pixels[None])[None]


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


class Model:
    """A model in an ONNX file that committee exported; by default the one beside this script or below."""

    def __init__(self, path: str | Path = "") -> None:
        here = Path(__file__).parent
        self.session = onnxruntime.InferenceSession(
            path or next(here.glob("**/model.onnx"), here / "model.onnx")
        )
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
    """Print a line of JSON for each photo, or why it cannot be read; return the exit code."""
    model, failed = Model(), 0
    for path in paths:
        try:
            found = model.predict(path)
            best = max(found, key=found.__getitem__)
            print(json.dumps({"id": path, "prediction": best, "probabilities": found}))
        except Exception as error:  # a broken file may raise anything in Pillow
            print(f"{path}: {error}", file=sys.stderr)
            failed += 1
    return 0 if not failed else 3 if failed < len(paths) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

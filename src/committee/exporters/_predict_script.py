"""Predict photos with a model.onnx that committee wrote; needs numpy, Pillow and onnxruntime alone.

python predict.py PHOTO...   prints a line of JSON for each photo: its class and all probabilities
Model().predict("photo.jpg") returns the probabilities by class; the exit code is 3 if some photos, and 1 if
all, cannot be read. Photos are upright by EXIF, on white, of 8 bits; the model resizes and normalizes them.
A model that predicts numbers prints and returns them by target, as "values".
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

    def predict(self, path: str | Path) -> dict[str, float]:
        """Return the probability of each class, or the number of each target, for one photo."""
        images = read(path, self.session.get_inputs()[0].shape[1])
        row = self.session.run([self.output], {"images": images})[0][0]
        return dict(zip(self.class_names, row.tolist(), strict=True))


def main(paths: list[str]) -> int:
    """Print a line of JSON for each photo, or why it cannot be read; return the exit code."""
    model, failed = Model(), 0
    for path in paths:
        try:
            found = model.predict(path)
            is_class = model.output == "probabilities"
            line = {"id": path} | ({"prediction": max(found, key=found.__getitem__)} if is_class else {})
            print(json.dumps({**line, model.output: found}, allow_nan=False))
        except Exception as error:  # a broken file may raise anything in Pillow
            print(f"{path}: {error}", file=sys.stderr)
            failed += 1
    return 0 if not failed else 3 if failed < len(paths) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if sys.argv[1:] else __doc__)

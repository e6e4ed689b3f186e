"""A plain server of photos: FastAPI, Pillow and ONNX Runtime, one call of the model for each request."""

from __future__ import annotations

import io
import sys

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image


def app_of(model: str) -> FastAPI:
    """Return the application; its route runs in FastAPI's threads."""
    session, app = onnxruntime.InferenceSession(model), FastAPI()

    @app.post("/predict")
    def predict(file: UploadFile) -> dict[str, list[float]]:
        pixels = np.asarray(Image.open(io.BytesIO(file.file.read())).convert("RGB"))
        (found,) = session.run(["probabilities"], {"images": pixels.transpose(2, 0, 1)[None]})
        return {"probabilities": found[0].tolist()}

    return app


if __name__ == "__main__":
    uvicorn.run(app_of(sys.argv[1]), port=int(sys.argv[2]), log_level="critical", access_log=False)

"""A server of photos with LitServe and ONNX Runtime, with batches as its documentation has them."""

import io
import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime
from fastapi import Request
from PIL import Image


class Photos(litserve.LitAPI):
    """Predicts batches of photos of one size."""

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(**options)
        self.path = model

    def setup(self, device: str) -> None:
        """Open the model."""
        self.session = onnxruntime.InferenceSession(self.path)

    def decode_request(self, request: Request) -> np.ndarray[Any, Any]:
        """Return the pixels of a photo."""
        file: Any = request["file"]  # LitServe has read the form.
        pixels = np.asarray(Image.open(io.BytesIO(file.file.read())).convert("RGB"))
        return pixels.transpose(2, 0, 1)

    def predict(self, images: np.ndarray[Any, Any]) -> Any:
        """Return the probabilities of a batch."""
        return self.session.run(["probabilities"], {"images": np.ascontiguousarray(images)})[0]

    def encode_response(self, output: Any) -> dict[str, list[float]]:
        """Return the answer of a photo."""
        return {"probabilities": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(
        Photos(sys.argv[1], max_batch_size=32, batch_timeout=0.002), accelerator="cpu", timeout=60
    )
    server.run(port=int(sys.argv[2]), generate_client_file=False, log_level="critical", access_log=False)

"""A server of arrays with KServe and ONNX Runtime, as its documentation has custom models."""

import sys
from typing import Any

import onnxruntime
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer


class Served(Model):
    """Predicts arrays of the Open Inference Protocol v2."""

    def __init__(self, path: str) -> None:
        super().__init__("served")
        self.session = onnxruntime.InferenceSession(path)
        self.ready = True

    def predict(self, payload: InferRequest, headers: Any = None, response_headers: Any = None) -> Any:
        """Return the probabilities of a request."""
        images = payload.inputs[0].as_numpy()
        (found,) = self.session.run(["probabilities"], {"images": images})
        output = InferOutput("probabilities", list(found.shape), "FP32")
        output.set_data_from_numpy(found, binary_data=False)
        return InferResponse(payload.id or "1", self.name, [output])


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[2]), enable_grpc=False).start([Served(sys.argv[1])])

"""The model repository for NVIDIA Triton: the model, its settings, and its labels."""

from __future__ import annotations

from committee.pipeline.bundling.subject import Content, Subject

LARGEST_BATCH = 32


def files(subject: Subject) -> Content:
    """Return the repository `triton/`, whose one model is the only copy of the ONNX file in the bundle."""
    folder = f"triton/{subject.name}"
    weights = {} if subject.weights is None else {f"{subject.place}.data": subject.weights}
    labels = "".join(f"{' '.join(name.split())}\n" for name in subject.class_names)  # one line each
    return {
        f"{folder}/config.pbtxt": _settings(subject).encode(),
        f"{folder}/labels.txt": labels.encode(),
        subject.place: subject.file,
        **weights,
    }


def _settings(subject: Subject) -> str:
    """Return `config.pbtxt`. The batch is no part of `dims`; images of one size are collected to a batch."""
    return f"""name: "{subject.name}"
backend: "onnxruntime"
max_batch_size: {LARGEST_BATCH}
input [
  {{
    name: "images"
    data_type: TYPE_UINT8
    dims: [ {subject.channels}, -1, -1 ]
  }}
]
output [
  {{
    name: "probabilities"
    data_type: TYPE_FP32
    dims: [ {len(subject.class_names)} ]
    label_filename: "labels.txt"
  }}
]
dynamic_batching {{ }}
"""

"""The model repository for NVIDIA Triton: the model, its settings, and its labels."""

from __future__ import annotations

from committee.pipeline.bundling.subject import Content, Subject

LARGEST_BATCH = 32
LABELS = "labels.txt"


def files(subject: Subject) -> Content:
    """Return the repository `triton/`, whose one model is the only copy of the ONNX file in the bundle."""
    folder = f"triton/{subject.name}"
    weights = {} if subject.weights is None else {f"{subject.place}.data": subject.weights}
    lines = "".join(f"{' '.join(name.split())}\n" for name in subject.class_names)  # one line each
    labels = {f"{folder}/{LABELS}": lines.encode()} if subject.words.are_classes else {}
    return {
        f"{folder}/config.pbtxt": _settings(subject).encode(),
        **labels,
        subject.place: subject.file,
        **weights,
    }


def _settings(subject: Subject) -> str:
    """Return `config.pbtxt`. The batch is no part of `dims`; images of one size are collected to a batch."""
    labels = f'\n    label_filename: "{LABELS}"' * subject.words.are_classes
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
    name: "{subject.target_type.answers}"
    data_type: TYPE_FP32
    dims: [ {subject.shape.replace("height, width", "-1, -1")} ]{labels}
  }}
]
dynamic_batching {{ }}
"""

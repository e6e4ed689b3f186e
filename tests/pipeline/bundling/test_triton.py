"""The Triton repository is valid, and agrees with the inputs and outputs of the ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from committee.pipeline.bundling.subject import Subject
from committee.pipeline.bundling.triton import files

pytest.importorskip("google.protobuf")


def settings_class() -> Any:
    """Return a message with the fields of Triton's `ModelConfig` that are used, or Triton's own class."""
    try:
        from tritonclient.grpc.model_config_pb2 import ModelConfig
    except ImportError:
        pass
    else:
        return ModelConfig
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    data_type = file.enum_type.add(name="DataType")
    for name, number in {"TYPE_INVALID": 0, "TYPE_BOOL": 1, "TYPE_UINT8": 2, "TYPE_FP32": 11}.items():
        data_type.value.add(name=name, number=number)

    def message(name: str, /, **fields: tuple[int, int, bool, str]) -> None:
        made = file.message_type.add(name=name)
        for field, (number, kind, repeated, typed) in fields.items():
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            full = {"type_name": f".inference.{typed}"} if typed else {}
            made.field.add(name=field, number=number, type=kind, label=label, **full)

    tensor = {
        "name": (1, kinds.TYPE_STRING, False, ""),
        "data_type": (2, kinds.TYPE_ENUM, False, "DataType"),
        "dims": (3, kinds.TYPE_INT64, True, ""),
    }
    message("ModelInput", **tensor)
    message("ModelOutput", **tensor, label_filename=(4, kinds.TYPE_STRING, False, ""))
    message("ModelDynamicBatching", preferred_batch_size=(1, kinds.TYPE_INT32, True, ""))
    message(
        "ModelConfig",
        name=(1, kinds.TYPE_STRING, False, ""),
        max_batch_size=(4, kinds.TYPE_INT32, False, ""),
        input=(5, kinds.TYPE_MESSAGE, True, "ModelInput"),
        output=(6, kinds.TYPE_MESSAGE, True, "ModelOutput"),
        dynamic_batching=(11, kinds.TYPE_MESSAGE, False, "ModelDynamicBatching"),
        backend=(17, kinds.TYPE_STRING, False, ""),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


@pytest.mark.parametrize("channels", [1, 3])
def test_its_settings_agree_with_the_file(subject: Callable[..., Subject], channels: int) -> None:
    from google.protobuf import text_format

    onnxruntime = pytest.importorskip("onnxruntime")
    made = subject(channels)
    found = files(made)
    settings = text_format.Parse(found["triton/mean/config.pbtxt"].decode(), settings_class()())
    (image,), (answer,) = settings.input, settings.output
    session = onnxruntime.InferenceSession(found["triton/mean/1/model.onnx"])
    for each, node in ((image, session.get_inputs()[0]), (answer, session.get_outputs()[0])):
        # The first dimension is that of the batch, which Triton adds.
        sizes = [size if isinstance(size, int) else -1 for size in node.shape[1:]]
        assert (each.name, list(each.dims)) == (node.name, sizes)
    assert (image.data_type, answer.data_type) == (2, 11)  # uint8 and float32
    assert (settings.name, settings.backend, settings.max_batch_size) == ("mean", "onnxruntime", 32)


def test_each_class_has_one_line_of_labels(subject: Callable[..., Subject]) -> None:
    made = files(subject())
    labels = made["triton/mean/labels.txt"].decode().splitlines()
    assert labels == ['cat, "dog"', "</script><b>|*x*|", "🐈 Katze zwei"]
    assert b'label_filename: "labels.txt"' in made["triton/mean/config.pbtxt"]


def test_large_weights_lie_beside_the_model(subject: Callable[..., Subject]) -> None:
    made = subject()
    made.file.with_name("model.onnx.data").write_bytes(b"weights")
    assert files(made)["triton/mean/1/model.onnx.data"].read_bytes() == b"weights"

"""The messages of the Open Inference Protocol v2 over gRPC, built when the program runs.

The names and numbers of fields are those of the public specification, `open_inference_grpc.proto`, which the
`grpc_service.proto` of Triton extends. Neither a compiler nor generated code is needed, and the messages are
in a pool of their own, so that a program may also import those of a client.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
METHODS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
_PARAMETERS = "map InferParameter parameters"
_NAMED_MODEL = "1 string name, 2 string version"
_TENSOR = "1 string name, 2 string datatype, 3 repeated int64 shape"

MESSAGES: Mapping[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 bool live",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 bool ready",
    "ModelReadyRequest": _NAMED_MODEL,
    "ModelReadyResponse": "1 bool ready",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 string name, 2 string version, 3 repeated string extensions",
    "ModelMetadataRequest": _NAMED_MODEL,
    "ModelMetadataResponse": "1 string name, 2 repeated string versions, 3 string platform, "
    "4 repeated ModelMetadataResponse.TensorMetadata inputs, "
    "5 repeated ModelMetadataResponse.TensorMetadata outputs",
    "ModelMetadataResponse.TensorMetadata": _TENSOR,
    "InferParameter": "1 oneof bool bool_param, 2 oneof int64 int64_param, 3 oneof string string_param, "
    "4 oneof double double_param, 5 oneof uint64 uint64_param",
    "InferTensorContents": "1 repeated bool bool_contents, 2 repeated int32 int_contents, "
    "3 repeated int64 int64_contents, 4 repeated uint32 uint_contents, 5 repeated uint64 uint64_contents, "
    "6 repeated float fp32_contents, 7 repeated double fp64_contents, 8 repeated bytes bytes_contents",
    "ModelInferRequest": "1 string model_name, 2 string model_version, 3 string id, "
    f"4 {_PARAMETERS}, 5 repeated ModelInferRequest.InferInputTensor inputs, "
    "6 repeated ModelInferRequest.InferRequestedOutputTensor outputs, 7 repeated bytes raw_input_contents",
    "ModelInferRequest.InferInputTensor": f"{_TENSOR}, 4 {_PARAMETERS}, 5 InferTensorContents contents",
    "ModelInferRequest.InferRequestedOutputTensor": f"1 string name, 2 {_PARAMETERS}",
    "ModelInferResponse": "1 string model_name, 2 string model_version, 3 string id, "
    f"4 {_PARAMETERS}, 5 repeated ModelInferResponse.InferOutputTensor outputs, "
    "6 repeated bytes raw_output_contents",
    "ModelInferResponse.InferOutputTensor": f"{_TENSOR}, 4 {_PARAMETERS}, 5 InferTensorContents contents",
}
"""Fields of each message: number, `repeated`, `map` or `oneof`, type and name."""
_Field = FieldDescriptorProto
_ENTRY = "ParametersEntry"


@functools.cache
def message(name: str) -> Any:
    """Return the class of a message.

    Examples
    --------
    >>> from committee.serving.grpc_messages import message
    >>> message("ServerLiveResponse")(live=True).SerializeToString()
    b'\\x08\\x01'
    """
    return GetMessageClass(_pool().FindMessageTypeByName(f"{PACKAGE}.{name}"))


@functools.cache
def _pool() -> DescriptorPool:
    pool = DescriptorPool()
    pool.Add(_file())
    return pool


def _file() -> FileDescriptorProto:
    file = FileDescriptorProto(name="committee_inference.proto", package=PACKAGE, syntax="proto3")
    made: dict[str, DescriptorProto] = {}
    for name, fields in MESSAGES.items():
        outer, _, inner = name.partition(".")
        parent = made[outer].nested_type if inner else file.message_type
        made[name] = described = parent.add(name=inner or outer)
        for field in filter(None, fields.split(", ")):
            _add(described, f".{PACKAGE}.{name}", field)
    return file


def _add(described: DescriptorProto, path: str, text: str) -> None:
    """Add a field to a message."""
    number, *marks, kind, name = text.split()
    field = described.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if marks:
        field.label = _Field.LABEL_OPTIONAL if marks == ["oneof"] else _Field.LABEL_REPEATED
    if marks == ["oneof"]:
        if not described.oneof_decl:
            described.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if marks == ["map"]:
        _add_entry(described, kind)
        field.type, field.type_name = _Field.TYPE_MESSAGE, f"{path}.{_ENTRY}"
    elif kind[0].isupper():
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    else:
        field.type = getattr(_Field, f"TYPE_{kind.upper()}")


def _add_entry(described: DescriptorProto, kind: str) -> None:
    """Add the message of the entries of a map from strings."""
    entry = described.nested_type.add(name=_ENTRY)
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_STRING)
    value = entry.field.add(name="value", number=2, label=_Field.LABEL_OPTIONAL, type=_Field.TYPE_MESSAGE)
    value.type_name = f".{PACKAGE}.{kind}"

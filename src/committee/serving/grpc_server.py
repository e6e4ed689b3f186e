"""The Open Inference Protocol v2 over gRPC."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc

from committee._version import __version__
from committee.errors import UsageError
from committee.serving.certificate import Certificate
from committee.serving.failures import FailureLog
from committee.serving.grpc_messages import METHODS, SERVICE, message
from committee.serving.guard import FAILURE, is_authorized
from committee.serving.infer_routes import EXTENSIONS
from committee.serving.refusal import (
    ABSENT,
    BAD,
    BUSY,
    FAILED,
    LARGE,
    SLOW,
    UNAUTHORIZED,
    Refusal,
)
from committee.serving.served import VERSION, Served
from committee.serving.service import Service
from committee.serving.tensors import (
    array_of,
    check_input,
    facts_of,
    metadata_of,
    outputs_of,
    wanted_outputs,
)

_CODES = {
    BAD: grpc.StatusCode.INVALID_ARGUMENT,
    UNAUTHORIZED: grpc.StatusCode.UNAUTHENTICATED,
    ABSENT: grpc.StatusCode.NOT_FOUND,
    SLOW: grpc.StatusCode.DEADLINE_EXCEEDED,
    LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    FAILED: grpc.StatusCode.INTERNAL,
    BUSY: grpc.StatusCode.UNAVAILABLE,
}
_CONTENTS = {"UINT8": "uint_contents", "FP32": "fp32_contents"}
OPEN = ("ServerLive", "ServerReady")
Count = Callable[[str, int, float], None]


class Methods:
    """What each method of the protocol answers.

    Parameters
    ----------
    service : Service

    See Also
    --------
    grpc_server_of : Serves them.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def server_live(self, request: Any) -> dict[str, Any]:
        """Return whether the server runs."""
        return {"live": not any(served.is_stuck for served in self._service.models.values())}

    async def server_ready(self, request: Any) -> dict[str, Any]:
        """Return whether all models answer."""
        return {"ready": self._service.is_ready}

    async def model_ready(self, request: Any) -> dict[str, Any]:
        """Return whether a model answers."""
        served = self._service.served(request.name, request.version)
        return {"ready": not (served.is_stuck or self._service.is_draining)}

    async def server_metadata(self, request: Any) -> dict[str, Any]:
        """Return name, version and extensions of the server."""
        return {"name": "committee", "version": __version__, "extensions": EXTENSIONS}

    async def model_metadata(self, request: Any) -> dict[str, Any]:
        """Return inputs and outputs of a model."""
        return metadata_of(self._service.served(request.name, request.version))

    async def model_infer(self, request: Any) -> dict[str, Any]:
        """Return the predictions of images that are arrays."""
        served = self._service.served(request.model_name, request.model_version)
        names = wanted_outputs(served, [each.name for each in request.outputs])
        images = _images(served, request)
        with self._service.admit(len(images)):
            found = await self._service.predict_images(served, images)
        tensors = outputs_of(served, found, names)
        return {
            "model_name": served.name,
            "model_version": VERSION,
            "id": request.id,
            "parameters": {key: {"string_param": value} for key, value in facts_of(served).items()},
            "outputs": [
                {"name": each.name, "datatype": each.datatype, "shape": each.shape} for each in tensors
            ],
            "raw_output_contents": [each.tobytes() for each in tensors],
        }


def _images(served: Served, request: Any) -> Any:
    """Return the input of a request, from its raw contents or its numbers."""
    check_input(served, [each.name for each in request.inputs])
    first, raw = request.inputs[0], list(request.raw_input_contents)
    if len(raw) > 1:
        raise Refusal(BAD, "raw_input_contents", expected="one for each input", got=str(len(raw)))
    content: Any = raw[0] if raw else list(getattr(first.contents, _CONTENTS[served.datatype]))
    return array_of(served, first.datatype, list(first.shape), content)


def grpc_server_of(service: Service, count: Count, token: str) -> Any:
    """Return a gRPC server that is neither bound to an address nor started.

    Parameters
    ----------
    service : Service
    count : callable
        Gets method, HTTP status and seconds of each call.
    token : str
        The token that calls must have as `authorization: Bearer TOKEN`; blank for none.

    See Also
    --------
    bind_grpc : Binds it.
    committee.serving.app.app_of : The same protocol over HTTP.
    """
    limits = service.limits
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),  # Two servers would share the port.
            ("grpc.max_receive_message_length", limits.body),
            ("grpc.max_send_message_length", -1),
        ],
        maximum_concurrent_rpcs=limits.queue,
    )
    methods = Methods(service)
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            _handler(
                name, getattr(methods, _snake(name)), count, "" if name in OPEN else token, service.failures
            ),
            request_deserializer=message(f"{name}Request").FromString,
            response_serializer=message(f"{name}Response").SerializeToString,
        )
        for name in METHODS
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    return server


def bind_grpc(server: Any, address: str, certificate: Certificate | None, option: str) -> None:
    """Bind a gRPC server to an address.

    Parameters
    ----------
    server : grpc.aio.Server
    address : str
        Host and port.
    certificate : Certificate or None
        With which the server encrypts; None for no encryption.
    option : str
        Name of the option of the port, for errors.

    Raises
    ------
    UsageError
        Another program uses the port.
    """
    try:
        if certificate is None:
            bound = server.add_insecure_port(address)
        else:
            bound = server.add_secure_port(address, certificate.for_grpc())
    except RuntimeError:
        bound = 0
    if not bound:
        raise UsageError(
            f"{option} {address.rpartition(':')[2]}",
            expected="a port that is free and may be used",
            got="another",
            todo=f"Give another one with {option}; 0 takes any that is free.",
        )


def _handler(
    name: str,
    answer: Callable[[Any], Awaitable[dict[str, Any]]],
    count: Count,
    token: str,
    failures: FailureLog,
) -> Callable[[Any, Any], Awaitable[Any]]:
    """Return the handler of a method, which authenticates, counts and turns errors into status codes."""

    async def handle(request: Any, context: Any) -> Any:
        start, refusal = time.perf_counter(), None
        try:
            _check(context.invocation_metadata() or (), token)
            return message(f"{name}Response")(**await answer(request))
        except Refusal as error:
            refusal = error
        except Exception:
            failures.add(name)
            refusal = FAILURE
        finally:
            count(name, refusal.status if refusal else 200, time.perf_counter() - start)
        return await context.abort(_CODES[refusal.status], str(refusal))

    return handle


def _check(metadata: Sequence[tuple[str, Any]], token: str) -> None:
    given = str(dict(metadata).get("authorization", ""))
    if token and not is_authorized(token, given):
        expected = "Bearer and the token of the server"
        raise Refusal(UNAUTHORIZED, "authorization", expected=expected, got="another" if given else "none")


def _snake(name: str) -> str:
    return "".join(f"_{each.lower()}" if each.isupper() else each for each in name).removeprefix("_")

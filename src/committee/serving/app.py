"""The HTTP server as an ASGI application: its routes, and how errors are answered."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from committee._version import __version__
from committee.serving.guard import FAILURE, Guard, error_body
from committee.serving.infer_routes import add_infer_routes
from committee.serving.measures import TEXT, Measures
from committee.serving.photo_routes import add_photo_routes
from committee.serving.refusal import BAD, FAILED, Refusal
from committee.serving.schemas import DESCRIPTION, health
from committee.serving.service import Service


def app_of(service: Service, measures: Measures, token: str = "", hosts: Collection[str] = ()) -> ASGIApp:
    """Return the application of a service.

    Parameters
    ----------
    service : Service
    measures : Measures
    token : str
        The token that requests must have; blank for none.
    hosts : collection of str
        The names that are accepted as `Host`; none for any.

    See Also
    --------
    committee.serving.server.serve : Serves it.
    """

    @contextlib.asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="committee",
        version=__version__,
        description=DESCRIPTION,
        lifespan=running,
        docs_url=None,  # Its page would load scripts from another server.
        redoc_url=None,
    )
    _add_errors(app)
    add_infer_routes(app, service)
    add_photo_routes(app, service)
    _add_state(app, service, measures)
    measures.watch(service)
    return Guard(app, service, measures.count_request, token, hosts)


def _add_state(app: FastAPI, service: Service, measures: Measures) -> None:
    """Add the routes that tell how the server is."""

    @app.get("/health", responses=health(), summary="Whether the server answers")
    async def health_of() -> Response:
        return Response(b'{"status":"ok"}', 200, media_type="application/json")

    @app.get("/metrics", response_class=Response, summary="Measures in the text format of Prometheus")
    async def metrics() -> Response:
        return Response(measures.text(), media_type=TEXT)


def _add_errors(app: FastAPI) -> None:
    """Answer all errors with one sentence, as the Open Inference Protocol does."""

    async def refused(request: Request, error: Any) -> Response:
        return _error(error.status, str(error), dict(error.headers))

    async def unknown(request: Request, error: Any) -> Response:
        return _error(error.status_code, f"{request.method}: {error.detail}.", error.headers)

    async def invalid(request: Request, error: Any) -> Response:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        return _error(BAD, f"{where}: {error.errors()[0]['msg']}.", None)

    async def failed(request: Request, error: Any) -> Response:
        return _error(FAILED, str(FAILURE), None)

    app.add_exception_handler(Exception, failed)
    app.add_exception_handler(Refusal, refused)
    app.add_exception_handler(HTTPException, unknown)
    app.add_exception_handler(RequestValidationError, invalid)


def _error(status: int, message: str, headers: Any) -> Response:
    return Response(error_body(message), status, headers=headers, media_type="application/json")

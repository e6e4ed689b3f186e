"""The packages that a server needs. Importing it imports none of them."""

from __future__ import annotations

import importlib.util

from committee.errors import require

_HTTP = {
    "fastapi": "fastapi",
    "httptools": "httptools",
    "uvicorn": "uvicorn",
    "python_multipart": "python-multipart",
    "prometheus_client": "prometheus-client",
}
_GRPC = {"grpc": "grpcio", "google.protobuf": "protobuf"}


def check_packages(with_grpc: bool) -> None:
    """Raise DependencyError unless the packages of a server are installed.

    Examples
    --------
    >>> from committee.serving.packages import check_packages
    >>> check_packages(with_grpc=False)
    """
    for module, package in (_HTTP | (_GRPC if with_grpc else {})).items():
        if not _is_installed(module):
            raise require(package, "serve", "committee serve")


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False

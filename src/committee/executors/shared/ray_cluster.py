"""Connection of this process to a Ray cluster, with an error that says what is missing."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

from committee.errors import CommitteeError, UsageError, is_installed, require

ADDRESS_SECONDS = 3.0
"""Time in which the head of a cluster accepts a connection."""

START = "Start one with: ray start --head (and on each further machine: ray start --address=HEAD:6379)."
TOKEN = (
    "If the cluster uses tokens, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN) as on "
    "its nodes."
)
REFUSED = "Failed to connect to Ray cluster at"
"""What Ray says of a cluster whose address it knows; of none, it says that it could not find one."""

log = logging.getLogger(__name__)


def connect(address: str | None = None) -> Any:
    """Connect this process to a Ray cluster, unless it is connected already, and return the module `ray`.

    The connection lasts until the process ends: workers of Ray that have imported torch serve all stages of a
    run.

    Parameters
    ----------
    address : str, optional
        `HOST:PORT` of the head of the cluster. By default, that of the variable RAY_ADDRESS, or the cluster
        that runs on this machine.

    Raises
    ------
    DependencyError
        Ray is not installed.
    UsageError
        The address is not that of a cluster that this process can join.
    CommitteeError
        There is no cluster at the address, or it does not accept this process.

    Examples
    --------
    >>> from committee.executors.shared.ray_cluster import connect
    >>> ray = connect("10.0.0.7:6379")  # doctest: +SKIP
    >>> len(ray.nodes())  # doctest: +SKIP
    4
    """
    if not is_installed("ray"):
        raise require("ray", "ray", "executor ray")
    named = address or os.environ.get("RAY_ADDRESS") or "auto"
    address = None if named == "auto" else named
    if address is not None:
        _check(address)
    # Ray would try to reach a cluster that refuses its token for 20 seconds.
    os.environ.setdefault("RAY_NUM_REDIS_GET_RETRIES", "3")
    with _own_signals():
        import ray

        if not ray.is_initialized():
            _connect(ray, address)
    return ray


def _check(address: str) -> None:
    """Raise an error unless something listens at an address."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdecimal():
        raise UsageError(
            "address of the Ray cluster",
            expected="HOST:PORT of its head, as 'ray start --head' prints it",
            got=f"'{address}'",
            todo="Run this command on a machine of the cluster, which 'ray start --address=HOST:PORT' adds.",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), ADDRESS_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _none(f"at {address}", str(error)) from None


def _none(where: str, why: str) -> CommitteeError:
    reason = why.partition("\n")[0].strip() or "no answer"
    return CommitteeError("Ray cluster", expected=f"one {where}", got=f"none ({reason})", todo=START)


def _connect(ray: Any, address: str | None) -> None:
    try:
        ray.init(
            address=address or "auto",
            configure_logging=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:
        raise _refused(address, error) from error
    context = ray.get_runtime_context()
    log.info("connected to the Ray cluster at %s", context.gcs_address)


def _refused(address: str | None, error: Exception) -> CommitteeError:
    """Return the error for a cluster that does not accept this process."""
    text = " ".join(str(error).split())
    where = f"at {address}" if address else "on this machine"
    if "Version mismatch" in text:
        return CommitteeError(
            f"Ray cluster {where}",
            expected="the versions of Ray and Python of this process",
            got=text.partition("Version mismatch: ")[2] or text,
            todo="Install the same versions on all machines.",
        )
    if not isinstance(error, ConnectionError):
        return CommitteeError(
            f"Ray cluster {where}",
            expected="a node of it on this machine",
            got=text,
            todo=f"Add this machine to the cluster: ray start --address={address or 'HEAD:6379'}",
        )
    if address is None and REFUSED not in text:
        return _none(where, text)
    return CommitteeError(
        f"Ray cluster {where}", expected="one that accepts this process", got=text, todo=TOKEN
    )


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handlers of signals of this process, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            if handler is not None:
                signal.signal(getattr(signal, name), handler)

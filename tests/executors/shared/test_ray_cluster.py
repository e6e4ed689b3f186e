"""Connecting to a Ray cluster: each thing that can be missing is one sentence, within seconds."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys

import pytest

from committee.errors import CommitteeError, UsageError
from committee.executors.shared import ray_cluster
from committee.executors.shared.ray_cluster import _refused, connect

pytest.importorskip("ray")
START = "Start one with: ray start --head (and on each further machine: ray start --address=HEAD:6379)."


@pytest.mark.parametrize("address", ["ray://127.0.0.2:10001", "nowhere", "host:port", ":6379"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(UsageError) as error:
        connect(address)
    assert str(error.value) == (
        "address of the Ray cluster: expected HOST:PORT of its head, as 'ray start --head' prints it, got "
        f"'{address}'. Run this command on a machine of the cluster, which 'ray start --address=HOST:PORT' "
        "adds."
    )


@pytest.mark.parametrize("value", ["", "auto"])
def test_a_variable_without_an_address_is_the_cluster_of_this_machine(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[str | None]()
    monkeypatch.setenv("RAY_ADDRESS", value)
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr(ray_cluster, "_connect", lambda ray, address: asked.append(address))
    connect()
    assert asked == [None]


def test_no_cluster_at_an_address_says_how_to_start_one() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(CommitteeError) as error:
            connect(address)
    assert str(error.value).startswith(f"Ray cluster: expected one at {address}, got none (")
    assert str(error.value).endswith(START)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Could not find any running Ray instance. Please specify", "Start one with: ray start --head"),
        (
            "Failed to connect to Ray cluster at 127.0.0.2:6401",
            "If the cluster uses tokens, set RAY_AUTH_MODE",
        ),
    ],
)
def test_a_cluster_that_was_found_and_refuses_is_not_said_to_be_absent(said: str, advice: str) -> None:
    error = _refused(None, ConnectionError(said))
    assert "on this machine" in str(error) and advice in str(error)


def test_ray_is_named_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        CommitteeError, match=r"expected the package 'ray', .* pip install 'committee\[ray\]'"
    ):
        connect()


@pytest.mark.slow
def test_a_process_connects_once_and_keeps_its_signals(ray_cluster: str) -> None:
    before = signal.getsignal(signal.SIGTERM)
    ray = connect(ray_cluster)
    assert connect(ray_cluster) is ray and len(ray.nodes()) == 1
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.slow
def test_a_process_without_the_token_is_told_about_tokens(ray_cluster: str) -> None:
    program = (
        "import os, sys; os.environ['RAY_AUTH_TOKEN'] = 32 * '0'\n"
        "from committee.executors.shared.ray_cluster import connect\n"
        "try:\n    connect(sys.argv[1])\nexcept Exception as error:\n    print(error)"
    )
    command = [sys.executable, "-c", program, ray_cluster]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"Ray cluster at {ray_cluster}: expected one that accepts this process")
    assert (
        "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH (or RAY_AUTH_TOKEN) as on its nodes" in done.stdout
    )

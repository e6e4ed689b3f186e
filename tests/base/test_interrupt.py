import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from committee.base import interrupt

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are not delivered there")


@pytest.fixture
def receive():
    """Send a signal to this process, and return whether it was interrupted."""

    def send(number):
        try:
            signal.raise_signal(number)
        except KeyboardInterrupt:
            return True
        return False

    return send


def looked_after(receive, signals):
    """Receive signals in a deferred block, each of which should interrupt or not."""
    with interrupt.deferred():
        assert not interrupt.requested()
        for number, interrupted in signals:
            assert receive(number) == interrupted
            assert interrupt.requested()


BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])


@BOTH
def test_most_work_stops_at_once(receive, number):
    before = signal.getsignal(number)
    with interrupt.handled():
        assert receive(number)
        assert interrupt.requested()
    assert signal.getsignal(number) is before
    assert not interrupt.requested()


@BOTH
def test_whoever_promised_to_look_goes_on_until_then(receive, number):
    with interrupt.handled():
        with pytest.raises(KeyboardInterrupt):
            looked_after(receive, [(number, False), (signal.SIGTERM, False)])
        assert receive(signal.SIGINT) == (number == signal.SIGINT)


def test_a_second_ctrl_c_stops_at_once(receive):
    with interrupt.handled(), pytest.raises(KeyboardInterrupt):
        looked_after(receive, [(signal.SIGINT, False), (signal.SIGINT, True)])


def test_nothing_came_is_no_interrupt():
    with interrupt.handled(), interrupt.deferred():
        pass


def test_what_was_ignored_stays_ignored(receive):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupt.handled():
            assert not receive(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_without_the_command_line_python_is_as_it_was(receive):
    with interrupt.deferred():
        assert receive(signal.SIGINT)
        assert not interrupt.requested()


def test_in_another_thread_nothing_is_changed():
    from threading import Thread

    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with interrupt.handled():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


DEAF = """
while True:
    try:
        print("started", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        pass
"""
NATIVE = """
print("started", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
FORKED = """
if not (child := os.fork()):
    try:
        signal.raise_signal(signal.SIGTERM)
    finally:
        os._exit(0)
os.waitpid(child, 0)
print("started", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


@pytest.mark.parametrize("work", [DEAF, NATIVE, FORKED], ids=["deaf", "native", "forked"])
def test_what_does_not_end_is_ended(work):
    """A loop that catches the interruption, and one call of native code, in which no handler runs."""
    code = (
        "import hashlib, os, signal, time\nfrom committee.base import interrupt\ninterrupt.PATIENCE = 0.5\n"
    )
    code += "with interrupt.handled():" + textwrap.indent(work, "    ")
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "started\n"
        time.sleep(0.7)  # A signal of a forked process does not end this one.
        assert process.poll() is None
        os.kill(process.pid, signal.SIGTERM)
        start = time.monotonic()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == f"committee: {interrupt.SENTENCE}\n"
    assert time.monotonic() - start < 240


def test_ten_seconds_are_never_reached():
    assert interrupt.PATIENCE < 10

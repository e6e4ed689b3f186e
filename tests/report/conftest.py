"""A browser that tests drive."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 60
KEYS = {"Tab": 9, "Enter": 13, "ArrowDown": 40}


class Browser:
    """One page of a browser.

    `problems` are errors of the console, exceptions, and violations of the Content-Security-Policy.
    """

    def __init__(self, reading: int, writing: int) -> None:
        self.reading, self.writing = reading, writing
        self.problems: list[str] = []
        self._number, self._left = 0, b""
        self._session: str | None = None

    def send(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        while True:
            found = self._receive()
            if found.get("id") == self._number:
                assert "error" not in found, found
                return found["result"]
            if found.get("method") == "Log.entryAdded" and found["params"]["entry"]["level"] == "error":
                self.problems.append(found["params"]["entry"]["text"])
            if found.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.problems.append(json.dumps(found["params"]))

    def open(self, page: Path | str, width: int, height: int = 900) -> None:
        """Open a file, or an address."""
        if self._session is None:
            target = self.send("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self.send(f"{domain}.enable")
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.send("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        while self.run("document.readyState") != "complete" or self.run("location.protocol") == "about:":
            pass

    def run(self, expression: str) -> Any:
        return self.send("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + SECONDS
        while not self.run(f"Boolean({expression})"):
            assert time.monotonic() < end, f"never true: {expression}"
            time.sleep(0.02)

    def press(self, key: str) -> None:
        code = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **code)

    def write(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            assert select.select([self.reading], [], [], SECONDS)[0], "the browser does not answer"
            part = os.read(self.reading, 2**16)
            assert part, "the browser ended"
            self._left += part
        message, _, self._left = self._left.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Chromium without a window, driven over pipes by its DevTools protocol; skips where there is none."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None or sys.platform == "win32":
        pytest.skip("Chromium is not installed, or has no pipes here")
    from_us, writing = os.pipe()
    reading, to_us = os.pipe()
    for handle in (from_us, to_us):
        os.set_inheritable(handle, True)
    # The browser reads from 3 and writes to 4.
    script = f'exec 3<&{from_us} 4>&{to_us}; exec "$@"'
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
    command = [
        "bash",
        "-c",
        script,
        "bash",
        program,
        *options,
        f"--user-data-dir={tmp_path / 'profile'}",
        "about:blank",
    ]
    with subprocess.Popen(
        command, pass_fds=(from_us, to_us), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        os.close(from_us)
        os.close(to_us)
        try:
            yield Browser(reading, writing)
        finally:
            process.kill()
            os.close(reading)
            os.close(writing)

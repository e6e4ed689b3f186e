"""The page of the server in a browser: a photo is sent, its answer is shown, and the policy allows it."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any

from ..report.conftest import browser as browser

CHOOSE = """{
const bytes = Uint8Array.from(atob("CONTENT"), (each) => each.charCodeAt(0));
const chosen = new DataTransfer();
chosen.items.add(new File([bytes], "<b>a.jpg", { type: "image/jpeg" }));
document.getElementById("file").files = chosen.files;
document.getElementById("file").dispatchEvent(new Event("change"));
}"""


def test_a_photo_is_predicted_in_a_browser(server: Any, photo: Path, browser: Any) -> None:
    browser.open(f"{server.http}/", 375)
    assert browser.run("document.documentElement.scrollWidth") <= 375
    for content, expected in ((photo.read_bytes(), ""), (b"no photo", "expected a JPEG, PNG or WebP image")):
        browser.run(CHOOSE.replace("CONTENT", base64.b64encode(content).decode()))
        deadline = time.monotonic() + 20
        while browser.run("document.getElementById('status').textContent").startswith("Predicting"):
            assert time.monotonic() < deadline
        assert expected in browser.run("document.getElementById('status').textContent")
        if not expected:
            shown = browser.run("document.getElementById('answer').innerText")
            assert "The model abstains" in shown and "été" in shown and "digest" in shown
    assert [each for each in browser.problems if "400 (Bad Request)" not in each] == []

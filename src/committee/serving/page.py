"""The page to drop a photo on: one file without remote parts, and the policy that enforces it."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Sequence
from pathlib import Path

_INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


def page(models: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the page for models of these names, and its headers.

    Its policy allows only the style and the script in it, pictures that it makes itself, and requests to its
    own server.

    Examples
    --------
    >>> from committee.serving.page import page
    >>> text, headers = page(["pets"])
    >>> '<option>pets</option>' in text, "default-src 'none'" in headers["Content-Security-Policy"]
    (True, True)
    """
    text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
    hashes = {kind: _hash(content) for kind, content in _INLINE.findall(text)}
    policy = (
        f"default-src 'none'; style-src {hashes['style']}; script-src {hashes['script']}; img-src blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    options = "".join(f"<option>{html.escape(name)}</option>" for name in models)
    return text.replace("<!-- models -->", options), {"Content-Security-Policy": policy}


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

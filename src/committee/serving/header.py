"""What the header of a request shows: it is refused before its body is read, and before it is routed."""

from __future__ import annotations

from collections.abc import Mapping

from python_multipart.multipart import parse_options_header

from committee.serving.limits import Limits
from committee.serving.refusal import KIND, LARGE, Refusal

PREDICT = "/predict"
"""Path of the prediction of a photo."""
MULTIPART = "multipart/form-data"
PHOTO_TYPES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")
READ = 4
"""Bodies of up to so many times the limit are read to their end, so that the client reads the answer."""


def check_header(path: str, headers: Mapping[bytes, str], limits: Limits) -> None:
    """Refuse a request with a body by its header.

    Parameters
    ----------
    path : str
    headers : mapping
        Names in lower case, and values.
    limits : Limits

    Raises
    ------
    Refusal
        The body is too large by far or compressed, or the type of that of a photo is not known.

    Examples
    --------
    >>> from committee.serving.header import check_header
    >>> from committee.serving.limits import Limits
    >>> check_header("/predict", {b"content-type": "image/png"}, Limits())
    """
    encoding = headers.get(b"content-encoding", "identity")
    if encoding != "identity":
        expected = "a body without Content-Encoding"
        raise Refusal(KIND, "the request", expected=expected, got=ascii(encoding)[:50])
    length = headers.get(b"content-length", "0")
    if length.isdigit() and int(length) > READ * limits.body:
        raise too_large(limits)
    if path == PREDICT:
        boundary_of(headers.get(b"content-type", ""))


def boundary_of(kind: str) -> bytes:
    """Return what divides the parts of a form; nothing if the body is the photo.

    Parameters
    ----------
    kind : str
        The header `Content-Type`.

    Raises
    ------
    Refusal
        It is neither the type of a form nor of a photo.

    Examples
    --------
    >>> from committee.serving.header import boundary_of
    >>> boundary_of("multipart/form-data; boundary=x"), boundary_of("image/png")
    (b'x', b'')
    """
    if kind in PHOTO_TYPES:
        return b""
    name, options = parse_options_header(kind.encode("latin-1"))
    if name.decode("latin-1") in PHOTO_TYPES:
        return b""
    if name.decode("latin-1") != MULTIPART or not options.get(b"boundary"):
        expected = f"{MULTIPART} with a boundary, or {', '.join(PHOTO_TYPES)}"
        raise Refusal(KIND, "Content-Type", expected=expected, got=ascii(kind)[:100])
    return options[b"boundary"]


def too_large(limits: Limits) -> Refusal:
    """Return the refusal of a body that is too large."""
    return Refusal(LARGE, "the request", expected=f"at most {limits.body} bytes", got="more")

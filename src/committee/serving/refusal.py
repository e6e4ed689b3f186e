"""The error of a request that is refused: its HTTP status and one sentence."""

from __future__ import annotations

from collections.abc import Mapping

from committee.errors import sentence

BAD, ABSENT, SLOW, LARGE, KIND = 400, 404, 408, 413, 415
UNAUTHORIZED, MISDIRECTED, FAILED, BUSY = 401, 421, 500, 503


class Refusal(Exception):
    """A request that is answered with an error.

    Parameters
    ----------
    status : int
        The HTTP status.
    who, expected, got, todo : str
        The parts of the sentence; see `committee.errors.sentence`.

    See Also
    --------
    busy : The refusal of a server that has too much to do.

    Examples
    --------
    >>> from committee.serving.refusal import BAD, Refusal
    >>> str(Refusal(BAD, "shape", expected="a list", got="null"))
    'shape: expected a list, got null.'
    """

    def __init__(self, status: int, who: str, *, expected: str = "", got: str = "", todo: str = "") -> None:
        super().__init__(sentence(who, expected, got, todo))
        self.status = status

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the answer: when to try again, and how to authenticate."""
        headers = {"Retry-After": "1"} if self.status == BUSY else {}
        if self.status == UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def busy(what: str) -> Refusal:
    """Return the refusal of a request that the server cannot take now.

    Examples
    --------
    >>> from committee.serving.refusal import busy
    >>> str(busy("256 images are waiting"))
    'the server: 256 images are waiting. Try again in a second.'
    """
    return Refusal(BUSY, f"the server: {what}", todo="Try again in a second.")

"""What a server does, apart from its protocols: it admits requests, decodes photos, and predicts images."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from committee.errors import CommitteeError
from committee.inference.predict import Prediction, parts_of
from committee.models.predictor import Images
from committee.serving.batching import Parts
from committee.serving.failures import FailureLog
from committee.serving.limits import Limits
from committee.serving.photos import PHOTO, Photos
from committee.serving.refusal import ABSENT, BAD, FAILED, Refusal, busy
from committee.serving.served import VERSION, Served


class Service:
    """Models and the limits of a server.

    Parameters
    ----------
    models : sequence of Served
        The models; the first is the default.
    limits : Limits

    See Also
    --------
    committee.serving.app.app_of : The HTTP server.
    committee.serving.grpc_server.grpc_server_of : The gRPC server.
    """

    def __init__(self, models: Sequence[Served], limits: Limits) -> None:
        self.models = {served.name: served for served in models}
        self.limits, self.photos = limits, Photos(limits)
        self.is_draining, self.failures = False, FailureLog()
        self.admitted = 0
        self._large = asyncio.Semaphore(limits.decoders)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the processes that decode photos; predict what waits at the end."""
        with self.photos:
            try:
                yield
            finally:
                self.is_draining = True
                for served in self.models.values():
                    await asyncio.to_thread(served.close)

    def served(self, name: str | None = None, version: str = "") -> Served:
        """Return the model of a name, by default the first one.

        Raises
        ------
        Refusal
            There is none.
        """
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            raise Refusal(
                ABSENT, "the model", expected=f"one of {', '.join(self.models)}", got=ascii(name[:100])
            )
        if version not in ("", VERSION):
            raise Refusal(ABSENT, name, expected=f"version {VERSION}", got=ascii(version[:100]))
        return self.models[name]

    @property
    def is_ready(self) -> bool:
        """Whether all models answer."""
        return not self.is_draining and not any(served.is_stuck for served in self.models.values())

    @contextlib.contextmanager
    def admit(self, images: int = 1) -> Iterator[None]:
        """Count images as accepted while the block runs.

        Raises
        ------
        Refusal
            Too many are accepted, or these are more than the server ever accepts.
        """
        most = self.limits.queue
        if images > most:
            raise Refusal(BAD, "the request", expected=f"at most {most} images", got=str(images))
        if self.admitted + images > most:
            raise busy(f"{self.admitted} images are waiting")
        self.admitted += images
        try:
            yield
        finally:
            self.admitted -= images

    async def predict_photo(self, served: Served, content: bytes) -> Prediction:
        """Return the prediction of a photo, the content of a JPEG, PNG or WebP file.

        Raises
        ------
        Refusal
            It cannot be decoded or predicted, or not in time.
        """
        # Whole images are large: as many are in memory as can be decoded at once.
        held = contextlib.nullcontext() if served.canvases else self._large
        async with self._in_time(served), held:
            with served.batcher.coming():
                parts = await self.photos.parts(content, served)
                answer = served.batcher.submit((PHOTO, parts))
            return _checked(await asyncio.wrap_future(answer))

    async def predict_images(self, served: Served, images: Images) -> list[Prediction]:
        """Return the predictions of images `[B, c, H, W]`, or of other inputs of a model.

        Raises
        ------
        Refusal
            They cannot be predicted, or not in time.
        """
        async with self._in_time(served):
            canvases = () if served.input_shape else served.canvases
            parts = await asyncio.to_thread(_parts, images, canvases)
            with served.batcher.coming():
                answers = [asyncio.wrap_future(served.batcher.submit(each)) for each in parts]
            return [_checked(each) for each in await asyncio.gather(*answers)]

    @contextlib.asynccontextmanager
    async def _in_time(self, served: Served) -> AsyncIterator[None]:
        """Turn what goes wrong in the block into a refusal: it takes too long, or a model fails."""
        try:
            async with asyncio.timeout(self.limits.seconds):
                yield
        except TimeoutError:
            asyncio.get_running_loop().call_later(self.limits.seconds, served.recover)
            raise busy(f"no answer within {self.limits.seconds:g} s") from None
        except CommitteeError as error:
            raise Refusal(FAILED, str(error)) from error


def _parts(images: Images, canvases: Sequence[Any]) -> list[Parts]:
    names = [f"image {number}" for number in range(len(images))]
    return [(name, parts_of(image, canvases)) for name, image in zip(names, images, strict=True)]


def _checked(prediction: Prediction) -> Prediction:
    """Return a prediction, or raise why there is none."""
    if prediction.probabilities is None:
        raise Refusal(FAILED, prediction.reason)
    return prediction

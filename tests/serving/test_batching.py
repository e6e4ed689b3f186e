"""Batches: what waits together is one call, and nothing waits without need."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from committee.inference.predict import Prediction
from committee.serving import batching
from committee.serving.batching import Batcher, Parts

IMAGE = [np.zeros((1, 4, 4), np.uint8)]


class Model:
    """Calls that can be held; it keeps the names of each batch."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.may_run = threading.Event()
        self.may_run.set()
        self.begun = threading.Event()

    def __call__(self, window: Sequence[Parts]) -> Iterable[Prediction]:
        self.begun.set()
        assert self.may_run.wait(10)
        self.batches.append([name for name, _ in window])
        if "bad" in self.batches[-1]:
            raise RuntimeError("no model")
        return [Prediction(name, None, name) for name, _ in window]


@pytest.fixture
def model() -> Any:
    return Model()


def held(model: Model, batcher: Batcher) -> None:
    """Let the model run on one image until `may_run` is set."""
    model.may_run.clear()
    batcher.submit(("first", IMAGE))
    assert model.begun.wait(10)


def test_images_that_wait_for_the_model_are_the_next_batches(model):
    batcher = Batcher(model, batch=3, delay=60)
    held(model, batcher)
    answers = [batcher.submit((str(number), IMAGE)) for number in range(5)]
    assert len(batcher) == 5 and batcher.busy_for > 0
    assert answers[1].cancel()
    model.may_run.set()
    assert [answers[number].result(10).reason for number in (0, 2, 3, 4)] == ["0", "2", "3", "4"]
    assert model.batches == [["first"], ["0", "2", "3"], ["4"]]
    batcher.close()
    assert batcher.busy_for == 0


def test_an_image_waits_for_others_that_come_and_no_longer_than_the_delay(model):
    batcher = Batcher(model, batch=3, delay=0.2)
    start = time.monotonic()
    assert batcher.submit(("alone", IMAGE)).result(10) and time.monotonic() - start < 0.2
    with batcher.coming(), batcher.coming():
        start = time.monotonic()
        batcher.submit(("a", IMAGE)).result(10)
        assert 0.2 <= time.monotonic() - start < 5
        with batcher.coming():
            *_, last = [batcher.submit((name, IMAGE)) for name in "bcd"]
            assert last.result(10).reason == "d"
    assert model.batches == [["alone"], ["a"], ["b", "c", "d"]]
    batcher.close()


def test_the_end_of_what_comes_begins_a_batch(model):
    batcher = Batcher(model, batch=3, delay=60)
    with batcher.coming():
        answer = batcher.submit(("a", IMAGE))
    assert answer.result(10).reason == "a"
    batcher.close()


def test_an_error_is_that_of_its_batch_alone(model):
    batcher = Batcher(model, batch=3, delay=0)
    with pytest.raises(RuntimeError, match="no model"):
        batcher.submit(("bad", IMAGE)).result(10)
    assert batcher.submit(("good", IMAGE)).result(10).reason == "good"
    batcher.close()


def test_large_images_are_small_batches_and_what_waits_at_the_end_is_predicted(model, monkeypatch):
    monkeypatch.setattr(batching, "PIXELS_AT_ONCE", 32)
    batcher = Batcher(model, batch=8, delay=60)
    held(model, batcher)
    answers = [batcher.submit((str(number), IMAGE)) for number in range(3)]
    threading.Timer(0.05, model.may_run.set).start()
    batcher.close()
    assert [answer.result(0).reason for answer in answers] == ["0", "1", "2"]
    assert model.batches == [["first"], ["0", "1"], ["2"]]

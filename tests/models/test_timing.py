"""Repeated measurements: rounds in turns, repetition where they differ, and the memory of a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from committee.models.timing import (
    MOST_ROUNDS,
    ROUNDS,
    Times,
    Timing,
    interleaved,
    peak_memory_mb,
    quantiles,
)


class Clock:
    """Models whose rounds take given times, and the order in which they were measured."""

    def __init__(self) -> None:
        self.order: list[str] = []

    def model(self, name: str, medians: Sequence[float]) -> Callable[[], Mapping[str, Times]]:
        def measure() -> Mapping[str, Times]:
            number = self.order.count(name)
            self.order.append(name)
            return {"1": np.full(5, medians[min(number, len(medians) - 1)])}

        return measure


def test_models_are_measured_in_turns() -> None:
    clock = Clock()
    found = interleaved({name: clock.model(name, [8.0]) for name in "ab"})
    assert clock.order == ["a", "b"] * ROUNDS
    assert Timing.of(found["a"]["1"]) == Timing(8.0, 8.0, 0.0, ROUNDS)


def test_a_wide_spread_is_measured_again_until_the_rounds_agree() -> None:
    clock = Clock()
    found = interleaved({"steady": clock.model("steady", [20.0]), "busy": clock.model("busy", [27, 18])})
    busy = Timing.of(found["busy"]["1"])
    assert len(found["steady"]["1"]) == ROUNDS < busy.rounds < MOST_ROUNDS
    assert busy.is_steady and busy.median == 18
    assert not Timing.of(found["busy"]["1"][:ROUNDS]).is_steady


def test_a_measurement_that_never_agrees_ends_and_is_not_steady() -> None:
    clock = Clock()
    found = interleaved({"noise": clock.model("noise", [10, 30] * 9)})
    noise = Timing.of(found["noise"]["1"])
    assert noise.rounds == MOST_ROUNDS and not noise.is_steady


def test_every_kind_of_call_counts_for_the_repetition() -> None:
    numbers = iter([10.0, 14.0, 18.0] + [12.0] * 9)

    def measure() -> Mapping[str, Times]:
        return {"1": np.ones(3), "32": np.full(3, next(numbers))}

    assert len(interleaved({"model": measure})["model"]["1"]) > ROUNDS


def test_medians_of_quantiles_add_up() -> None:
    rounds = [np.arange(9.0), np.arange(9.0) + 2]
    found = quantiles(rounds, 21)
    assert len(found) == 21 and (np.diff(found) >= 0).all()
    assert np.median(found + 2 * found) == pytest.approx(3 * np.median(np.concatenate(rounds)))


def test_peak_memory_is_plausible() -> None:
    peak = peak_memory_mb()
    assert peak is None or 50 < peak < 1e6

import math

import pytest

from committee.base.limits import a_share, above_zero, at_least, count
from committee.errors import UsageError


def test_numbers_within_limits_come_back():
    assert (at_least("x", 2, 2), above_zero("x", 0.5), a_share("x", 0)) == (2, 0.5, 0)


@pytest.mark.parametrize("check", [lambda x: at_least("x", x, 1), lambda x: above_zero("x", x)])
@pytest.mark.parametrize("value", [0, -1, math.nan, "3", None])
def test_numbers_outside_are_refused(check, value):
    with pytest.raises(UsageError, match=f"x: expected .*, got {value!r}"):
        check(value)


@pytest.mark.parametrize("value", [1, -0.1, math.nan])
def test_a_share_is_below_one(value):
    with pytest.raises(UsageError, match="x: expected at least 0 and below 1"):
        a_share("x", value)


@pytest.mark.parametrize(("value", "expected"), [(2.0, "a whole number"), ("2", "a whole number"), (0, "at")])
def test_a_count_is_a_whole_number(value, expected):
    assert count("x", 2) == 2
    with pytest.raises(UsageError, match=f"x: expected {expected}.*, got {value!r}"):
        count("x", value)

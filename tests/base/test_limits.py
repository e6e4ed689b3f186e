import math

import pytest

from committee.base.limits import a_share, above_zero, at_least
from committee.errors import UsageError


def test_numbers_within_limits_come_back():
    assert (at_least("x", 2, 2), above_zero("x", 0.5), a_share("x", 0)) == (2, 0.5, 0)


@pytest.mark.parametrize("check", [lambda x: at_least("x", x, 1), lambda x: above_zero("x", x)])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_numbers_outside_are_refused(check, value):
    with pytest.raises(UsageError, match=f"x: expected .*, got {value}"):
        check(value)


@pytest.mark.parametrize("value", [1, -0.1, math.nan])
def test_a_share_is_below_one(value):
    with pytest.raises(UsageError, match="x: expected at least 0 and below 1"):
        a_share("x", value)

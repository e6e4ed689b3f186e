import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from committee.untrusted.growth import check_growth, check_text, text_array


def test_what_grows_too_much_is_refused():
    check_growth(1, 2**28)
    check_growth(2**30, 2**36)
    with pytest.raises(ValueError, match=r"^1000 bytes that unpack to 268435457$"):
        check_growth(1000, 2**28 + 1)


def test_one_long_text_does_not_make_all_others_as_long():
    with pytest.raises(ValueError, match="bytes that unpack to"):
        text_array(["x" * 100_000, *map(str, range(10_000))])


@given(st.lists(st.text()))
def test_texts_come_back_as_they_were_or_not_at_all(texts):
    try:
        found = text_array(texts)
    except ValueError as error:
        signs = "".join(texts)
        assert "\0" in signs or any(0xD800 <= ord(sign) <= 0xDFFF for sign in signs), error  # noqa: PT017
        return
    assert found.tolist() == texts


@pytest.mark.parametrize("code", [0xD800, 0xDFFF, 0x110000, 0xFFFFFFFF])
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_that_are_no_characters(code, order):
    array = np.array([65, code], dtype=f"{order}u4").view(f"{order}U2")
    with pytest.raises(ValueError, match="text that is not valid Unicode"):
        check_text(array)

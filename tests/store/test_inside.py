import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from committee.errors import StoreError
from committee.store.inside import inside

NAMES = [
    "../x",
    "/etc/passwd",
    "a/../../x",
    "C:\\x",
    "C:/x",
    "..\\x",
    "",
    "a\0b",
    "..",
    ".",
    "//host/share/x",
    "\\\\host\\share",
    "c:x",
    "x/..",
    "file.txt:stream",
    "\\\\?\\C:\\x",
    "a/\0/../..",
]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_outside(tmp_path, name):
    with pytest.raises(StoreError) as caught:
        inside(tmp_path, name)
    assert str(caught.value) == (
        f"{tmp_path}: expected names of files in this folder, got {name!r}. "
        "Remove the folder: it was not made by committee."
    )


@pytest.mark.parametrize(
    "name", ["%2e%2e/x", "..%2fx", "\uff0e\uff0e/x", "\u2025/x", "~/x", "$HOME/x", "a b/ü.npy"]
)
def test_what_only_looks_like_a_way_out_is_a_name(tmp_path, name):
    assert Path(os.path.normpath(inside(tmp_path, name))).is_relative_to(tmp_path)


@given(st.text(st.sampled_from("./\\:%~a\0 é")))
@example("a/./../b")
def test_any_name_is_inside_or_refused(tmp_path_factory, name):
    folder = tmp_path_factory.getbasetemp()
    try:
        found = inside(folder, name)
    except StoreError:
        return
    assert Path(os.path.normpath(found)).is_relative_to(folder) and os.path.normpath(found) != str(folder)


@pytest.mark.parametrize("name", ["link", "link/x", "real/link", "real/link/x"])
def test_no_link_leads_outside(tmp_path, name):
    (tmp_path / "real").mkdir()
    try:
        (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
        (tmp_path / "real" / "link").symlink_to(tmp_path.parent, target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.raises(StoreError, match=f"expected names of files in this folder, got '{name}'"):
        inside(tmp_path, name)
    assert inside(tmp_path, "real/x") == tmp_path / "real" / "x"

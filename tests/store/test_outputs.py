"""Output files that a user names: never over an input, nor over other content, unless that is forced."""

from __future__ import annotations

from pathlib import Path

import pytest

from committee.errors import UsageError
from committee.store.outputs import check_output, output_text


def write(path: Path, text: str, **rest: bool) -> None:
    with output_text(path, **rest) as file:
        file.write(text)


def test_a_file_with_other_content_is_kept(tmp_path: Path) -> None:
    path, link = tmp_path / "deep" / "out.csv", tmp_path / "link.csv"
    write(path, "one")
    write(path, "one")
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(UsageError) as caught:
            write(name, "two")
        assert str(caught.value) == (
            f"{name}: the file exists with other content. Name another file, or overwrite it with --force."
        )
    assert path.read_text(encoding="utf-8") == "one" and len([*path.parent.iterdir()]) == 1
    write(link, "two", force=True)
    assert path.read_text(encoding="utf-8") == "two" and link.is_symlink()


@pytest.mark.parametrize("name", ["a.csv", "sub/../a.csv", "link.csv", "folder/labels.npy"])
def test_an_input_is_no_output(tmp_path: Path, name: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.csv").touch()
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    inputs = [tmp_path / "a.csv", tmp_path / "folder"]
    with pytest.raises(
        UsageError, match="expected an output file that is not an input, got a file of the input"
    ):
        check_output(tmp_path / name, inputs)
    check_output(tmp_path / name, inputs, force=True)
    check_output(tmp_path / "b.csv", inputs)

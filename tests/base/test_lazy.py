"""Lazy re-exports of packages."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import pytest

INIT = """
    from typing import TYPE_CHECKING

    from committee.base.lazy import reexport

    if TYPE_CHECKING:
        from hats_of_test.base import Hat as Hat
        from hats_of_test.base import brim as brim

    __getattr__, __dir__ = reexport(__name__, family=True)
"""


@pytest.fixture
def hats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    folder = tmp_path / "hats_of_test"
    folder.mkdir()
    for name, text in {
        "__init__": INIT,
        "base": "class Hat: pass\ndef brim(): return 3",
        "top_hat": "from hats_of_test.base import Hat\nclass TopHat(Hat): pass\nclass _Silk: pass",
        "_felt": "class Felt: pass",
    }.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("hats_of_test")]:
        del sys.modules[name]
    return importlib.import_module("hats_of_test")


def test_listing_the_names_imports_nothing(hats: ModuleType) -> None:
    assert dir(hats) == ["Hat", "TopHat", "brim"] == hats.__all__
    assert not [name for name in sys.modules if name.startswith("hats_of_test.")]


def test_a_name_loads_its_own_file(hats: ModuleType) -> None:
    assert hats.brim() == 3
    assert "hats_of_test.top_hat" not in sys.modules
    assert hats.TopHat.__module__ == "hats_of_test.top_hat"
    assert issubclass(hats.TopHat, hats.Hat)


def test_a_new_file_of_a_family_is_exported(hats: ModuleType) -> None:
    (Path(str(hats.__file__)).parent / "bowler.py").write_text("class Bowler: pass", encoding="utf-8")
    importlib.invalidate_caches()
    assert dir(hats) == ["Bowler", "Hat", "TopHat", "brim"]
    assert hats.Bowler.__module__ == "hats_of_test.bowler"


@pytest.mark.parametrize("name", ["nothing", "Felt", "_Silk", "__wrapped__"])
def test_other_names_are_attribute_errors(hats: ModuleType, name: str) -> None:
    with pytest.raises(AttributeError, match=f"^module 'hats_of_test' has no attribute '{name}'$"):
        getattr(hats, name)

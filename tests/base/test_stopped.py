"""Work with a time limit: an import is not stopped half way."""

from __future__ import annotations

import importlib
import sys

import pytest

from committee.base.stopped import StoppedError, run_within


def test_an_import_ends_before_its_thread_is_stopped(tmp_path, monkeypatch) -> None:
    package = tmp_path / "slow_package"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from slow_package import inner\nimport time\nfor _ in range(30): time.sleep(0.01)\n",
        encoding="utf-8",
    )
    (package / "inner.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))

    def work():
        importlib.import_module("slow_package")
        while True:
            pass

    with pytest.raises(StoppedError) as caught:
        run_within(0.05, work)
    assert caught.value.ended and sys.modules.pop("slow_package").inner is sys.modules.pop(
        "slow_package.inner"
    )

"""The one core of OpenVINO in a process."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any


@cache
def openvino_core() -> Any:
    """Return the `openvino.Core` of this process, which lives until the process ends.

    The CPU plugin of a core replaces the stack on which signal handlers of its thread run, and puts back the
    one that it found when it is released. After two cores that are released in the order in which they were
    made, or in another thread, that stack is no longer mapped, and the next signal with a handler (Ctrl-C, or
    the end of a child process) ends the process with SIGSEGV. So there is one core, and it is not released.

    Raises
    ------
    ImportError
        OpenVINO is not installed.
    """
    return importlib.import_module("openvino").Core()

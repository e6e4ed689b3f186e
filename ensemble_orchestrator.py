"""Run the command line: `python ensemble_orchestrator.py VERB ...` is the same as `committee VERB ...`."""

from __future__ import annotations

import sys

from committee.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

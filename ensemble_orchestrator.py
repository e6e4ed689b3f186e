"""`python ensemble_orchestrator.py VERB ...` is `committee VERB ...`, for those who are used to typing it."""

from __future__ import annotations

import sys

from committee.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

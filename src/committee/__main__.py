"""`python -m committee` is `committee`."""

from __future__ import annotations

import sys

from committee.cli.main import main

sys.exit(main())

"""One new entry of each family, as another package would add it: see `tests/test_additions.py`."""

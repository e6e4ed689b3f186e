"""A package of another author, with one file for an entry of each family; see test_additions.py."""

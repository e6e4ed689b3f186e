"""The parts of a bundle, one file each, and how a bundle is written and opened."""

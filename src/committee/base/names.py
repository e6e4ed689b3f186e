"""Names that are invalid for members and ensembles, since they name other things on disk."""

from __future__ import annotations

_OF_THE_STORE = {"ensembles", "oof_predictions", "fusion_embeddings", "ensemble_catalog.json"}
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


def is_reserved(name: str) -> bool:
    """Return whether a name is used by the store, or is a device of some operating systems.

    Names differ in case alone on some file systems, and a device may have any suffix.

    Examples
    --------
    >>> [is_reserved(name) for name in ("oof_predictions", "Con.txt", "resnet18")]
    [True, True, False]
    """
    lower = name.lower()
    return lower in _OF_THE_STORE or lower.partition(".")[0] in _DEVICES

"""Names of architectures in the settings and the file names of other trainers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from committee.backbones.base import SOURCES
from committee.backbones.presets import PRESETS

SOURCES_OF_NAMES = ("timm", "torchvision")


def architectures(names: list[str], first: str = "timm") -> list[str]:
    """Return the backbones that names may stand for, the most likely first.

    A name may have a suffix that is no part of the architecture (`resnet18_v2`), or dashes for underscores.
    Builders of Python are never among them, since names from files are not trusted.

    Parameters
    ----------
    names : list of str
        Names from settings and files.
    first : {"timm", "torchvision"}
        The source that is asked first.

    Examples
    --------
    >>> from committee.pipeline.importing.architectures import architectures
    >>> architectures(["resnet18_fold_run3"])
    ['timm:resnet18', 'torchvision:resnet18']
    """
    sources = sorted(SOURCES_OF_NAMES, key=lambda each: each != first)
    known = {source: SOURCES.make(source) for source in sources}
    found: dict[str, None] = {}
    for name in names:
        prefix, colon, key = name.rpartition(":")
        for each in [name] if name in PRESETS else []:
            found[each] = None
        for text in _forms(key.rpartition("/")[2]):
            hits = [
                f"{source}:{text}"
                for source in sources
                if known[source].has(text) and (not colon or prefix == source or prefix == "hf-hub")
            ]
            found.update(dict.fromkeys(hits))
            if hits:
                break
    return list(found)


def _forms(name: str) -> Iterator[str]:
    """Yield a name, then shorter ones without the words at its end, with dashes and with underscores."""
    words = re.split(r"([_\-. ]+)", name)
    while words and len("".join(words)) > 2:
        text = "".join(words)
        yield from dict.fromkeys((text, text.lower(), re.sub(r"[-. ]", "_", text.lower())))
        words = words[:-2]

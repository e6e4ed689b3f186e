"""Seeds derived for each purpose, and random numbers of a sample that do not depend on its batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def derive(seed: int, *keys: str | int) -> int:
    """Return a 63-bit seed for one purpose, such as `derive(seed, "resnet18", "fold_0", "shuffle")`."""
    text = "\x1f".join(str(part) for part in (seed, *keys))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


def sample_keys(sample_ids: Sequence[str] | NDArray[np.str_]) -> NDArray[np.uint64]:
    """Return a 64-bit key for each sample id, which is the same on every machine."""
    digests = (hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in sample_ids)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def uniform(seed: int, keys: NDArray[np.uint64], draws: int) -> NDArray[np.float32]:
    """Return uniform numbers in [0, 1), shape `[len(keys), draws]`, that depend only on `seed` and each key.

    The generator is counter-based (SplitMix64; Steele, Lea, Flood 2014), so results do not depend on the
    order and size of batches.
    """
    counter = np.arange(1, draws + 1, dtype=np.uint64)[None, :]
    with np.errstate(over="ignore"):
        state = (keys[:, None] ^ np.uint64(seed)) + counter * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return (state >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)

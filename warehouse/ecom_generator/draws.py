"""Random numbers by place: each follows from its stream and its place alone, so that any row can be made again by itself.

Whole numbers only (splitmix64, as published by Steele, Lea and Flood), because the last digit of a float may differ between machines.
"""

from hashlib import blake2b

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)

Places = np.ndarray
"""uint64, any shape; a place is drawn at once per stream."""


def stream(*names: object) -> np.uint64:
    """Return the stream of these names; other names give an unrelated one."""
    digest = blake2b("/".join(map(str, names)).encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def _draw(of: np.uint64, places: Places) -> np.ndarray:
    """Return a number of 32 bits for each place, as uint64."""
    mixed = (places + np.uint64(1)) * _GOLDEN + of
    mixed ^= mixed >> np.uint64(30)
    mixed *= _MIX_1
    mixed ^= mixed >> np.uint64(27)
    mixed *= _MIX_2
    return mixed >> np.uint64(32)


def below(of: np.uint64, places: Places, limit: int | np.ndarray) -> np.ndarray:
    """Return int64 numbers from 0 to `limit` - 1, where `limit` is at least 1 and below 2**31."""
    return ((_draw(of, places) * np.asarray(limit, dtype=np.uint64)) >> np.uint64(32)).astype(np.int64)


def chosen(of: np.uint64, places: Places, weights: list[int]) -> np.ndarray:
    """Return int64 indexes into `weights`, each as often as its weight says."""
    limits = np.cumsum(weights)
    return np.searchsorted(limits, below(of, places, int(limits[-1])), side="right")


def happens(of: np.uint64, places: Places, percent: int) -> np.ndarray:
    """Return for each place whether something of this probability happens."""
    return below(of, places, 100) < percent

"""Which observation is which, wherever it stands in its dataset.

An observation's key is a hash of its group and of its content. What is
held out is chosen by keys, and a run remembers the keys that it was trained on:
observations that come, go or change places do not mix the two up.
"""

from __future__ import annotations

import hashlib
import os
import pathlib

import numpy as np

from mlvae_tf.data.observations import Observations, slices
from mlvae_tf.noise import Stream, generator

_BYTES = 8  # Of a key: two among ten million are alike by chance once in 4e5.
_SAMPLE = 1 << 14  # Bytes.


def _hash(*parts: bytes) -> int:
    digest = hashlib.blake2b(digest_size=_BYTES)
    for part in parts:
        digest.update(len(part).to_bytes(_BYTES, "little"))
        digest.update(part)
    return int.from_bytes(digest.digest(), "little")


def of_groups(groups: np.ndarray) -> np.ndarray:
    """The keys of groups, uint64 `[G]`, from their ids."""
    keys = (_hash(str(group).encode()) for group in groups.tolist())
    return np.fromiter(keys, np.uint64)


def of_file(path: pathlib.Path, group: str) -> int:
    """The key of an observation in a file of its own, by what is in it.

    Of a large file, its size and three parts of it tell.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= 4 * _SAMPLE:
            return _hash(group.encode(), file.read())
        samples = []
        for start in (0, (size - _SAMPLE) // 2, size - _SAMPLE):
            file.seek(start)
            samples.append(file.read(_SAMPLE))
    return _hash(group.encode(), str(size).encode(), *samples)


def of_content(
    observations: Observations, groups: np.ndarray, group_index: np.ndarray
) -> np.ndarray:
    """The keys of observations in an array, from their values.

    Args:
        observations: `[N, ...]`; those on a disk are read once.
        groups: Ids `[G]`.
        group_index: `[N]`, the row in `groups` of each observation's.

    Returns:
        uint64 `[N]`.
    """
    keys = np.empty(len(observations), np.uint64)
    names = [str(group).encode() for group in groups.tolist()]
    for rows in slices(len(observations), "telling observations apart"):
        numbers = group_index[rows].tolist()
        part = np.ascontiguousarray(observations[rows])
        keys[rows] = [
            _hash(names[group], values.tobytes())
            for group, values in zip(numbers, part)
        ]
    return keys


def ranks(keys: np.ndarray, seed: int, stream: Stream) -> np.ndarray:
    """A random number for every key, the same for equal keys, uint64 `[N]`.

    Args:
        keys: uint64 `[N]`.
        seed: Another one gives other numbers.
        stream: What they are for.
    """
    salt = generator(seed, stream).integers(2**64, dtype=np.uint64)
    # The finalizer of splitmix64 (Steele, Lea and Flood 2014).
    mixed = keys ^ salt
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))

"""Data of any size, for what reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlvae_tf.data.observations import Stored

if TYPE_CHECKING:
    from mlvae_tf.data.grouped import GroupedData

SHAPE = 28, 28, 1


class Pictures(Stored):
    """Observations `[size, 28, 28, 1]` that take the memory of a few."""

    dtype = np.dtype(np.uint8)

    def __init__(self, size: int) -> None:
        self.shape = (size, *SHAPE)
        generator = np.random.default_rng(0)
        self._some = generator.integers(0, 256, (10_007, *SHAPE), np.uint8)

    def read(self, rows: np.ndarray) -> np.ndarray:
        return self._some[rows % len(self._some)]


def random_groups(size: int, num_groups: int) -> GroupedData:
    """So many pictures in random groups."""
    from mlvae_tf.data.grouped import GroupedData

    generator = np.random.default_rng(1)
    index = generator.integers(0, num_groups, size, np.int32)
    keys = np.arange(size, dtype=np.uint64)
    return GroupedData(Pictures(size), np.arange(num_groups), index, keys)

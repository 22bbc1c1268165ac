"""Which observations a batch has: an index of the groups, and epochs.

An epoch visits every observation once. Its order is a function of the seed and
the epoch alone, so that a run can go on from any epoch with the same batches.
Index and epoch are int32 numbers, at most three per observation, where these
suffice: `benchmarks/index_memory.py` measures them.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse

from mlvae_tf import noise
from mlvae_tf.data.observations import index_dtype

_DEALT_AT_ONCE = 1 << 19  # Observations.


class Plan(NamedTuple):
    """Some batches, one after the other.

    Attributes:
        rows: `[n]`, the row numbers of their observations.
        groups: `[n]`, the group of each; equal numbers within a batch mean the
            same group.
        wholes: `[n]`, the group of the dataset that it is a piece of.
        splits: `[B + 1]`, where each batch begins and ends.
    """

    rows: np.ndarray
    groups: np.ndarray
    wholes: np.ndarray
    splits: np.ndarray


def by_group(
    group_index: np.ndarray, num_groups: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sort observations by their group.

    Args:
        group_index: int32 `[N]`, the group of each observation.
        num_groups: G.

    Returns:
        `(rows, offsets)`: row numbers `[N]`, ascending within a group, and
        `[G + 1]`: group g has `rows[offsets[g] : offsets[g + 1]]`.
    """
    # A counting sort, without argsort's int64: the transpose of the matrix
    # that has a row per observation, with its one entry in its group's column.
    count = len(group_index)
    entries = np.ones(count, np.int8)
    starts = np.arange(count + 1, dtype=index_dtype(count))
    matrix = sparse.csr_array(
        (entries, group_index, starts), shape=(count, num_groups)
    )
    transposed = matrix.tocsc()
    return transposed.indices, transposed.indptr


def some_at_a_time(offsets: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Parts of the offsets of groups, which take little memory at once.

    Args:
        offsets: `[G + 1]`, as `by_group` returns them.
        most: The observations of a part, if it is not a single group.

    Yields:
        The offsets of some groups and where the last of them ends.
    """
    first = 0
    while first < len(offsets) - 1:
        beyond = np.searchsorted(offsets, int(offsets[first]) + most, "right")
        last = max(int(beyond) - 1, first + 1)
        yield offsets[first : last + 1]
        first = last


class Sampler(abc.ABC):
    """Batches of the epochs of a dataset."""

    @abc.abstractmethod
    def __len__(self) -> int:
        """Number of batches in an epoch."""

    @property
    @abc.abstractmethod
    def largest(self) -> int:
        """Observations that a batch has at most."""

    @abc.abstractmethod
    def order(self, seed: int, epoch: int) -> tuple[np.ndarray, ...]:
        """The order of an epoch's visit, for `plan`."""

    @abc.abstractmethod
    def plan(
        self, order: tuple[np.ndarray, ...], first: int, last: int
    ) -> Plan:
        """The batches `first` to `last` of an epoch, the last one left out."""


class ShuffledSampler(Sampler):
    """Batches of shuffled observations, grouped by what falls in.

    Args:
        group_index: int32 `[N]`, the group of each observation.
        batch_size: Observations in a batch; fewer in an epoch's last.
    """

    def __init__(self, group_index: np.ndarray, batch_size: int) -> None:
        self._group_index = group_index
        self._batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self._group_index) // self._batch_size)

    @property
    def largest(self) -> int:
        return min(self._batch_size, len(self._group_index))

    def order(self, seed: int, epoch: int) -> tuple[np.ndarray, ...]:
        count = len(self._group_index)
        rows = np.arange(count, dtype=index_dtype(count))
        noise.epoch_generator(seed, epoch).shuffle(rows)
        return (rows,)

    def plan(
        self, order: tuple[np.ndarray, ...], first: int, last: int
    ) -> Plan:
        rows = order[0][first * self._batch_size : last * self._batch_size]
        splits = _splits(len(rows), self._batch_size)
        groups = self._group_index[rows]
        return Plan(rows, groups, groups, splits)


def _splits(count: int, per_batch: int) -> np.ndarray:
    return np.append(np.arange(0, count, per_batch), count)


class GroupSampler(Sampler):
    """Batches of groups, large ones dealt out into several.

    In every epoch each group's observations are dealt out at random into
    pieces of `observations_per_group`, the last one smaller, and the pieces are
    visited in random order. Each is a group of its own to the model.

    Args:
        group_index: int32 `[N]`, the group of each observation.
        groups_per_batch: Pieces in a batch; fewer in an epoch's last.
        observations_per_group: Observations in a piece, at most.
    """

    def __init__(
        self,
        group_index: np.ndarray,
        groups_per_batch: int,
        observations_per_group: int,
    ) -> None:
        num_groups = int(group_index.max()) + 1
        self._rows, self._offsets = by_group(group_index, num_groups)
        self._groups_per_batch = groups_per_batch
        self._per_piece = min(observations_per_group, len(group_index))
        pieces = -(-np.diff(self._offsets) // self._per_piece)
        # The pieces are numbered group by group: each group's first one.
        self._first_piece = np.zeros_like(self._offsets)
        np.cumsum(pieces, out=self._first_piece[1:])

    def __len__(self) -> int:
        return -(-int(self._first_piece[-1]) // self._groups_per_batch)

    @property
    def largest(self) -> int:
        whole, rest = np.divmod(np.diff(self._offsets), self._per_piece)
        full = min(int(whole.sum()), self._groups_per_batch)
        rest = np.sort(rest)[::-1][: self._groups_per_batch - full]
        return full * self._per_piece + int(rest.sum())

    def order(self, seed: int, epoch: int) -> tuple[np.ndarray, ...]:
        generator = noise.epoch_generator(seed, epoch)
        dealt = self._deal(generator)
        pieces = np.arange(self._first_piece[-1], dtype=dealt.dtype)
        generator.shuffle(pieces)
        return dealt, pieces

    def _deal(self, generator: np.random.Generator) -> np.ndarray:
        """The rows, each group's shuffled; some groups at a time."""
        dealt = np.empty_like(self._rows)
        for offsets in some_at_a_time(self._offsets, _DEALT_AT_ONCE):
            groups = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
            keys = generator.random(len(groups))
            part = slice(offsets[0], offsets[-1])
            dealt[part] = self._rows[part][np.lexsort((keys, groups))]
        return dealt

    def plan(
        self, order: tuple[np.ndarray, ...], first: int, last: int
    ) -> Plan:
        per_batch = self._groups_per_batch
        dealt, pieces = order
        pieces = pieces[first * per_batch : last * per_batch]
        group = np.searchsorted(self._first_piece, pieces, side="right") - 1
        place = (pieces - self._first_piece[group]) * self._per_piece
        starts = self._offsets[group] + place
        sizes = np.minimum(self._offsets[group + 1] - starts, self._per_piece)
        stops = np.append(0, np.cumsum(sizes))
        within = np.arange(stops[-1]) - np.repeat(stops[:-1], sizes)
        return Plan(
            dealt[np.repeat(starts, sizes) + within],
            np.repeat(np.arange(len(pieces)), sizes),
            np.repeat(group, sizes),
            stops[_splits(len(pieces), per_batch)],
        )


@dataclasses.dataclass(frozen=True)
class Batching:
    """How to batch: by groups, or by observations, the paper's way.

    With `batch_size`, that many shuffled observations, grouped by what falls
    in. Otherwise `groups_per_batch` groups of up to `observations_per_group`:
    a larger group is dealt out, at random, into several such groups, each an
    independent group to the model, and all of them are visited once per epoch.
    """

    groups_per_batch: int = 64
    observations_per_group: int = 4
    batch_size: int | None = None

    def sampler(self, group_index: np.ndarray) -> Sampler:
        """The batches of observations whose groups are these, int32 `[N]`."""
        if self.batch_size:
            return ShuffledSampler(group_index, self.batch_size)
        return GroupSampler(
            group_index, self.groups_per_batch, self.observations_per_group
        )

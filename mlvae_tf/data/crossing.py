"""Which observations a batch has when there are several levels.

A group tells what its observations have in common only if several of them are
in the batch, on every level. Of a million people under a thousand lights, a
batch at random has almost nobody twice. Here each batch is made of sub-grids:
some groups of one level times some of another.

Groups of the level that has the most, those hardest to meet twice, are dealt
out into pieces as `GroupSampler` does, but along an order of the other levels'
groups that is drawn anew in every epoch. Then the pieces are put next to those
that hold the same groups, and so many of them, one after the other, make a
*tile*; of a complete cross, a sub-grid. The tiles are visited in random order,
each observation once per epoch.

Of nested levels, the pieces are visits, and a tile has visits of one patient.
"""

from __future__ import annotations

import numpy as np

from mlvae_tf import noise
from mlvae_tf.data.design import ByLevel, count_groups, is_inside
from mlvae_tf.data.observations import index_dtype
from mlvae_tf.data.sampling import (
    Batching,
    Plan,
    Sampler,
    by_group,
    some_at_a_time,
)

_DEALT_AT_ONCE = 1 << 17  # Observations.
_COMPARED = 3  # Observations of a piece by which pieces are alike.
_DRAWS = 1 << 10  # Different random numbers, to break ties.
_BITS = 63  # Of a number that is sorted.

Order = tuple[np.ndarray, ...]
Keys = list[tuple[np.ndarray, int]]  # Numbers, and what they are all below.


def sampler(batching: Batching, group_indices: ByLevel) -> Sampler:
    """The batches of observations of one level or several.

    Args:
        batching: How to batch them.
        group_indices: By level, int32 `[N]`, the group of each observation.
    """
    if len(group_indices) == 1 or batching.batch_size:
        return batching.sampler(next(iter(group_indices.values())))
    return CrossingSampler(
        group_indices,
        batching.groups_per_batch,
        batching.observations_per_group,
    )


class CrossingSampler(Sampler):
    """Batches in which the groups of every level share observations.

    Its plans name the groups of the first level; those of any other are
    `group_indices[level][plan.rows]`.

    Args:
        group_indices: By level, int32 `[N]`, the group of each observation.
        groups_per_batch: With `observations_per_group`, the size of a batch,
            about the product.
        observations_per_group: Of every level's groups, in a batch, as far as
            the data has them: fewer where the cross is thin, more where a
            level has few groups.
    """

    def __init__(
        self,
        group_indices: ByLevel,
        groups_per_batch: int,
        observations_per_group: int,
    ) -> None:
        self._group_indices = group_indices
        self._sizes = {
            name: count_groups(of) for name, of in group_indices.items()
        }
        # Most groups first: who holds others comes after them.
        names = sorted(group_indices, key=lambda name: -self._sizes[name])
        around = {
            name: [
                outer
                for outer in names[place + 1 :]
                if is_inside(group_indices[name], group_indices[outer])
            ]
            for place, name in enumerate(names)
        }
        dealt, *self._others = names
        self._parents = {name: around[name][:1] for name in self._others}
        self._around = around[dealt]
        self._across = [at for at in self._others if at not in self._around]
        self._rows, self._offsets = by_group(
            group_indices[dealt], self._sizes[dealt]
        )

        count, per_group = len(self._rows), observations_per_group
        most = min(groups_per_batch * per_group, count)
        # Of an incomplete cross, so much more as holds as many.
        cells = [self._sizes[dealt] * self._sizes[at] for at in self._across]
        thin = max([count, *cells]) / count
        self._tile = min(round(per_group**2 * thin), most)
        self._per_piece = min(per_group, self._tile)
        self._num_tiles = -(-count // self._tile)
        self._per_batch = round(most / self._tile)
        levels = max(1, len(self._across))
        self._side = max(1, round(per_group ** (1 / levels)))

    def __len__(self) -> int:
        return -(-self._num_tiles // self._per_batch)

    @property
    def largest(self) -> int:
        sizes = np.append(np.diff(self._offsets), self._tile)
        # Where pieces are no whole number of tiles, one reaches into the next.
        more = self._per_piece - 1 if (sizes % self._per_piece).any() else 0
        return min(self._per_batch * (self._tile + more), len(self._rows))

    def order(self, seed: int, epoch: int) -> Order:
        generator = noise.epoch_generator(seed, epoch)
        ranks = self._ranks(generator)
        dealt = np.empty_like(self._rows)
        found = []
        for offsets in some_at_a_time(self._offsets, _DEALT_AT_ONCE):
            part = slice(offsets[0], offsets[-1])
            rows, starts, alike = self._deal(
                self._rows[part], np.diff(offsets), ranks, generator
            )
            dealt[part] = rows
            found.append((starts + offsets[0], *alike))
        starts, *alike = (np.concatenate(parts) for parts in zip(*found))
        del found
        stops, rows = self._next_to_alike(dealt, starts, alike, generator)
        # A tile begins where a piece does.
        evenly = np.arange(self._num_tiles, dtype=np.int64) * self._tile
        begins = stops[np.searchsorted(stops, evenly, side="right") - 1]
        tiles = np.arange(self._num_tiles, dtype=index_dtype(len(rows)))
        generator.shuffle(tiles)
        return rows, np.append(begins, stops[-1]), tiles

    def _ranks(self, generator: np.random.Generator) -> ByLevel:
        """A random order of every other level's groups, inner ones together."""
        ranks: ByLevel = {}
        for name in reversed(self._others):
            size = self._sizes[name]
            keys = [(generator.permutation(size), size)]
            for outer in self._parents[name]:
                of_groups = np.zeros(size, np.int32)
                of_groups[self._group_indices[name]] = self._group_indices[
                    outer
                ]
                keys.insert(0, (ranks[outer][of_groups], self._sizes[outer]))
            ranks[name] = np.empty(size, index_dtype(size))
            ranks[name][_sorted(keys)] = np.arange(size)
        return ranks

    def _deal(
        self,
        rows: np.ndarray,
        sizes: np.ndarray,
        ranks: ByLevel,
        generator: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
        """Deal some groups' observations out into pieces.

        Args:
            rows: Of one group after the other.
            sizes: Of the groups.
            ranks: By other level, the order of its groups.
            generator: Of the epoch.

        Returns:
            The rows as dealt, where pieces start, and numbers by which pieces
            are alike.
        """
        num_groups, count = len(sizes), len(rows)
        groups = np.repeat(np.arange(num_groups), sizes)
        cells, num_cells = self._cells(ranks, self._across, rows, self._side)
        draws = generator.integers(0, _DRAWS, count, np.int16)
        owner, cell = (groups, num_groups), (cells, num_cells)
        chosen = _sorted([owner, cell, (draws, _DRAWS)])
        again = _places(_starts(groups, cells[chosen]), count)
        if num_cells > 1 and again.any():
            # One of each cell, then the second of each, and so on.
            turns = np.empty_like(again)
            turns[chosen] = again
            chosen = _sorted([owner, (turns, count), cell])
        pieces = -(-sizes // self._per_piece)
        place = _places(np.append(0, np.cumsum(sizes))[:-1], count)
        piece = place * np.repeat(pieces, sizes) // np.repeat(sizes, sizes)
        rows, cells = rows[chosen], cells[chosen]
        starts = _starts(groups, piece)
        ends = np.append(starts[1:], count)
        alike = [self._cells(ranks, self._around, rows[starts])[0]]
        for at in starts + np.arange(_COMPARED)[:, None]:
            alike.append(np.where(at < ends, cells[at % count] + 1, 0))
        dtype = index_dtype(len(self._rows))
        return rows, starts.astype(dtype), [*alike, piece[starts].astype(dtype)]

    def _cells(
        self, ranks: ByLevel, names: list[str], rows: np.ndarray, side: int = 1
    ) -> tuple[np.ndarray, int]:
        """Number the combinations of groups, by blocks of a side, and count."""
        blocks = within = np.zeros(len(rows), np.int64)
        count = 1
        for name in names:
            rank = ranks[name][self._group_indices[name][rows]]
            num_blocks = -(-self._sizes[name] // side)
            blocks = blocks * num_blocks + rank // side
            within = within * side + rank % side
            count *= num_blocks
        in_block = side ** len(names)
        count *= in_block
        return (blocks * in_block + within).astype(index_dtype(count)), count

    def _next_to_alike(
        self,
        dealt: np.ndarray,
        starts: np.ndarray,
        alike: list[np.ndarray],
        generator: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where the pieces begin and end once sorted, and their rows."""
        keys = [(numbers, int(numbers.max()) + 1) for numbers in alike]
        draws = generator.integers(0, _DRAWS, len(starts), np.int16)
        chosen = _sorted([*keys, (draws, _DRAWS)])
        dtype = index_dtype(len(dealt))
        sizes = np.diff(np.append(starts, len(dealt)))[chosen]
        stops = np.append(0, np.cumsum(sizes)).astype(dtype)
        shift = (starts[chosen] - stops[:-1]).astype(dtype)
        places = np.repeat(shift, sizes)
        places += np.arange(len(dealt), dtype=dtype)
        return stops, dealt[places]

    def plan(self, order: Order, first: int, last: int) -> Plan:
        rows, begins, tiles = order
        tiles = tiles[first * self._per_batch : last * self._per_batch]
        starts = begins[tiles]
        sizes = begins[tiles + 1] - starts
        stops = np.append(0, np.cumsum(sizes))
        shift = np.repeat(starts - stops[:-1], sizes)
        chosen = rows[shift + np.arange(stops[-1])]
        groups = next(iter(self._group_indices.values()))[chosen]
        splits = np.append(
            np.arange(0, len(tiles), self._per_batch), len(tiles)
        )
        return Plan(chosen, groups, groups, stops[splits])


def sharing(plan: Plan, group_indices: ByLevel) -> dict[str, float]:
    """By level, the mean number of observations per group of a batch."""
    numbers = np.arange(len(plan.splits) - 1)
    batch = np.repeat(numbers, np.diff(plan.splits))
    return {
        name: len(batch)
        / len(np.unique(batch * count_groups(ids) + ids[plan.rows]))
        for name, ids in group_indices.items()
    }


def _starts(*numbers: np.ndarray) -> np.ndarray:
    """Where runs begin of which all numbers are the same."""
    new = np.arange(len(numbers[0])) == 0
    for part in numbers:
        new[1:] |= part[1:] != part[:-1]
    return np.flatnonzero(new)


def _places(starts: np.ndarray, count: int) -> np.ndarray:
    """Of everything its place in its run: 0, 1, ..."""
    sizes = np.diff(np.append(starts, count))
    return np.arange(count) - np.repeat(starts, sizes)


def _sorted(keys: Keys) -> np.ndarray:
    """Places in the order of the first key, then the second, ..., the place.

    Sorting numbers takes a tenth of sorting by them, so the keys and the place
    are put into one where they fit; else into as few as they fit.
    """
    count = len(keys[0][0])
    words, free = [np.zeros(count, np.int64)], _BITS
    for numbers, below in keys:
        bits = (below - 1).bit_length()
        if bits > free:
            words.append(np.zeros(count, np.int64))
            free = _BITS
        words[-1] <<= bits
        words[-1] |= numbers
        free -= bits
    bits = (count - 1).bit_length()
    if len(words) > 1 or bits > free:
        return np.lexsort(words[::-1])
    words[0] <<= bits
    words[0] |= np.arange(count)
    words[0].sort()
    return words[0] & ((1 << bits) - 1)

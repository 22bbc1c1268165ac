"""How numbers are read that nobody knows: from what center, in what unit, and
what of them is noise."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mlvae_tf import checks, noise
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation.guesses import divide, members_of

LOOKED_AT = 2000  # Observations, or fewer ...
MOST_VALUES = 1 << 24  # ... of so many values in all, but ...
LEAST_LOOKED_AT = 64  # ... so many of them.
LEAST_SCALE, LARGEST_SCALE = 0.02, 1.0
LEAST_CHANGE = 1e-7  # Of a channel, as a share of its size.
SWEEPS = 20  # Over several levels.

Array = np.ndarray


class Scaling(NamedTuple):
    """How observations are read.

    Attributes:
        center: The mean of every channel.
        unit: Its deviation; 1 where it never changes.
        scale: The likelihood's, in units.
    """

    center: tuple[float, ...]
    unit: tuple[float, ...]
    scale: float


class Sample(NamedTuple):
    """Some observations, float64, NaN where not known, and their groups.

    Attributes:
        values: `[N, ..., channels]`.
        group_indices: By level, `[N]`.
    """

    values: Array
    group_indices: dict[str, Array]

    @classmethod
    def of(cls, data: GroupedData) -> Sample:
        """Of some, most of which are beside another of their group.

        Raises:
            InputError: If observations are no numbers, or not within float32.
        """
        size = math.prod(data.observations.shape[1:])
        count = min(LOOKED_AT, max(MOST_VALUES // size, LEAST_LOOKED_AT))
        some = data if len(data) <= count else data[_in_pairs(data, count)]
        stored = np.asarray(some.read(slice(None)))
        if stored.dtype.kind not in "biuf":
            raise InputError(
                f"observations must be numbers: got {stored.dtype}."
            )
        values = checks.as_float32(stored).astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        return cls(values, some.group_indices)


def scaling(sample: Sample, unit: tuple[float, ...] | None = None) -> Scaling:
    """Center, unit and scale of numbers.

    The scale is the deviation within groups, in units: of what is left of
    values once the mean of their group is taken from them, with several levels
    those of all their groups. What is within groups is for the style to say,
    and with this scale a dimension of it pays for itself where it says more
    than one value does (Kaiser's rule for principal components). Channels that
    never change do not count.

    Args:
        sample: Observations.
        unit: To take in the place of the channels' deviations.
    """
    rows = sample.values.reshape(-1, sample.values.shape[-1])
    count = np.maximum(np.count_nonzero(~np.isnan(rows), axis=0), 1)
    center = np.nansum(rows, axis=0) / count
    deviation = np.sqrt(np.nansum((rows - center) ** 2, axis=0) / count)
    size = np.abs(np.nan_to_num(rows)).max(axis=0)
    least = np.maximum(LEAST_CHANGE * size, np.finfo(np.float32).tiny)
    changes = deviation > least
    found = np.where(changes, deviation, 1)
    within = _within(
        ((sample.values - center) / (unit or found))[..., changes],
        list(sample.group_indices.values()),
    )
    scale = min(max(within, LEAST_SCALE), LARGEST_SCALE)
    return Scaling(
        # As exact as the unit asks for.
        tuple(round(c, 5 - _digit(u)) for c, u in zip(center.tolist(), found)),
        tuple(float(f"{number:.6g}") for number in found),
        float(f"{scale:.3g}"),
    )


def _digit(number: float) -> int:
    """The place of its first digit, 0 from 1 to 10."""
    return math.floor(math.log10(number))


def _in_pairs(data: GroupedData, count: int) -> Array:
    """The rows of so many: of some, and of another of the group of each."""
    generator = noise.generator(0, noise.Stream.SAMPLE)
    order = np.argsort(data.group_index, kind="stable")
    chosen = generator.permutation(len(data))[: count // 2]
    sizes = np.bincount(data.group_index)
    group = data.group_index[order[chosen]]
    size, start = sizes[group], (np.cumsum(sizes) - sizes)[group]
    further = generator.integers(1, np.maximum(size, 2))
    other = start + (chosen - start + further) % size
    return np.unique(order[np.concatenate([chosen, other])])


def _within(values: Array, group_indices: list[Array]) -> float:
    """The deviation of values from the means of their groups.

    Args:
        values: `[N, ...]`; NaN where not known.
        group_indices: By level, `[N]`.

    Returns:
        The largest scale, where no group has two values of anything.
    """
    rows = values.reshape(len(values), -1)
    known, rest = ~np.isnan(rows), np.nan_to_num(rows)
    freedom = np.full(rows.shape[1], len(group_indices) - 1)
    freedom += np.count_nonzero(known, axis=0)
    levels = []
    for group_index in group_indices:
        groups, found = np.unique(group_index, return_inverse=True)
        members = members_of(found, len(groups))
        counts = members @ known.astype(np.float64)
        freedom -= np.count_nonzero(counts, axis=0)
        levels.append((found, members, counts))
    for _ in range(SWEEPS if len(levels) > 1 else 1):
        for found, members, counts in levels:
            means = divide(members @ rest, counts)
            rest = np.where(known, rest - means[found], 0)
    left = np.maximum(freedom, 0).sum()
    return math.sqrt((rest**2).sum() / left) if left else LARGEST_SCALE

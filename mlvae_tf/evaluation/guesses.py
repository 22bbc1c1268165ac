"""What can be guessed of combinations of groups without a model.

The means of the groups, an additive model of them, and what the groups nearest
to one look like with the same groups of the other levels.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy import sparse

from mlvae_tf.data.design import ByLevel

SWEEPS = 10  # Of the additive model.
NEAREST = 5  # Groups.


def members_of(group_index: np.ndarray, size: int) -> sparse.csr_array:
    """A row per group, of which each column's observation is one, `[G, N]`."""
    count = len(group_index)
    ones = np.ones(count, np.float32)
    return sparse.csr_array(
        (ones, (group_index, np.arange(count))), (size, count)
    )


def divide(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Means, float32; 0 where there is nothing."""
    return (total / np.maximum(count, 1)).astype(np.float32)


def columns_of(group_indices: ByLevel, sizes: dict[str, int]) -> np.ndarray:
    """One number for the groups of several levels."""
    return np.ravel_multi_index(
        tuple(group_indices[name] for name in sizes), tuple(sizes.values())
    )


@dataclasses.dataclass(frozen=True)
class Additive:
    """The mean of everything, and what each group adds to it.

    Attributes:
        mean: `[D]`.
        effects: By level `[G, D]`.
        limits: The least and the greatest value known.
    """

    mean: np.ndarray
    effects: ByLevel
    limits: tuple[float, float]

    @classmethod
    def of(
        cls, values: np.ndarray, group_indices: ByLevel, sizes: dict[str, int]
    ) -> Additive:
        """By least squares, which are found sweep by sweep.

        Args:
            values: `[N, D]`, NaN where not known.
            group_indices: By level, of each one's group.
            sizes: By level, how many groups there are.
        """
        known = np.isfinite(values)
        total = np.where(known, values, 0).sum(axis=0)
        mean = divide(total, known.sum(axis=0))
        rest = np.where(known, values - mean, 0)
        effects, members, counts = {}, {}, {}
        for name, size in sizes.items():
            effects[name] = np.zeros((size, values.shape[1]), np.float32)
            members[name] = members_of(group_indices[name], size)
            counts[name] = members[name] @ known.astype(np.float32)
        for _ in range(SWEEPS):
            for name, effect in effects.items():
                more = divide(members[name] @ rest, counts[name])
                effect += more
                rest -= np.where(known, more[group_indices[name]], 0)
        known_values = values[known]
        limits = float(known_values.min()), float(known_values.max())
        return cls(mean, effects, limits)

    def __call__(
        self, group_indices: ByLevel, added: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """What is expected of groups of some levels, within the limits.

        Args:
            group_indices: By level, `[M]`.
            added: What another level's groups add, `[M, D]`.

        Returns:
            `[M, D]`.
        """
        total = self.sum(group_indices) + added
        return np.clip(total, *self.limits)

    def sum(self, group_indices: ByLevel) -> np.ndarray:
        """The mean, and what these groups add, `[M, D]`."""
        return self.mean + sum(
            self.effects[name][rows] for name, rows in group_indices.items()
        )


class Table(NamedTuple):
    """What groups of a level look like with each group of the others.

    Attributes:
        values: `[G, R, D]`, the means of their observations, 0 where none is.
        seen: `[G, R]`, whether there is one.
    """

    values: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(
        cls, values: np.ndarray, rows: np.ndarray, columns: np.ndarray,
        shape: tuple[int, int],
    ) -> Table:  # fmt: skip
        """Of observations `[N, D]` in cells."""
        cells = np.ravel_multi_index((rows, columns), shape)
        members = members_of(cells, shape[0] * shape[1])
        counts = np.asarray(members.sum(axis=1)).reshape(-1, 1)
        means = divide(members @ np.nan_to_num(values), counts)
        return cls(means.reshape(*shape, -1), (counts > 0).reshape(shape))

    def distances(self, other: Table) -> np.ndarray:
        """Mean squared difference where both are known; infinite if nowhere."""
        squares = (self.values**2).sum(-1), (other.values**2).sum(-1)
        known = self.seen.astype(float), other.seen.astype(float)
        one = self.values.reshape(len(self.values), -1)
        two = other.values.reshape(len(other.values), -1)
        total = squares[0] @ known[1].T + known[0] @ squares[1].T
        total -= 2 * one @ two.T
        shared = known[0] @ known[1].T
        return np.where(shared > 0, total / np.maximum(shared, 1), np.inf)

    def nearest(
        self, distances: np.ndarray, columns: np.ndarray, otherwise: np.ndarray
    ) -> np.ndarray:
        """The mean of the nearest groups that are known there.

        Args:
            distances: `[M, G]`, to each row of the table.
            columns: `[M]`, where it is asked.
            otherwise: `[M, D]`, where nothing is known.
        """
        far = np.where(self.seen[:, columns].T, distances, np.inf)
        order = np.argsort(far, axis=1)[:, :NEAREST]
        use = np.isfinite(np.take_along_axis(far, order, axis=1))
        found = self.values[order, columns[:, np.newaxis]]
        total = (found * use[..., np.newaxis]).sum(axis=1)
        count = use.sum(axis=1)[:, np.newaxis]
        return np.where(count > 0, total / np.maximum(count, 1), otherwise)

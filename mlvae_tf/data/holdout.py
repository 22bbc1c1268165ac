"""Which observations are held out.

They are chosen by their keys (`identity.py`), so that the choice does not
depend on what else there is.
"""

from __future__ import annotations

import numpy as np

from mlvae_tf.data import identity
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.source import Source
from mlvae_tf.errors import InputError
from mlvae_tf.noise import Stream

DEFAULT = 0.2  # Of every group's observations, or else of the groups.


def _check_fraction(flag: str, fraction: float) -> None:
    if not 0 <= fraction < 1:
        raise InputError(
            f"--{flag} must be a fraction in [0, 1): got {fraction}."
        )


def _sizes(data: GroupedData) -> np.ndarray:
    return np.bincount(data.group_index, minlength=len(data.groups))


def _spared(sizes: np.ndarray, fraction: float) -> np.ndarray:
    """How many observations are held out of groups; one at least stays."""
    return np.minimum(np.round(fraction * sizes).astype(int), sizes - 1)


def default_fractions(
    source: Source, seen: np.ndarray, holdout_groups: float | None
) -> tuple[float, float]:
    """The fractions of groups and of observations, where these are not given.

    Args:
        source: The dataset.
        seen: Which of its groups are trained on, `[G]`.
        holdout_groups: The fraction of groups, if that is given.
    """
    train, test = source.train, source.test
    if test is not None and np.isin(train.groups[seen], test.groups).any():
        return holdout_groups or 0.0, 0.0
    spare = np.count_nonzero(_spared(_sizes(train)[seen], DEFAULT))
    few = spare < 2 or 2 * spare < np.count_nonzero(seen)
    if few and holdout_groups is None and round(DEFAULT * len(train.groups)):
        return DEFAULT, 0.0
    return holdout_groups or 0.0, DEFAULT if spare else 0.0


def choose_groups(data: GroupedData, fraction: float, seed: int) -> np.ndarray:
    """Mask of the groups that are trained on, `[G]`.

    Groups of several observations go first, at random, up to half of what is in
    such groups, without which nothing could be learned. Then those of one,
    which tell nothing of identification; then more of the first; and last a
    group of more than half of all observations.
    """
    _check_fraction("holdout_groups", fraction)
    groups = data.groups
    count = round(fraction * len(groups))
    if fraction and not 0 < count < len(groups):
        raise InputError(
            f"--holdout_groups={fraction} of {len(groups)} groups leaves "
            f"{count} held out and {len(groups) - count} to train on. Choose "
            "a fraction that leaves at least one of each."
        )
    sizes = _sizes(data)
    keys = identity.of_groups(groups)
    ranks = identity.ranks(keys, seed, Stream.HELD_OUT_GROUPS)
    turn = np.select([sizes < 2, 2 * sizes > len(data)], [1, 3], 0)
    several = np.flatnonzero(turn == 0)
    several = several[np.argsort(ranks[several])]
    spared = 2 * np.cumsum(sizes[several]) > sizes[sizes > 1].sum()
    turn[several[spared]] = 2
    seen = np.ones(len(groups), bool)
    seen[np.lexsort((ranks, turn))[:count]] = False
    return seen


def choose_observations(
    data: GroupedData, fraction: float, seed: int
) -> np.ndarray:
    """Mask of every group's held-out observations, `[N]`.

    Observations with equal keys, of one group and one content, stay together:
    the last of those that would be held out stays if its like does.
    """
    _check_fraction("holdout_observations", fraction)
    ranks = identity.ranks(data.keys, seed, Stream.HELD_OUT_OBSERVATIONS)
    sizes = _sizes(data)
    firsts = np.cumsum(sizes) - sizes
    order = np.lexsort((ranks, data.group_index))
    bounds = ranks[order[firsts + _spared(sizes, fraction)]]
    return ranks < bounds[data.group_index]


def choose_cells(data: GroupedData, fraction: float, seed: int) -> np.ndarray:
    """Mask of what is of held-out combinations of groups, `[N]`.

    Every group of every level keeps one at the least.
    """
    _check_fraction("holdout_cells", fraction)
    if not data.others:
        raise InputError(
            "--holdout_cells is for several levels: name them, such as "
            "--groups=person,light, or drop it."
        )
    ranks = np.zeros(len(data), np.uint64)
    for of_level in data.levels.values():
        keys = identity.of_groups(of_level.groups)[of_level.group_index]
        ranks = identity.ranks(ranks ^ keys, seed, Stream.HELD_OUT_CELLS)
    cells, firsts, cell_index = np.unique(
        ranks, return_index=True, return_inverse=True
    )
    stays = np.zeros(len(cells), bool)
    for of_level in data.levels.values():
        last = np.zeros(len(of_level.groups), np.int64)
        np.maximum.at(last, of_level.group_index[firsts], np.arange(len(cells)))
        stays[last] = True
    held_out = np.zeros(len(cells), bool)
    held_out[np.flatnonzero(~stays)[: round(fraction * len(cells))]] = True
    if not held_out.any():
        raise InputError(
            f"--holdout_cells={fraction} of {len(cells)} combinations of "
            f"{', '.join(data.levels)} holds none out that all its groups can "
            "spare. Pass a larger fraction, or --holdout_observations."
        )
    return held_out[cell_index]

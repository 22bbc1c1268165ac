"""Observations in groups."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from mlvae_tf import noise
from mlvae_tf.checks import check_stored
from mlvae_tf.data import identity
from mlvae_tf.data.augmentation import check_images
from mlvae_tf.data.grouping import CONTENT, Grouping, as_ids, settle
from mlvae_tf.data.observations import Observations, join, mirror, take
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood

ANY_NUMBER = Likelihood()


@dataclasses.dataclass(frozen=True)
class GroupedData:
    """Observations and the group of each, on one level or several.

    Attributes:
        observations: `[N, ...]`, uint8 in [0, 255] or float32, in memory or
            on a disk (`observations.py`).
        groups: `[G]`, integers or strings: the ids of the first level's
            groups, sorted. Each has an observation.
        group_index: int32 `[N]`, the row in `groups` of each observation's.
        keys: uint64 `[N]`: which observation is which (`identity.py`).
        likelihood: Makes of them the values that it takes.
        level: What the first level is called.
        others: By name, the groups of the other levels.
    """

    observations: Observations
    groups: np.ndarray
    group_index: np.ndarray
    keys: np.ndarray
    likelihood: Likelihood = ANY_NUMBER
    level: str = CONTENT
    others: dict[str, Grouping] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(
        cls,
        observations: Observations,
        group_ids: np.ndarray | dict[str, np.ndarray],
        keys: np.ndarray | None = None,
        missing: str = "refuse",
        parents: dict[str, str] | None = None,
    ) -> GroupedData:
        """Number the groups.

        Args:
            observations: `[N, ...]`.
            group_ids: `[N]`, integers or strings, in any order; of several
                levels a dict of these, the first level first.
            keys: As the attribute; by default those of their content.
            missing: What becomes of ids that are not known
                (`grouping.settle`).
            parents: By inner level, the level that its groups are in.

        Raises:
            InputError: Unless there is one id per observation.
        """
        ids = as_ids(group_ids, len(observations))
        if keys is None:
            first = Grouping.of(next(iter(ids.values())))
            keys = identity.of_content(
                observations, first.groups, first.group_index
            )
        ids = settle(ids, keys, missing, parents or {})
        levels = {name: Grouping.of(given) for name, given in ids.items()}
        return cls.of_levels(observations, levels, keys)

    @classmethod
    def of_levels(
        cls,
        observations: Observations,
        levels: dict[str, Grouping],
        keys: np.ndarray,
        likelihood: Likelihood = ANY_NUMBER,
    ) -> GroupedData:
        """Put together what `levels` takes apart."""
        (name, first), *others = levels.items()
        return cls(
            observations,
            first.groups,
            first.group_index,
            keys,
            likelihood,
            name,
            dict(others),
        )

    @property
    def levels(self) -> dict[str, Grouping]:
        """By name, the groups of every level."""
        first = Grouping(self.groups, self.group_index)
        return {self.level: first, **self.others}

    def on(self, level: str) -> GroupedData:
        """The same with this level as the first."""
        levels = self.levels
        ordered = {level: levels.pop(level), **levels}
        return self.of_levels(
            self.observations, ordered, self.keys, self.likelihood
        )

    @property
    def group_indices(self) -> dict[str, np.ndarray]:
        """By level, int32 `[N]`: its `group_index`."""
        return {name: level.group_index for name, level in self.levels.items()}

    def __len__(self) -> int:
        return len(self.group_index)

    @property
    def group_ids(self) -> np.ndarray:
        """`[N]`, the id of each observation's group."""
        return self.groups[self.group_index]

    def of_likelihood(self, likelihood: Likelihood) -> GroupedData:
        """The same, read as the values that a likelihood takes."""
        return dataclasses.replace(self, likelihood=likelihood)

    def values(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The values of some observations, float32 `[n, ...]`."""
        return self.likelihood.values(self.read(rows)).numpy()

    def read(self, rows: np.ndarray | slice) -> np.ndarray:
        """Some observations as they are stored; from a disk, checked.

        Raises:
            InputError: If they are damaged, or the likelihood does not take
                their values.
        """
        observations = self.observations
        if isinstance(observations, np.ndarray):
            return observations[rows]
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        found = observations[rows]
        check_stored(
            found,
            self.likelihood,
            lambda place: observations.name(int(rows[place])),
        )
        return found

    def __getitem__(self, rows: np.ndarray | slice) -> GroupedData:
        """Some observations, and those of the groups that they belong to."""
        levels = {name: of.take(rows) for name, of in self.levels.items()}
        return GroupedData.of_levels(
            take(self.observations, rows),
            levels,
            self.keys[rows],
            self.likelihood,
        )

    @classmethod
    def join(cls, parts: list[GroupedData]) -> GroupedData:
        """One after the other; equal ids are one group."""
        levels = [part.levels for part in parts]
        return cls.of_levels(
            join([part.observations for part in parts]),
            {
                name: Grouping.join([of[name] for of in levels])
                for name in levels[0]
            },
            np.concatenate([part.keys for part in parts]),
            parts[0].likelihood,
        )

    def with_mirrored_groups(self) -> GroupedData:
        """Every group, and after them all once more, mirrored, as others.

        What is on the left and on the right of a face tells whose it is; the
        mirrored photographs of a person are those of somebody else. The groups
        are numbered.

        Raises:
            InputError: Unless observations are images, of one level.
        """
        if self.others:
            raise InputError(
                "--mirror_groups is not there yet for several levels: drop it."
            )
        check_images("--mirror_groups", self.observations.shape[1:])
        count = len(self.groups)
        return GroupedData(
            join([self.observations, mirror(self.observations)]),
            np.arange(2 * count),
            np.append(self.group_index, self.group_index + np.int32(count)),
            np.append(self.keys, ~self.keys),
            self.likelihood,
        )

    def sample(self, count: int, seed: int) -> GroupedData:
        """At most so many of the observations, chosen at random."""
        if len(self) <= count:
            return self
        generator = noise.generator(seed, noise.Stream.SAMPLE)
        order = generator.permutation(len(self))
        return self[order[:count]]

    def chunks(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All observations in order, the next ones read in the background.

        Args:
            size: How many at a time, at most.

        Yields:
            `(values, group_index)` of `[size, ...]` and `[size]`.
        """

        def read(start: int) -> np.ndarray:
            return self.values(slice(start, start + size))

        with concurrent.futures.ThreadPoolExecutor(1) as background:
            ahead = background.submit(read, 0)
            for start in range(0, len(self), size):
                observations = ahead.result()
                ahead = background.submit(read, start + size)
                yield observations, self.group_index[start : start + size]


def of_arrays(
    observations: np.ndarray,
    group_ids: Any,
    missing: str = "refuse",
    parents: dict[str, str] | None = None,
) -> GroupedData:
    """Observations that a user has in memory, each told by its row.

    Args:
        observations: `[N, ...]`.
        group_ids: As `GroupedData.of` takes them, or what makes such.
        missing: As `GroupedData.of` takes it.
        parents: As `GroupedData.of` takes them.

    Raises:
        InputError: If there are none, or not one id per observation.
    """
    if missing not in ("refuse", "own"):
        raise InputError(
            f"missing_groups must be 'refuse' or 'own': got {missing!r}."
        )
    rows = np.arange(len(observations), dtype=np.uint64)
    data = GroupedData.of(observations, group_ids, rows, missing, parents)
    if not len(data):
        raise InputError("expected at least one observation: got none.")
    return data

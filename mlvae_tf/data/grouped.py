"""Observations in groups."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Iterator

import numpy as np

from mlvae_tf import noise
from mlvae_tf.checks import as_group_ids, check_stored
from mlvae_tf.data import identity
from mlvae_tf.data.augmentation import check_images
from mlvae_tf.data.observations import Observations, join, mirror, take
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood

ANY_NUMBER = Likelihood()


@dataclasses.dataclass(frozen=True)
class GroupedData:
    """Observations and the group of each.

    Attributes:
        observations: `[N, ...]`, uint8 in [0, 255] or float32, in memory or
            on a disk (`observations.py`).
        groups: `[G]`, integers or strings: the groups' ids, sorted. Each has
            an observation.
        group_index: int32 `[N]`, the row in `groups` of each observation's.
        keys: uint64 `[N]`: which observation is which (`identity.py`).
        likelihood: Makes of them the values that it takes.
    """

    observations: Observations
    groups: np.ndarray
    group_index: np.ndarray
    keys: np.ndarray
    likelihood: Likelihood = ANY_NUMBER

    @classmethod
    def of(
        cls,
        observations: Observations,
        group_ids: np.ndarray,
        keys: np.ndarray | None = None,
    ) -> GroupedData:
        """Number the groups.

        Args:
            observations: `[N, ...]`.
            group_ids: `[N]`, integers or strings, in any order.
            keys: As the attribute; by default those of their content.

        Raises:
            InputError: Unless there is one id per observation.
        """
        group_ids = as_group_ids(group_ids)
        if group_ids.ndim != 1:
            raise InputError(
                f"group_ids must have one axis: got shape {group_ids.shape}."
            )
        if len(observations) != len(group_ids):
            raise InputError(
                "group_ids must have one id per observation: got "
                f"{len(group_ids)} ids for {len(observations)} observations."
            )
        groups, group_index = np.unique(group_ids, return_inverse=True)
        group_index = group_index.astype(np.int32)
        if keys is None:
            keys = identity.of_content(observations, groups, group_index)
        return cls(observations, groups, group_index, keys)

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
        group_index = self.group_index[rows]
        present = np.zeros(len(self.groups), bool)
        present[group_index] = True
        renumbered = np.cumsum(present, dtype=np.int32) - 1
        return GroupedData(
            take(self.observations, rows),
            self.groups[present],
            renumbered[group_index],
            self.keys[rows],
            self.likelihood,
        )

    @classmethod
    def join(cls, parts: list[GroupedData]) -> GroupedData:
        """One after the other; equal ids are one group."""
        groups = np.unique(np.concatenate([part.groups for part in parts]))
        numbers = [np.searchsorted(groups, part.groups) for part in parts]
        index = [
            number.astype(np.int32)[part.group_index]
            for number, part in zip(numbers, parts)
        ]
        return cls(
            join([part.observations for part in parts]),
            groups,
            np.concatenate(index),
            np.concatenate([part.keys for part in parts]),
            parts[0].likelihood,
        )

    def with_mirrored_groups(self) -> GroupedData:
        """Every group, and after them all once more, mirrored, as others.

        What is on the left and on the right of a face tells whose it is; the
        mirrored photographs of a person are those of somebody else. The groups
        are numbered.

        Raises:
            InputError: Unless observations are images.
        """
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

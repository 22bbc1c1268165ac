"""From grouped observations to batches of groups.

An epoch visits every observation once. Its order is a function of the seed and
the epoch alone, so that a run can go on from any step with the same batches. It
is planned once an epoch as row numbers; the observations are gathered by
`tf.data`, a batch at a time.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mlvae_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class GroupedData:
    """Observations and the group of each.

    Attributes:
        observations: `[N, ...]`, uint8 in [0, 255] or float32.
        groups: `[G]`, integers or strings: the groups' ids, sorted. Each has
            an observation.
        group_index: int32 `[N]`, the row in `groups` of each observation's.
    """

    observations: np.ndarray
    groups: np.ndarray
    group_index: np.ndarray

    @classmethod
    def of(cls, observations: np.ndarray, group_ids: np.ndarray) -> GroupedData:
        """Number the groups.

        Args:
            observations: `[N, ...]`.
            group_ids: `[N]`, integers or strings, in any order.

        Raises:
            InputError: Unless there is one id an observation.
        """
        if group_ids.ndim != 1 or group_ids.dtype.kind not in "iuU":
            raise InputError(
                "group_ids must be one axis of integers or strings: got shape "
                f"{group_ids.shape} of {group_ids.dtype}."
            )
        if len(observations) != len(group_ids):
            raise InputError(
                "group_ids must have one id an observation: got "
                f"{len(group_ids)} ids for {len(observations)} observations."
            )
        groups, group_index = np.unique(group_ids, return_inverse=True)
        return cls(observations, groups, group_index.astype(np.int32))

    def __len__(self) -> int:
        return len(self.group_index)

    @property
    def group_ids(self) -> np.ndarray:
        """`[N]`, the id of each observation's group."""
        return self.groups[self.group_index]

    def __getitem__(self, rows: np.ndarray | slice) -> GroupedData:
        """Some observations, and those of the groups that they belong to."""
        group_index = self.group_index[rows]
        present = np.bincount(group_index, minlength=len(self.groups)) > 0
        renumbered = np.cumsum(present, dtype=np.int32) - 1
        return GroupedData(
            self.observations[rows],
            self.groups[present],
            renumbered[group_index],
        )


class Plan(NamedTuple):
    """The batches of one epoch.

    Attributes:
        rows: int64 `[N]`, the observations in the order of their visit.
        groups: int64 `[N]`, the group of each; equal within a batch means the
            same group.
        splits: int64 `[B + 1]`, where each batch begins and ends.
    """

    rows: np.ndarray
    groups: np.ndarray
    splits: np.ndarray


@dataclasses.dataclass(frozen=True)
class Batches:
    """How to batch: by groups, or by observations, the paper's way.

    With `batch_size`, that many shuffled observations, grouped by what falls
    in. Otherwise `groups_per_batch` groups of up to `observations_per_group`:
    a larger group is dealt out, at random, into several such groups, each an
    independent group to the model, and all of them are visited once an epoch.
    """

    groups_per_batch: int = 64
    observations_per_group: int = 4
    batch_size: int | None = None

    def per_epoch(self, group_index: np.ndarray) -> int:
        """Number of batches in an epoch."""
        if self.batch_size:
            return math.ceil(len(group_index) / self.batch_size)
        sizes = np.bincount(group_index)
        pieces = -(-sizes // self.observations_per_group)
        return math.ceil(pieces.sum() / self.groups_per_batch)

    def plan(self, group_index: np.ndarray, seed: int, epoch: int) -> Plan:
        """Lay out the batches of an epoch.

        Args:
            group_index: int64 `[N]`, the group of each observation, numbered
                from 0.
            seed: Seed of the run.
            epoch: Number of the epoch; each has its own order.
        """
        generator = np.random.default_rng([seed, epoch])
        rows = generator.permutation(len(group_index))
        if self.batch_size:
            stops = np.arange(0, len(rows) + self.batch_size, self.batch_size)
            splits = np.minimum(stops, len(rows))
            return Plan(rows, group_index[rows], splits)

        # Deal each group out into pieces, in its members' random order.
        rows = rows[np.argsort(group_index[rows], kind="stable")]
        sizes = np.bincount(group_index)
        starts = np.cumsum(sizes) - sizes
        place = np.arange(len(rows)) - np.repeat(starts, sizes)
        pieces = -(-sizes // self.observations_per_group)
        first_piece = np.repeat(np.cumsum(pieces) - pieces, sizes)
        piece = first_piece + place // self.observations_per_group

        # Visit the pieces in random order, so many a batch.
        visit = generator.permutation(pieces.sum())[piece]
        order = np.argsort(visit, kind="stable")
        batch = visit[order] // self.groups_per_batch
        splits = np.append(
            np.flatnonzero(np.diff(batch, prepend=-1)), len(rows)
        )
        return Plan(rows[order], visit[order], splits)


def scale(observations: tf.Tensor | np.ndarray) -> tf.Tensor:
    """8-bit values to [0, 1]; all to float32."""
    values = tf.cast(observations, tf.float32)
    return values / 255 if observations.dtype == np.uint8 else values


def make_dataset(
    data: GroupedData,
    batches: Batches,
    seed: int,
    epochs: int = 1,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """The batches of epochs `first_epoch` to `epochs`, one after the other.

    Args:
        data: What to visit.
        batches: How to batch it.
        seed: Seed of every epoch's order.
        epochs: Number of the epoch to end before.
        first_epoch: Number of the epoch to begin with.

    Returns:
        A dataset of `{"observations": [n, ...], "group_ids": int64 [n]}`, of
        `batches.per_epoch` elements an epoch. `group_ids` are row numbers that
        tell the groups of one batch apart.
    """
    group_index = data.group_index.astype(np.int64)
    observations = tf.constant(data.observations)

    def plan(epoch: np.ndarray) -> list[np.ndarray]:
        return list(batches.plan(group_index, seed, int(epoch)))

    def batches_of(epoch: tf.Tensor) -> tf.data.Dataset:
        rows, groups, splits = tf.numpy_function(plan, [epoch], [tf.int64] * 3)
        return tf.data.Dataset.range(tf.size(splits, tf.int64) - 1).map(
            lambda batch: (
                rows[splits[batch] : splits[batch + 1]],
                groups[splits[batch] : splits[batch + 1]],
            )
        )

    def gather(rows: tf.Tensor, groups: tf.Tensor) -> dict[str, tf.Tensor]:
        rows.set_shape([None])
        groups.set_shape([None])
        return {
            "observations": scale(tf.gather(observations, rows)),
            "group_ids": groups,
        }

    total = (epochs - first_epoch) * batches.per_epoch(group_index)
    return (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(batches_of)
        .map(gather, num_parallel_calls=2, deterministic=True)
        .apply(tf.data.experimental.assert_cardinality(total))
        .prefetch(2)
    )

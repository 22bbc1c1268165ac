"""Observations in groups, and `tf.data` pipelines of their batches."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from mlvae_tf import checks, noise
from mlvae_tf.data.augmentation import augment_groups, check_images
from mlvae_tf.data.observations import Observations, join, mirror, take
from mlvae_tf.data.sampling import Batches, Sampler
from mlvae_tf.errors import InputError

AUGMENTATION = 2  # A stream of noise, beside those of `grouped_model`.
_PLANNED = 1 << 16  # Observations whose batches are planned at once.


@dataclasses.dataclass(frozen=True)
class GroupedData:
    """Observations and the group of each.

    Attributes:
        observations: `[N, ...]`, uint8 in [0, 255] or float32, in memory or
            on a disk (`observations.py`).
        groups: `[G]`, integers or strings: the groups' ids, sorted. Each has
            an observation.
        group_index: int32 `[N]`, the row in `groups` of each observation's.
    """

    observations: Observations
    groups: np.ndarray
    group_index: np.ndarray

    @classmethod
    def of(
        cls, observations: Observations, group_ids: np.ndarray
    ) -> GroupedData:
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
        present = np.zeros(len(self.groups), bool)
        present[group_index] = True
        renumbered = np.cumsum(present, dtype=np.int32) - 1
        return GroupedData(
            take(self.observations, rows),
            self.groups[present],
            renumbered[group_index],
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
        observations = join([part.observations for part in parts])
        return cls(observations, groups, np.concatenate(index))

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
        )

    def sample(self, count: int, seed: int) -> GroupedData:
        """At most so many of the observations, chosen at random."""
        if len(self) <= count:
            return self
        order = np.random.default_rng(seed).permutation(len(self))
        return self[order[:count]]

    def chunks(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All observations in order, the next ones read in the background.

        Args:
            size: How many at a time, at most.

        Yields:
            `(observations, group_index)` of `[size, ...]` and `[size]`.
        """

        def read(start: int) -> np.ndarray:
            return self.observations[start : start + size]

        with concurrent.futures.ThreadPoolExecutor(1) as background:
            ahead = background.submit(read, 0)
            for start in range(0, len(self), size):
                observations = ahead.result()
                ahead = background.submit(read, start + size)
                yield observations, self.group_index[start : start + size]


def scale(observations: tf.Tensor | np.ndarray) -> tf.Tensor:
    """8-bit values to [0, 1]; all to float32."""
    values = tf.cast(observations, tf.float32)
    return values / 255 if observations.dtype == np.uint8 else values


def reader(observations: Observations) -> Callable[[tf.Tensor], tf.Tensor]:
    """What reads observations, scaled, within a `tf.data` pipeline.

    Args:
        observations: `[N, ...]`.

    Returns:
        A function from row numbers `[n]` to float32 `[n, ...]`. An
        `InputError` while reading becomes what `checks.as_input_error` knows.
    """

    if isinstance(observations, np.ndarray):
        tensor = tf.constant(observations)
        return lambda rows: scale(tf.gather(tensor, rows))

    def numpy_read(rows: np.ndarray) -> np.ndarray:
        with checks.through_tensorflow():
            return observations[rows]

    def read(rows: tf.Tensor) -> tf.Tensor:
        values = tf.numpy_function(numpy_read, [rows], observations.dtype)
        values.set_shape([None, *observations.shape[1:]])
        return scale(values)

    return read


def _visit(
    sampler: Sampler, seed: int, num_observations: int
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """From the number of an epoch to its batches, as int64 row numbers.

    Args:
        sampler: What the batches are.
        seed: Seed of every epoch's order.
        num_observations: Of an epoch.

    Returns:
        A function to a dataset of `(rows, groups)`, `[n]` each.
    """
    per_batch = -(-num_observations // len(sampler))
    at_once = max(1, _PLANNED // per_batch)
    orders = {}

    def plan(epoch: np.ndarray, first: np.ndarray) -> list[np.ndarray]:
        epoch, first = int(epoch), int(first)
        if epoch not in orders:
            orders.clear()  # One in memory at a time.
            orders[epoch] = sampler.order(seed, epoch)
        plan = sampler.plan(orders[epoch], first, first + at_once)
        return [part.astype(np.int64) for part in plan]

    def batches_of(
        rows: tf.Tensor, groups: tf.Tensor, splits: tf.Tensor
    ) -> tf.data.Dataset:
        return tf.data.Dataset.range(tf.size(splits, tf.int64) - 1).map(
            lambda batch: (
                rows[splits[batch] : splits[batch + 1]],
                groups[splits[batch] : splits[batch + 1]],
            )
        )

    def planned(epoch: tf.Tensor, first: tf.Tensor) -> list[tf.Tensor]:
        parts = tf.numpy_function(plan, [epoch, first], [tf.int64] * 3)
        return [tf.ensure_shape(part, [None]) for part in parts]

    def epoch_of(epoch: tf.Tensor) -> tf.data.Dataset:
        firsts = tf.data.Dataset.range(0, len(sampler), at_once)
        plans = firsts.map(lambda first: tuple(planned(epoch, first)))
        return plans.flat_map(batches_of)

    return epoch_of


def _augmentation(
    seed: int, probability: float
) -> Callable[[tf.Tensor, dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """From a step and its batch to the batch with some groups made others."""

    def augment(
        step: tf.Tensor, batch: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        of_step = noise.fold_in([seed, AUGMENTATION], tf.cast(step, tf.int32))
        others = augment_groups(**batch, seed=of_step, probability=probability)
        return {**batch, "observations": others}

    return augment


def make_dataset(
    data: GroupedData,
    batches: Batches,
    seed: int,
    epochs: int = 1,
    first_epoch: int = 0,
    chunk_size: int | None = None,
    augmented: float = 0.0,
) -> tf.data.Dataset:
    """The batches of epochs `first_epoch` to `epochs`, one after the other.

    Args:
        data: What to visit.
        batches: How to batch it.
        seed: Seed of every epoch's order.
        epochs: Number of the epoch to end before.
        first_epoch: Number of the epoch to begin with.
        chunk_size: Observations to read at once, so that a batch may be
            larger than memory.
        augmented: Probability of a group to be turned into another one, by
            `augmentation.augment_groups`; not with `chunk_size`.

    Returns:
        A dataset of `{"observations": [n, ...], "group_ids": int64 [n]}`.
        `group_ids` are numbers that tell the groups of one batch apart. With
        `chunk_size`, the observations are a dataset of `[chunk_size, ...]`.
    """
    sampler = batches.sampler(data.group_index)
    read = reader(data.observations)

    def read_chunks(rows: tf.Tensor) -> tf.data.Dataset:
        starts = tf.data.Dataset.range(0, tf.size(rows, tf.int64), chunk_size)
        return starts.map(
            lambda start: read(rows[start : start + chunk_size])
        ).prefetch(1)

    def gather(rows: tf.Tensor, groups: tf.Tensor) -> dict[str, tf.Tensor]:
        observations = read_chunks(rows) if chunk_size else read(rows)
        return {"observations": observations, "group_ids": groups}

    total = (epochs - first_epoch) * len(sampler)
    dataset = (
        tf.data.Dataset.range(first_epoch, epochs)
        .flat_map(_visit(sampler, seed, len(data)))
        .map(gather, num_parallel_calls=2, deterministic=True)
    )
    if augmented:
        dataset = dataset.enumerate(first_epoch * len(sampler)).map(
            _augmentation(seed, augmented),
            num_parallel_calls=2,
            deterministic=True,
        )
    return dataset.apply(
        tf.data.experimental.assert_cardinality(total)
    ).prefetch(2)

"""`tf.data` pipelines of batches of groups."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from mlvae_tf import feeding, guards, noise
from mlvae_tf.data import crossing
from mlvae_tf.data.augmentation import augment_groups
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.sampling import Batching, Plan, Sampler
from mlvae_tf.replicas import ALONE, Replicas

_PLANNED = 1 << 16  # Observations whose batches are planned at once.


def reader(data: GroupedData) -> Callable[[tf.Tensor], tf.Tensor]:
    """What reads values within a `tf.data` pipeline.

    Args:
        data: `N` observations.

    Returns:
        A function from row numbers `[n]` to float32 `[n, ...]`. An
        `InputError` while reading becomes what `guards.as_input_error` knows.
    """

    observations = data.observations
    if isinstance(observations, np.ndarray):
        tensor = tf.constant(observations)
        return lambda rows: data.likelihood.values(tf.gather(tensor, rows))

    # One way for both, a `Dataset.from_generator`, took twice the processor
    # time per batch (1.2 against 0.65 ms for 256 images of 28x28).
    def numpy_read(rows: np.ndarray) -> np.ndarray:
        with guards.through_tensorflow():
            return data.read(rows)

    def read(rows: tf.Tensor) -> tf.Tensor:
        values = tf.numpy_function(numpy_read, [rows], observations.dtype)
        values.set_shape([None, *observations.shape[1:]])
        return data.likelihood.values(values)

    return read


def _columns(plan: Plan, data: GroupedData) -> list[np.ndarray]:
    """Row numbers, then what tells the groups of a batch, `[n]` each.

    Of one level these are the plan's groups, and of which they are pieces; of
    several the groups of every level, which are whole.
    """
    if not data.others:
        return [plan.rows, plan.groups, plan.wholes]
    return [plan.rows, *(of[plan.rows] for of in data.group_indices.values())]


def _visit(
    sampler: Sampler, seed: int, data: GroupedData
) -> Callable[[tf.Tensor, tf.Tensor], tf.data.Dataset]:
    """From an epoch and a step in it to the batches from there, as row numbers.

    Args:
        sampler: What the batches are.
        seed: Seed of every epoch's order.
        data: What is visited.

    Returns:
        A function to a dataset of `_columns`, int64 `[n]` each.
    """
    count = 3 if not data.others else 1 + len(data.levels)
    per_batch = -(-len(data) // len(sampler))
    at_once = max(1, _PLANNED // per_batch)
    orders: dict[int, tuple[np.ndarray, ...]] = {}

    def plan(of_epoch: np.int64, start: np.int64) -> list[np.ndarray]:
        epoch, first = int(of_epoch), int(start)
        if epoch not in orders:
            orders.clear()  # One in memory at a time.
            orders[epoch] = sampler.order(seed, epoch)
        plan = sampler.plan(orders[epoch], first, first + at_once)
        columns = *_columns(plan, data), plan.splits
        return [column.astype(np.int64) for column in columns]

    def batches_of(*planned: tf.Tensor) -> tf.data.Dataset:
        *parts, splits = planned
        return tf.data.Dataset.range(tf.size(splits, tf.int64) - 1).map(
            lambda batch: tuple(
                part[splits[batch] : splits[batch + 1]] for part in parts
            )
        )

    def planned(epoch: tf.Tensor, first: tf.Tensor) -> list[tf.Tensor]:
        parts = tf.numpy_function(
            plan, [epoch, first], [tf.int64] * (count + 1)
        )
        return [tf.ensure_shape(part, [None]) for part in parts]

    def epoch_of(epoch: tf.Tensor, step: tf.Tensor) -> tf.data.Dataset:
        firsts = tf.data.Dataset.range(step, len(sampler), at_once)
        plans = firsts.map(lambda first: tuple(planned(epoch, first)))
        return plans.flat_map(batches_of)

    return epoch_of


def _augmented(
    numbered: tf.data.Dataset, seed: int, probability: float
) -> tf.data.Dataset:
    """Batches, given with their steps, of which some groups are made others."""

    def augment(
        step: tf.Tensor, batch: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        of_step = noise.of_step(seed, noise.Stream.AUGMENTATION, step)
        others = augment_groups(
            batch["observations"],
            batch["whole_ids"],  # All pieces of a group alike.
            seed=of_step,
            probability=probability,
        )
        return {**batch, "observations": others}

    return numbered.map(augment, num_parallel_calls=2, deterministic=True)


def make_dataset(
    data: GroupedData,
    batching: Batching,
    seed: int,
    epochs: int = 1,
    first_epoch: int = 0,
    chunk_size: int | None = None,
    augmented: float = 0.0,
    first_step: int = 0,
    replicas: Replicas = ALONE,
) -> tf.data.Dataset:
    """The batches of epochs `first_epoch` to `epochs`, one after the other.

    Args:
        data: What to visit.
        batching: How to batch it.
        seed: Seed of every epoch's order.
        epochs: Number of the epoch to end before.
        first_epoch: Number of the epoch to begin with.
        chunk_size: Observations to read at once, so that a batch may be
            larger than memory.
        augmented: Probability of a group to be turned into another one, by
            `augmentation.augment_groups`; not with `chunk_size`.
        first_step: Number of the batch of `first_epoch` to begin with.
        replicas: The workers, of whose batches this one reads its share.

    Returns:
        A dataset of `{"observations": [n, ...], "group_ids": int64 [n],
        "whole_ids": int64 [n]}`. `group_ids` are numbers that tell the groups
        of one batch apart, `whole_ids` number the groups of the dataset that
        they are pieces of. With several levels `group_ids` are dicts by level
        of the numbers of groups, which are whole. With `chunk_size`, the
        observations are a dataset of `[chunk_size, ...]`. A worker's are those
        of its share alone; `share`, `[2]`, says of which rows.
    """
    sampler = crossing.sampler(batching, data.group_indices)

    def begin(epoch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return epoch, tf.where(epoch == first_epoch, np.int64(first_step), 0)

    first = first_epoch * len(sampler) + first_step
    dataset = _gathered(
        tf.data.Dataset.range(first_epoch, epochs).map(begin),
        data,
        sampler,
        seed,
        chunk_size,
        ALONE if augmented else replicas,
    )
    if augmented:
        dataset = _augmented(dataset.enumerate(first), seed, augmented)
        dataset = feeding.shared(dataset, replicas)
    count = epochs * len(sampler) - first
    return dataset.apply(
        tf.data.experimental.assert_cardinality(count)
    ).prefetch(2)


def one_epoch(
    data: GroupedData,
    batching: Batching,
    seed: int,
    epochs: Iterator[int],
    augmented: float = 0.0,
) -> tf.data.Dataset:
    """The batches of one epoch, another one at every pass.

    Args:
        data: What to visit.
        batching: How to batch it.
        seed: Seed of every epoch's order.
        epochs: Gives the number of each pass's epoch.
        augmented: As `make_dataset` takes it.
    """
    sampler = crossing.sampler(batching, data.group_indices)

    def begin(_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        epoch = tf.numpy_function(lambda: np.int64(next(epochs)), [], tf.int64)
        return tf.ensure_shape(epoch, []), tf.constant(0, tf.int64)

    dataset = _gathered(
        tf.data.Dataset.range(1).map(begin), data, sampler, seed
    )
    if augmented:
        steps = itertools.count()

        def number(batch: Any) -> tuple[tf.Tensor, Any]:
            step = tf.numpy_function(
                lambda: np.int64(next(steps)), [], tf.int64
            )
            return tf.ensure_shape(step, []), batch

        dataset = _augmented(dataset.map(number), seed, augmented)
    return dataset.apply(
        tf.data.experimental.assert_cardinality(len(sampler))
    ).prefetch(2)


def timed(dataset: tf.data.Dataset, waited: tf.Variable) -> tf.data.Dataset:
    """The same batches; how long each was waited for is added up.

    Args:
        dataset: Batches.
        waited: Seconds, float64.
    """
    endless = tf.data.Dataset.range(np.iinfo(np.int64).max)
    clock = endless.map(lambda _: tf.timestamp())

    def add(asked: tf.Tensor, batch: Any, got: tf.Tensor) -> Any:
        waited.assign_add(got - asked)
        return batch

    # `zip` asks its parts one after the other.
    return tf.data.Dataset.zip(clock, dataset, clock).map(add)


def _gathered(
    places: tf.data.Dataset,
    data: GroupedData,
    sampler: Sampler,
    seed: int,
    chunk_size: int | None = None,
    replicas: Replicas = ALONE,
) -> tf.data.Dataset:
    """The batches of epochs, of each from a step on.

    Args:
        places: Numbers of epochs, and of the steps to begin with.
        data: What to visit.
        sampler: What the batches are.
        seed: Seed of every epoch's order.
        chunk_size: Observations to read at once.
        replicas: The workers.
    """
    read = reader(data)

    def read_chunks(rows: tf.Tensor) -> tf.data.Dataset:
        starts = tf.data.Dataset.range(0, tf.size(rows, tf.int64), chunk_size)
        return starts.map(
            lambda start: read(rows[start : start + chunk_size])
        ).prefetch(1)

    def gather(rows: tf.Tensor, *groups: tf.Tensor) -> dict[str, Any]:
        ids: dict[str, Any] = dict(zip(("group_ids", "whole_ids"), groups))
        if data.others:
            ids = {"group_ids": dict(zip(data.levels, groups))}
        if replicas.count > 1:
            start, stop = replicas.share(tf.size(rows))
            rows, ids["share"] = rows[start:stop], tf.stack([start, stop])
        observations = read_chunks(rows) if chunk_size else read(rows)
        return {"observations": observations, **ids}

    return places.flat_map(_visit(sampler, seed, data)).map(
        gather, num_parallel_calls=2, deterministic=True
    )

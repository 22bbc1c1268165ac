"""Rows of a batch: all of them, or a chunk.

Everything that is computed of a batch is a sum over its rows, so that it can be
computed of a part of them at a time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from mlvae_tf import evidence

# By level, the group of each row, int32 [n]: numbered from 0 without a gap
# within the batch, negative for padding.
SegmentIds = dict[str, tf.Tensor]


def first(segment_ids: SegmentIds) -> tf.Tensor:
    """Those of the first level, by whose groups terms are averaged."""
    return next(iter(segment_ids.values()))


class Part(NamedTuple):
    """Some of a batch's observations.

    Attributes:
        observations: `[n, *observation_shape]`.
        segment_ids: By level, int32 `[n]`: the group of each; negative for
            padding.
        start: Where in the batch the first of them stands.
        whole_ids: Of which group of the dataset each group of the batch's
            first level is a piece, `[G]` or longer; None where they are whole.
        heard: The segment ids with -1 for the evidence that a training step
            leaves out; None where it takes in all.
        batch_ids: The segment ids of the whole batch, where these are a
            worker's rows of it; None where they are all.
    """

    observations: tf.Tensor
    segment_ids: SegmentIds
    start: int | tf.Tensor = 0
    whole_ids: tf.Tensor | None = None
    heard: SegmentIds | None = None
    batch_ids: SegmentIds | None = None

    @property
    def all_ids(self) -> SegmentIds:
        """The segment ids of the whole batch."""
        return self.segment_ids if self.batch_ids is None else self.batch_ids

    def own(self, of_batch: SegmentIds) -> SegmentIds:
        """Of segment ids of the whole batch, those of these rows."""
        if self.batch_ids is None:
            return of_batch
        rows = self.start + tf.range(tf.size(self.first_ids))
        rows = tf.minimum(rows, tf.size(first(self.all_ids)) - 1)
        return {
            level: tf.where(self.real, tf.gather(ids, rows), -1)
            for level, ids in of_batch.items()
        }

    @property
    def evident(self) -> SegmentIds:
        """The segment ids of the evidence that is taken in."""
        return self.segment_ids if self.heard is None else self.heard

    @property
    def first_ids(self) -> tf.Tensor:
        """The segment ids of the first level."""
        return first(self.segment_ids)

    @property
    def real(self) -> tf.Tensor:
        """Which rows are no padding, bool `[n]`."""
        return self.first_ids >= 0

    def sum(self, of_rows: tf.Tensor) -> tf.Tensor:
        """The sum of `[n]` values over the rows that are no padding."""
        return tf.reduce_sum(tf.where(self.real, of_rows, 0))


class Batch(NamedTuple):
    """A whole batch whose observations come in chunks.

    Attributes:
        chunks: Dataset of observations `[n, *observation_shape]`.
        segment_ids: By level, int32 `[N]`: the group of each observation.
        whole_ids: As in `Part`.
        heard: As in `Part`.
        start: Where the first of the chunks' observations stands.
        stop: Where the last one ends; None where they are all.
    """

    chunks: tf.data.Dataset
    segment_ids: SegmentIds
    whole_ids: tf.Tensor | None = None
    heard: SegmentIds | None = None
    start: int | tf.Tensor = 0
    stop: tf.Tensor | None = None

    def part(self, observations: tf.Tensor, start: tf.Tensor) -> Part:
        """The rows from `start` on, whose observations these are."""
        stop = start + tf.shape(observations)[0]
        ids, heard = self.segment_ids, self.heard
        heard = None if heard is None else cut(heard, start, stop)
        ids = cut(ids, start, stop)
        return Part(observations, ids, start, self.whole_ids, heard)

    @property
    def first_ids(self) -> tf.Tensor:
        """The segment ids of the first level."""
        return first(self.segment_ids)


def cut(segment_ids: SegmentIds, start: Any, stop: Any) -> SegmentIds:
    """Those of the rows from `start` on, up to `stop`."""
    return {level: ids[start:stop] for level, ids in segment_ids.items()}


def number(
    group_ids: dict[str, tf.Tensor], parents: dict[str, str] | None = None
) -> SegmentIds:
    """Number the groups of every level in order of first appearance.

    Args:
        group_ids: By level, `[N]`.
        parents: By inner level, the level that its groups are in: equal ids
            within two groups of that one are two groups.
    """
    parents = parents or {}
    segment_ids: SegmentIds = {}

    def of(level: str) -> tf.Tensor:
        if level not in segment_ids:
            _, numbers = evidence.index_groups(group_ids[level])
            if level in parents:
                size = tf.size(numbers, tf.int64)
                outer = tf.cast(of(parents[level]), tf.int64)
                pairs = outer * size + tf.cast(numbers, tf.int64)
                _, numbers = evidence.index_groups(pairs)
            segment_ids[level] = numbers
        return segment_ids[level]

    return {level: of(level) for level in group_ids}


def most_groups(segment_ids: SegmentIds) -> tf.Tensor:
    """How many groups the level has that has the most."""
    counts = [tf.reduce_max(ids) + 1 for ids in segment_ids.values()]
    return counts[0] if len(counts) == 1 else tf.reduce_max(tf.stack(counts))


def wholes(
    groups: tf.Tensor, segment_ids: tf.Tensor, size: tf.Tensor
) -> tf.Tensor:
    """Of which group of the dataset every group of a batch is a piece.

    Args:
        groups: `[N]`, that of each observation, as any number.
        segment_ids: int32 `[N]`, the group within the batch.
        size: How many rows to return, at least the number of groups.

    Returns:
        int32 `[size]`: numbers from 0, the groups first and beyond them
        negative.
    """
    _, numbers = tf.unique(groups)
    return tf.math.unsorted_segment_max(numbers, segment_ids, size)


def outer_ids(
    inner: tf.Tensor, outer: tf.Tensor, size: int | tf.Tensor
) -> tf.Tensor:
    """The group of an outer level that each group of an inner one is in.

    Args:
        inner: int32 `[N]`, the group of each observation on the inner level.
        outer: The same on the outer level.
        size: At least the number of inner groups.

    Returns:
        int32 `[size]`; negative where there is no group.
    """
    return tf.math.unsorted_segment_max(outer, inner, size)


def num_groups(segment_ids: SegmentIds) -> tf.Tensor:
    """How many groups of the first level a batch has."""
    return tf.reduce_max(first(segment_ids)) + 1


def num_rows(segment_ids: SegmentIds) -> tf.Tensor:
    """How many observations a batch has, padding left out."""
    return tf.math.count_nonzero(first(segment_ids) >= 0, dtype=tf.int32)


def padded(size: tf.Tensor, parts: int = 8) -> tf.Tensor:
    """The size to pad to, so that XLA compiles only a few programs.

    Args:
        size: How many rows there are.
        parts: Into how many the way from one power of two to the next is cut,
            a power of two: so many programs serve all sizes up to twice as
            large, and at most one in so many rows is wasted.
    """
    exponent = tf.math.log(tf.cast(size, "float32")) / tf.math.log(2.0)
    finest = parts.bit_length() - 1
    unit = 2 ** tf.maximum(tf.cast(exponent + 1e-4, "int32") - finest, 0)
    return size + -size % unit


def halved(largest: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """The largest size, halved as often as it still holds another."""
    times = tf.math.log(tf.cast(largest // size, "float32")) / tf.math.log(2.0)
    return -(-largest // 2 ** tf.cast(times + 1e-4, "int32"))


class Sizes:
    """The sizes that batches are padded to: one or two, if they can be.

    A batch takes the smallest one that it fills by half or more, or that is
    expected to be the smallest. Where there is none, one is added: of its own
    size, but for an eighth at most, so that batches of one size, and the
    smaller last one, are hardly padded. Where one not much smaller was there
    before, sizes vary, and more than half of the power of two below is left
    for those to come.
    """

    def __init__(self) -> None:
        none = tf.zeros([0], tf.int32)
        with tf.device("CPU"):
            self._sizes = tf.Variable(none, trainable=False, shape=[None])
            self._smallest = tf.Variable(0, trainable=False)

    def expect(self, largest: int, mean: float) -> None:
        """Say how large batches will be.

        The sizes are then that of the largest, its half, its quarter and so
        on, as far as they hold the mean, whatever batch comes first. A smaller
        batch, as the last of an epoch, makes no program of its own: in most
        trainings all its steps together cost less than that does.
        """
        sizes = [int(padded(tf.constant(largest)))]
        while (half := -(-sizes[0] // 2)) >= mean and half < sizes[0]:
            sizes.insert(0, half)
        self._sizes.assign(sizes)
        self._smallest.assign(sizes[0])

    def take(self, size: tf.Tensor) -> tf.Tensor:
        """The size for a batch of so many rows."""
        sizes = tf.convert_to_tensor(self._sizes)
        near = (sizes <= 2 * size) | (sizes == self._smallest)
        fit = tf.boolean_mask(sizes, (sizes >= size) & near)
        varies = tf.reduce_any((sizes < size) & (2 * sizes > size))
        new = tf.where(varies, padded(size, 2), padded(size))
        new = tf.repeat(new, tf.cast(tf.size(fit) == 0, tf.int32))
        self._sizes.assign(tf.concat([sizes, new], axis=0))
        return tf.reduce_min(tf.concat([fit, new], axis=0))


def pad(part: Part, size: tf.Tensor) -> Part:
    """A part with padding rows, whose segment ids are negative.

    Args:
        part: At most `size` rows.
        size: How many to return.
    """
    extra = size - tf.shape(part.observations)[0]
    axes = len(part.observations.shape) - 1
    heard = part.heard
    return part._replace(
        observations=tf.pad(part.observations, [[0, extra]] + [[0, 0]] * axes),
        segment_ids=pad_ids(part.segment_ids, extra),
        heard=None if heard is None else pad_ids(heard, extra),
    )


def pad_ids(segment_ids: SegmentIds, extra: tf.Tensor) -> SegmentIds:
    """Segment ids with so many more, of padding."""
    return {
        level: tf.pad(ids, [[0, extra]], constant_values=-1)
        for level, ids in segment_ids.items()
    }

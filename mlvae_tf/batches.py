"""Rows of a batch: all of them, or a chunk.

Everything that is computed of a batch is a sum over its rows, so that it can be
computed of a part of them at a time.
"""

from __future__ import annotations

from typing import NamedTuple

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
    """

    observations: tf.Tensor
    segment_ids: SegmentIds
    start: int | tf.Tensor = 0

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
    """

    chunks: tf.data.Dataset
    segment_ids: SegmentIds

    @property
    def first_ids(self) -> tf.Tensor:
        """The segment ids of the first level."""
        return first(self.segment_ids)


def number(group_ids: dict[str, tf.Tensor]) -> SegmentIds:
    """Number the groups of every level in order of first appearance."""
    return {
        level: evidence.index_groups(ids)[1] for level, ids in group_ids.items()
    }


def num_groups(segment_ids: SegmentIds) -> tf.Tensor:
    """How many groups of the first level a batch has."""
    return tf.reduce_max(first(segment_ids)) + 1


def padded(size: tf.Tensor) -> tf.Tensor:
    """The size to pad to, so that XLA compiles only a few programs.

    Sizes are multiples of an eighth of the power of two below: at most an
    eighth is wasted, and eight programs serve all sizes up to twice as large.
    """
    exponent = tf.math.log(tf.cast(size, "float32")) / tf.math.log(2.0)
    unit = 2 ** tf.maximum(tf.cast(exponent + 1e-4, "int32") - 3, 0)
    return size + -size % unit


def pad(part: Part) -> Part:
    """A part with padding rows, whose segment ids are negative."""
    size = tf.shape(part.observations)[0]
    extra = padded(size) - size
    axes = len(part.observations.shape) - 1
    return Part(
        tf.pad(part.observations, [[0, extra]] + [[0, 0]] * axes),
        {
            level: tf.pad(ids, [[0, extra]], constant_values=-1)
            for level, ids in part.segment_ids.items()
        },
        part.start,
    )

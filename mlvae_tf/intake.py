"""A batch as a step takes it in: checked, its groups numbered, padded.

All of it comes before what XLA compiles, which has no strings, and would
compile for every size of a batch.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from mlvae_tf import batches, checks, feeding, guards
from mlvae_tf.batches import Batch, Part, SegmentIds, Sizes
from mlvae_tf.chunked import GROUP_PARTS
from mlvae_tf.codec import Codec


@dataclasses.dataclass(frozen=True)
class Intake:
    """Makes of batches, as Keras hands them over, what is computed of.

    Attributes:
        codec: What they are for.
        sizes: What they are padded to, whole ones and a worker's rows of one;
            None where they are not.
    """

    codec: Codec
    sizes: tuple[Sizes, Sizes] | None = None

    def take(self, data: Any) -> Part | Batch:
        """A batch in one piece, or a worker's rows of one; or one in chunks.

        Args:
            data: A dict of observations, or a dataset of chunks of them, and
                group ids; or a tuple of it alone.

        Raises:
            InputError: If it does not fit the model.
        """
        observations, group_ids = feeding.unpack(data)
        in_chunks = isinstance(observations, tf.data.Dataset)
        elements = observations.element_spec if in_chunks else observations
        segment_ids = self._number(elements, group_ids, feeding.share(data))
        if in_chunks:
            return self._in_chunks(observations, segment_ids, data)
        return self._in_one(observations, segment_ids, data)

    def _number(
        self, elements: Any, group_ids: Any, share: tf.Tensor | None
    ) -> SegmentIds:
        """The segment ids of the whole batch, its shapes being checked."""
        names = tuple(level.name for level in self.codec.levels)
        group_ids = checks.by_level(group_ids, names)
        own_ids = group_ids if share is None else None
        checks.check_shapes(elements, self.codec.observation_shape, own_ids)
        return batches.number(group_ids, self.codec.parents)

    def _in_chunks(
        self, chunks: tf.data.Dataset, segment_ids: SegmentIds, data: Any
    ) -> Batch:
        size = tf.size(batches.first(segment_ids))
        size = batches.padded(size, GROUP_PARTS)
        whole_ids = _whole_ids(data, segment_ids, size)
        chunks = feeding.without_autotuning(chunks.map(self._ready))
        share = feeding.share(data)
        rows = () if share is None else (None, share[0], share[1])
        return Batch(chunks, segment_ids, whole_ids, *rows)

    def _in_one(
        self, observations: tf.Tensor, segment_ids: SegmentIds, data: Any
    ) -> Part:
        size = tf.size(batches.first(segment_ids))
        if self.sizes:
            size = self.sizes[0].take(size)
        whole_ids = _whole_ids(data, segment_ids, size)
        part = Part(self._ready(observations), segment_ids, whole_ids=whole_ids)
        share = feeding.share(data)
        if share is not None:
            return self._own(part, share, size)
        return batches.pad(part, size) if self.sizes else part

    def _own(self, part: Part, share: tf.Tensor, size: tf.Tensor) -> Part:
        """A worker's rows of a batch.

        Args:
            part: Its observations, and the segment ids of the whole batch.
            share: From which row to which the observations are.
            size: What to pad the whole batch to.
        """
        of_batch, (start, stop) = part.segment_ids, tf.unstack(share)
        part = part._replace(
            segment_ids=batches.cut(of_batch, start, stop),
            start=tf.cast(start, tf.int32),
        )
        if self.sizes:
            own_size = self.sizes[1].take(tf.size(part.first_ids))
            part = batches.pad(part, own_size)
            extra = size - tf.size(batches.first(of_batch))
            of_batch = batches.pad_ids(of_batch, extra)
        return part._replace(batch_ids=of_batch)

    def _ready(self, observations: tf.Tensor) -> tf.Tensor:
        observations = tf.cast(observations, self.codec.dtype)
        return guards.assert_values(observations, self.codec.likelihood)


def _whole_ids(
    data: Any, segment_ids: SegmentIds, size: tf.Tensor
) -> tf.Tensor | None:
    """Of which group of the dataset each group is a piece, if they are."""
    rows = feeding.whole_ids(data)
    if rows is None:
        return None
    return batches.wholes(rows, batches.first(segment_ids), size)

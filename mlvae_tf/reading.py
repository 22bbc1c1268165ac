"""Any number of observations read by a codec, batch by batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import batches
from mlvae_tf.codec import Codec
from mlvae_tf.latents import Latents

BATCH_SIZE = 1024  # Observations to encode at once.


class Reader:
    """Reads checked observations, of the codec's dtype.

    Args:
        codec: What encodes.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        batch = tf.TensorSpec((None, *codec.observation_shape), codec.dtype)
        width = sum(level.dim for level in codec.drawn)
        content = tf.TensorSpec((None, width), codec.dtype)

        def compiled(function: Callable[..., Any], *given: Any) -> Any:
            return tf.function(function, given, autograph=False)

        self._encode = compiled(self._encoded, batch)
        self._given_style, self._learned_style = (
            compiled(functools.partial(self._styled, read), batch, content)
            for read in (codec.given_style, codec.learned_style)
        )

    def _encoded(self, observations: tf.Tensor) -> list[tf.Tensor]:
        encoded = self.codec.encode(observations)
        return [part for q in encoded.values() for part in (q.loc, q.scale)]

    def _styled(
        self,
        read: Callable[[tf.Tensor, dict[str, tf.Tensor]], tfd.Normal],
        observations: tf.Tensor,
        content: tf.Tensor,
    ) -> list[tf.Tensor]:
        _, features = self.codec.propose(observations)
        dims = {level.name: level.dim for level in self.codec.drawn}
        parts = tf.split(content, list(dims.values()), axis=-1)
        style = read(features, dict(zip(dims, parts, strict=True)))
        return [style.loc, style.scale]

    def encode(
        self, observations: np.ndarray, batch_size: int = BATCH_SIZE
    ) -> Latents:
        """`Codec.encode`, batch by batch.

        Args:
            observations: `[N, *observation_shape]`.
            batch_size: Observations to encode at once.
        """
        parts = [
            self._encode(tf.constant(observations[start : start + batch_size]))
            for start in range(0, len(observations), batch_size)
        ]
        joined = [tf.concat(part, axis=0) for part in zip(*parts, strict=True)]
        normals = [
            tfd.Normal(*joined[i : i + 2]) for i in range(0, len(joined), 2)
        ]
        levels = *self.codec.drawn, self.codec.style
        names = (level.name for level in levels)
        return dict(zip(names, normals, strict=True))

    def given_styles(self, observations: Any, content: tf.Tensor) -> tfd.Normal:
        """The styles after the flow, given contents `[N, content_dim]`."""
        return self._styles(self._given_style, observations, content)

    def learned_styles(
        self, observations: Any, content: tf.Tensor
    ) -> tfd.Normal:
        """The styles before the flow, given contents `[N, content_dim]`."""
        return self._styles(self._learned_style, observations, content)

    def _styles(
        self,
        read: Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]],
        observations: Any,
        content: tf.Tensor,
    ) -> tfd.Normal:
        observations = tf.constant(observations, self.codec.dtype)
        parts = [
            read(
                observations[start : start + BATCH_SIZE],
                content[start : start + BATCH_SIZE],
            )
            for start in range(0, len(observations), BATCH_SIZE)
        ]
        return tfd.Normal(*(tf.concat(part, 0) for part in zip(*parts)))

    def accumulate(
        self, observations: Any, proposed: Latents, ids: dict[str, np.ndarray]
    ) -> tuple[dict[str, tf.Tensor], Latents]:
        """The row of each observation's group, `[N]`, and the contents.

        Args:
            observations: `[N, *observation_shape]`.
            proposed: By level, what they propose.
            ids: By level, `[N]`.

        Returns:
            By level each; the contents have as many rows as the level with the
            most groups.
        """
        tensors = {
            name: tf.constant(of_level) for name, of_level in ids.items()
        }
        segment_ids = batches.number(tensors, self.codec.parents)
        most = max(int(tf.reduce_max(rows)) for rows in segment_ids.values())
        totals = self.codec.evidence(
            tf.constant(observations, self.codec.dtype),
            proposed,
            segment_ids,
            most + 1,
        )
        return segment_ids, self.codec.groups(totals, segment_ids).posteriors

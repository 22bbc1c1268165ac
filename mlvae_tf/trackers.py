"""What steps report: means over them, as metrics of Keras's."""

from __future__ import annotations

import keras
import tensorflow as tf

from mlvae_tf import batches
from mlvae_tf.batches import SegmentIds
from mlvae_tf.codec import Codec
from mlvae_tf.objective import Terms


class Trackers:
    """Means over the steps of an epoch.

    Args:
        codec: Of whose ELBO they are.

    Attributes:
        terms: `loss` and the terms of the ELBO, of which a group counts alike
            whatever its batch, and last `elbo_per_observation`.
        gradient_norm: That of the gradient, before the optimizer clips it.
    """

    def __init__(self, codec: Codec) -> None:
        kls = [f"{level.name}_kl" for level in (*codec.levels, codec.style)]
        names = "loss", "elbo", "reconstruction", *kls, "elbo_per_observation"
        self.terms = [keras.metrics.Mean(name) for name in names]
        self.gradient_norm = keras.metrics.Mean("gradient_norm")
        self._dtype = codec.dtype

    def add(
        self, loss: tf.Tensor, terms: Terms, segment_ids: SegmentIds
    ) -> None:
        """Take in what a step found.

        Args:
            loss: What it minimised, nats per group.
            terms: Those of the ELBO, nats per group.
            segment_ids: Of its whole batch.
        """
        groups = batches.num_groups(segment_ids)
        rows = batches.num_rows(segment_ids)
        values = loss, terms.elbo, terms.reconstruction, *terms.kl.values()
        *of_groups, of_rows = self.terms
        for tracker, value in zip(of_groups, values, strict=True):
            tracker.update_state(value, sample_weight=groups)
        shared = terms.elbo * tf.cast(groups / rows, loss.dtype)
        of_rows.update_state(shared, sample_weight=rows)

    def add_gradients(
        self, gradients: list[tf.Tensor], factor: float | tf.Tensor
    ) -> None:
        """Take in the norm of a step's gradient.

        Args:
            gradients: Of the scaled loss, by variable.
            factor: What the loss was multiplied by.
        """
        # A user's networks may have another dtype.
        there = [tf.cast(g, self._dtype) for g in gradients if g is not None]
        norm = tf.linalg.global_norm(there)
        norm /= tf.cast(factor, norm.dtype)
        finite = tf.math.is_finite(norm)  # Scaled losses may overflow.
        self.gradient_norm.update_state(
            tf.where(finite, norm, 0), tf.cast(finite, norm.dtype)
        )

    def results(self) -> dict[str, tf.Tensor]:
        """The means of the terms so far, by name."""
        return {tracker.name: tracker.result() for tracker in self.terms}

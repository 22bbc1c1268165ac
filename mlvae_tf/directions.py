"""The directions of a style in which its means say something.

A style may have more dimensions than it needs. What is left over is not empty:
its means vary, by far less than the posterior's scale, as a function of what
the others say. Nothing is drawn of that, but a classifier reads it, and means
that lie on a surface have a density without bound.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import layers
from tensorflow_probability import distributions as tfd

LEAST_SPREAD = 0.5  # Of means, in units of the posterior's scale.


@keras.saving.register_keras_serializable("mlvae_tf")
class Directions(layers.Layer):
    """An affine map to the principal components of means.

    Components are those in units of the posterior's scale, the largest first,
    each divided by what means and posterior spread together, so that all
    coordinates have a variance of one. Those in which means spread by less than
    `LEAST_SPREAD` of the posterior's scale, at most 0.11 nats each, are not to
    be used. New ones are the identity, and remain so where all are.

    Args:
        dim: Dimensions.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self._center = self._state("center", "zeros", dim)
        self._axes = self._state("axes", "identity", dim, dim)
        self._back = self._state("back", "identity", dim, dim)
        self._log_det = self._state("log_det", "zeros")
        self.built = True

    def _state(self, name: str, initializer: str, *shape: int) -> Any:
        return self.add_weight(
            shape=shape, initializer=initializer, trainable=False, name=name
        )

    def find(self, means: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """Take those of some posteriors.

        Args:
            means: `[N, dim]`, one at least.
            scale: The one scale of the posteriors, `[dim]`.

        Returns:
            Which coordinates say something, bool `[dim]`, one at least.
        """
        means, scale = (tf.cast(of, tf.float64) for of in (means, scale))
        center = tf.reduce_mean(means, axis=0)
        units = (means - center) / scale
        squares = tf.matmul(units, units, transpose_a=True)
        variance, axes = tf.linalg.eigh(squares / len(units))
        variance, axes = variance[::-1], axes[:, ::-1]  # The largest first.
        variance = tf.maximum(variance, 0)
        spread = tf.sqrt(1 + variance)
        used = (variance >= LEAST_SPREAD**2) | (tf.range(self.dim) == 0)
        if tf.reduce_all(used):  # A flow does no better along others.
            center, scale = tf.zeros_like(center), tf.ones_like(scale)
            spread, axes = scale, tf.eye(self.dim, dtype=axes.dtype)
        found = (
            (self._center, center),
            (self._axes, axes / scale[:, tf.newaxis] / spread),
            (self._back, tf.transpose(axes * spread) * scale),
            (self._log_det, -tf.reduce_sum(tf.math.log(scale * spread))),
        )
        for variable, value in found:
            variable.assign(tf.cast(value, variable.dtype))
        return used

    def forward(self, style: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """To coordinates.

        Args:
            style: `[N, dim]`.

        Returns:
            `(u, log_det)`: `[N, dim]`, and log |det du/dstyle|, a scalar.
        """
        u = tf.matmul(style - self._center, self._axes)
        return u, tf.convert_to_tensor(self._log_det)

    def inverse(self, u: tf.Tensor) -> tf.Tensor:
        """From coordinates, each `[N, dim]`; the inverse of `forward`."""
        return tf.matmul(u, self._back) + self._center

    def posterior(self, style: tfd.Normal) -> tfd.Normal:
        """Posteriors in coordinates, of which none varies with another.

        Args:
            style: Of the one scale, batch shape `[N, dim]`.
        """
        loc, _ = self.forward(style.loc)
        variance = tf.matmul(tf.square(style.scale), tf.square(self._axes))
        return tfd.Normal(loc, tf.sqrt(variance))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "dim": self.dim}

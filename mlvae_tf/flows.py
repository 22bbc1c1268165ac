"""An invertible map that takes out of a style what the content tells of it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from mlvae_tf.errors import InputError

MAX_LOG_STRETCH = 5.0  # Of all couplings together.
MAX_PROTOTYPES = 256
HIDDEN = 2  # Layers of a coupling.
_LEAST_DEVIATION = 1e-3
_FAR = 1e6  # Where no condition is, nor a prototype.


def _near(condition: tf.Tensor, prototypes: tf.Tensor) -> tf.Tensor:
    scores = tf.matmul(
        condition, prototypes, transpose_b=True
    ) - 0.5 * tf.reduce_sum(tf.square(prototypes), axis=-1)
    return tf.matmul(tf.nn.softmax(scores), prototypes)


@keras.saving.register_keras_serializable("mlvae_tf")
class ConditionalFlow(layers.Layer):
    """A normalizing flow between u and z, given a condition c.

    Coupling layers, each after a fixed permutation: the first half of the
    values, with the condition, says how the second half is shifted and
    stretched.

        u_1 -> u_1
        u_2 -> u_2 exp(a(u_1, c)) + b(u_1, c)

    All together stretch by e^`MAX_LOG_STRETCH` at most: what a flow has not
    seen may not end up anywhere.

    With `negative_log_likelihood` as its loss it learns the density of u given
    c: then z has one normal distribution whatever the condition, which is to
    say that z knows nothing of c. Nothing is lost, since the map is
    invertible. A new flow is the identity. `adapt` has it read conditions as
    multiples of their deviations from their mean; `remember` and `near` replace
    conditions by those of some prototypes; `use` has it read and change some
    dimensions of u only.

    Args:
        dim: Dimensions of u and z.
        condition_dim: Dimensions of c; several where it is made of as many
            parts, each with prototypes of its own.
        num_layers: Coupling layers.
        units: Units of the `HIDDEN` layers of each.
        **kwargs: Arguments of `keras.layers.Layer`.

    References:
        Dinh, Sohl-Dickstein, Bengio 2017, Density estimation using Real NVP
        (arXiv 1605.08803), section 3.
    """

    def __init__(
        self,
        dim: int,
        condition_dim: int | tuple[int, ...],
        num_layers: int = 10,
        units: int = 128,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.condition_dims = tuple(np.atleast_1d(condition_dim).tolist())
        if min(dim, *self.condition_dims, num_layers, units) < 1:
            raise InputError(
                "dim, condition_dim, num_layers and units must be at least 1: "
                f"got {dim}, {condition_dim}, {num_layers} and {units}."
            )
        self.dim, self.condition_dim = dim, sum(self.condition_dims)
        self.num_layers, self.units = num_layers, units
        generator = np.random.default_rng(0)
        self._orders = [generator.permutation(dim) for _ in range(num_layers)]
        # Where each permutation leads, so that the last can take it back.
        self._places, place = [], np.arange(dim)
        for order in self._orders:
            place = place[order]
            self._places.append(place)
        self._last, self._first = np.argsort(place), place
        self._kept = dim // 2
        self._couplings = [self._coupling() for _ in range(num_layers)]
        self._mean = self._state("mean", "zeros", self.condition_dim)
        self._deviation = self._state("deviation", "ones", self.condition_dim)
        self._prototypes = self._state(
            "prototypes", "zeros", MAX_PROTOTYPES, self.condition_dim
        )
        self.shrink = self._state("shrink", "ones", dim)
        self.used = self._state("used", "ones", dim)
        self.built = True

    def _state(self, name: str, initializer: str, *shape: int) -> Any:
        """What is found without a gradient, and saved with the weights."""
        return self.add_weight(
            shape=shape, initializer=initializer, trainable=False, name=name
        )

    def remember(self, *prototypes: tf.Tensor) -> None:
        """Say which conditions `near` leads to.

        Args:
            *prototypes: Of every part of a condition, `[P, dim]`, at most
                `MAX_PROTOTYPES`.
        """
        padded = [
            tf.pad(
                part,
                [[0, MAX_PROTOTYPES - len(part)], [0, 0]],
                constant_values=_FAR,
            )
            for part in prototypes
        ]
        self._prototypes.assign(tf.concat(padded, axis=-1))

    def use(self, used: tf.Tensor) -> None:
        """Say which dimensions are read and changed, bool `[dim]`."""
        self.used.assign(tf.cast(used, self.used.dtype))

    def near(self, condition: tf.Tensor) -> tf.Tensor:
        """The mean of the prototypes that a condition is near, `[N, dim]`.

        Each counts as a normal of scale one around it does:

            sum_p softmax_p(-|c - p|^2 / 2) p
        """
        prototypes = tf.convert_to_tensor(self._prototypes)
        dims = self.condition_dims
        parts = [
            _near(*pair)
            for pair in zip(
                tf.split(condition, dims, axis=-1),
                tf.split(prototypes, dims, axis=-1),
                strict=True,
            )
        ]
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)

    def adapt(self, conditions: tf.Tensor) -> tf.Tensor:
        """Say what conditions there are, `[N, condition_dim]`.

        Returns:
            Their standard deviations.
        """
        mean, variance = tf.nn.moments(conditions, axes=[0])
        self._mean.assign(mean)
        # A dimension that is the same everywhere says nothing.
        self._deviation.assign(tf.sqrt(variance) + _LEAST_DEVIATION)
        return tf.convert_to_tensor(self._deviation)

    @property
    def variables_to_fit(self) -> list[keras.Variable]:
        """The weights of the couplings, trainable or not."""
        return [v for part in self._couplings for v in part.weights]

    def _coupling(self) -> keras.Sequential:
        policy = self.dtype_policy
        inputs = self._kept + self.condition_dim
        changed = self.dim - self._kept
        return keras.Sequential(
            [
                keras.Input((inputs,), dtype=policy.compute_dtype),
                *(
                    layers.Dense(self.units, "relu", dtype=policy)
                    for _ in range(HIDDEN)
                ),
                layers.Dense(
                    2 * changed, kernel_initializer="zeros", dtype=policy
                ),
            ]
        )

    def _shift_and_log_stretch(
        self,
        number: int,
        kept: tf.Tensor,
        condition: tf.Tensor,
        dropout: tf.Tensor | None = None,
    ) -> list[tf.Tensor]:
        """What the coupling of this number does to the second half."""
        changed = self._places[number][self._kept :]
        used = tf.gather(self.used, np.tile(changed, 2))
        values = tf.concat([kept, condition], axis=-1)
        for place, layer in enumerate(self._couplings[number].layers):
            values = layer(values)
            if dropout is not None and place < HIDDEN:
                values *= dropout[number, place]
        both = values * used
        shift, raw = tf.split(both, 2, axis=-1)
        bound = MAX_LOG_STRETCH / self.num_layers
        return [shift, bound * tf.tanh(raw / bound)]

    def _halves(self, values: tf.Tensor) -> list[tf.Tensor]:
        """What a coupling reads, and what it changes."""
        return tf.split(values, [self._kept, self.dim - self._kept], axis=-1)

    def forward(
        self,
        u: tf.Tensor,
        condition: tf.Tensor,
        dropout: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """From u to z.

        Args:
            u: `[N, dim]`.
            condition: `[N, condition_dim]`.
            dropout: While it learns, factors of the couplings' hidden values,
                `[num_layers, HIDDEN, N, units]`.

        Returns:
            `(z, log_det)`: `[N, dim]`, and log |det dz/du|, `[N]`.
        """
        condition = (condition - self._mean) / self._deviation
        read = u * self.used
        unused, u = u - read, read
        log_det = tf.zeros_like(u[:, 0])
        for number, order in enumerate(self._orders):
            kept, changed = self._halves(tf.gather(u, order, axis=-1))
            shift, log_stretch = self._shift_and_log_stretch(
                number, kept, condition, dropout
            )
            changed = changed * tf.exp(log_stretch) + shift
            log_det += tf.reduce_sum(log_stretch, axis=-1)
            u = tf.concat([kept, changed], axis=-1)
        return tf.gather(u, self._last, axis=-1) + unused, log_det

    def inverse(self, z: tf.Tensor, condition: tf.Tensor) -> tf.Tensor:
        """From z to u, each `[N, dim]`; the inverse of `forward`."""
        condition = (condition - self._mean) / self._deviation
        read = z * self.used
        unused = z - read
        z = tf.gather(read, self._first, axis=-1)
        for number, order in reversed(list(enumerate(self._orders))):
            kept, changed = self._halves(z)
            shift, log_stretch = self._shift_and_log_stretch(
                number, kept, condition
            )
            changed = (changed - shift) * tf.exp(-log_stretch)
            z = tf.concat([kept, changed], axis=-1)
            z = tf.gather(z, np.argsort(order), axis=-1)
        return z + unused

    def negative_log_likelihood(
        self,
        u: tf.Tensor,
        condition: tf.Tensor,
        scale: tf.Tensor | float = 1.0,
        dropout: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """-log p(u | c) where z is normal, nats.

        Args:
            u: `[N, dim]`.
            condition: `[N, condition_dim]`.
            scale: Standard deviations of z, `[dim]`; its mean is zero.
            dropout: As for `forward`.

        Returns:
            `[N]`.
        """
        z, log_det = self.forward(u, condition, dropout)
        scale = tf.ones_like(z) * scale
        log_normal = -0.5 * (
            tf.square(z / scale) + np.log(2 * np.pi)
        ) - tf.math.log(scale)
        return -tf.reduce_sum(log_normal, axis=-1) - log_det

    def fit_scale(
        self, u: tf.Tensor, condition: tf.Tensor, scale: tf.Tensor
    ) -> None:
        """Find the one scale of z that is best in the place of one of u.

        Among normals of one scale around z the mean of KL(q || .) to where
        N(u, scale^2) goes, the divergence that an ELBO has, is least where the
        precision is the mean curvature of the energy of u, the map taken as
        linear around each z:

            1 / scale_z,k^2 = E sum_d (du_d / dz_k)^2 / scale_d^2

        `shrink` becomes the ratio of the two scales.

        Args:
            u: `[N, dim]`, one at least.
            condition: `[N, condition_dim]`.
            scale: `[dim]`.

        References:
            Opper and Archambeau 2009, The Variational Gaussian Approximation
            Revisited (Neural Computation 21), section 2.
        """
        z, _ = self.forward(u, condition)
        with tf.GradientTape() as tape:
            tape.watch(z)
            back = self.inverse(z, condition)
        jacobian = tape.batch_jacobian(back, z) / scale[:, tf.newaxis]
        curvature = tf.reduce_sum(tf.square(jacobian), axis=1)
        precision = tf.reduce_mean(curvature, axis=0)
        self.shrink.assign(tf.math.rsqrt(precision) / scale)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dim": self.dim,
            "condition_dim": self.condition_dims,
            "num_layers": self.num_layers,
            "units": self.units,
        }

"""What a likelihood owns."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

Shape = tuple[int, ...]
INFINITY = float("inf")
register = keras.saving.register_keras_serializable("mlvae_tf")


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """Independent real values, each with its own distribution.

    The base class takes any finite number. Its methods work on NumPy arrays
    and on tensors, also within a graph.
    """

    @property
    def support(self) -> str:
        """The values that it takes, in words."""
        return "finite numbers"

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """The least value that it takes and the greatest; None for no bound."""
        return None, None

    @property
    def advice(self) -> str:
        """What to do with others."""
        return "Remove or repair those observations"

    def advice_for(self, low: Any, high: Any) -> Any:
        """What to do with values that reach from `low` to `high`."""
        del low, high
        return self.advice

    def doubt(self, values: np.ndarray) -> str | None:
        """Why such values, although valid, may train to nothing of use."""
        del values
        return None

    @property
    def num_parameters(self) -> int:
        """Numbers of the decoder's output per value."""
        return 1

    def values(self, observations: Any) -> tf.Tensor:
        """What 8-bit images stand for, float32: here their share of 255.

        Args:
            observations: uint8, or values already, which stay as they are.
        """
        values = tf.cast(observations, tf.float32)
        return values / 255 if observations.dtype == np.uint8 else values

    def valid(self, values: Any) -> Any:
        """Which values it takes, bool of the same shape."""
        return abs(values) < INFINITY

    def known(self, values: tf.Tensor) -> tf.Tensor | None:
        """Which observations say anything, bool `[N]`; None for all."""
        del values
        return None

    def encoded_shape(self, observation_shape: Shape) -> Shape:
        """The shape of what the encoder reads of one observation."""
        return observation_shape

    def encoded(self, values: tf.Tensor) -> tf.Tensor:
        """What the encoder reads, `[N, *encoded_shape]`."""
        return values

    def parameter_shape(self, observation_shape: Shape) -> Shape:
        """The shape of the decoder's output for one observation."""
        *axes, channels = observation_shape
        return (*axes, channels * self.num_parameters)

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        """The distribution of every value.

        Args:
            parameters: The decoder's output, `[N, *parameter_shape]`.

        Returns:
            Batch shape `[N, *observation_shape]`, scalar event shape.
        """
        raise NotImplementedError

    def log_prob(self, parameters: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """log p of every value, nats, `[N, *observation_shape]`."""
        return self.distribution(parameters).log_prob(values)

    def of_observations(self, parameters: tf.Tensor) -> tfd.Independent:
        """The distribution of whole observations, batch shape `[N]`."""
        distribution = self.distribution(parameters)
        return tfd.Independent(distribution, distribution.batch_shape.rank - 1)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return dataclasses.asdict(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Likelihood:
        """The likelihood with these arguments."""
        return cls(**config)

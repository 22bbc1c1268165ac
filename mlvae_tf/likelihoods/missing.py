"""Values that are not known."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf.likelihoods.base import Likelihood, Shape, register


@register
@dataclasses.dataclass(frozen=True)
class WithMissing(Likelihood):
    """A likelihood where NaN stands for a value that is not known.

    Such values say nothing: their log p is 0. The encoder reads zeros in their
    place and, in further channels, which values are known.

    Args:
        likelihood: Of the values that are known; it must take 0.
    """

    likelihood: Likelihood

    @property
    def support(self) -> str:
        return f"{self.likelihood.support}, or NaN"

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        return self.likelihood.bounds

    @property
    def advice(self) -> str:
        return self.likelihood.advice

    def advice_for(self, low: Any, high: Any) -> Any:
        return self.likelihood.advice_for(low, high)

    def doubt(self, values: np.ndarray) -> str | None:
        return self.likelihood.doubt(values)

    @property
    def num_parameters(self) -> int:
        return self.likelihood.num_parameters

    def _filled(self, values: Any) -> tuple[Any, Any]:
        """Which values are known, and the values with 0 for the others."""
        known = values == values
        return known, tf.where(known, values, 0)

    def values(self, observations: Any) -> tf.Tensor:
        return self.likelihood.values(observations)

    def valid(self, values: Any) -> Any:
        return self.likelihood.valid(values) | (values != values)

    def known(self, values: tf.Tensor) -> tf.Tensor:
        known, _ = self._filled(values)
        return tf.reduce_any(known, axis=range(1, len(values.shape)))

    def encoded_shape(self, observation_shape: Shape) -> Shape:
        *axes, channels = self.likelihood.encoded_shape(observation_shape)
        return (*axes, channels + observation_shape[-1])

    def encoded(self, values: tf.Tensor) -> tf.Tensor:
        known, filled = self._filled(values)
        encoded = self.likelihood.encoded(filled)
        mask = tf.cast(known, encoded.dtype)
        copies = encoded.shape[-1] // mask.shape[-1]
        shown = encoded * tf.repeat(mask, copies, axis=-1)
        return tf.concat([shown, mask], axis=-1)

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        return self.likelihood.distribution(parameters)

    def log_prob(self, parameters: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        # Filled before and masked after: a NaN within, though it is masked,
        # would make the gradient NaN.
        known, filled = self._filled(values)
        return tf.where(known, self.likelihood.log_prob(parameters, filled), 0)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {"likelihood": serialize(self.likelihood)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WithMissing:
        deserialize = keras.saving.deserialize_keras_object
        return cls(deserialize(config["likelihood"]))

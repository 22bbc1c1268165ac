"""The likelihood of classes."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods.base import Likelihood, Shape, register


class _NumberedCategorical(tfd.Categorical):
    """TFP's, of float values; its mean is that of the classes' numbers."""

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        logits = tf.convert_to_tensor(self.logits)
        chosen = tf.one_hot(
            tf.cast(event, tf.int32), logits.shape[-1], dtype=logits.dtype
        )
        return tf.reduce_sum(chosen * tf.nn.log_softmax(logits), axis=-1)

    def _mean(self) -> tf.Tensor:
        probabilities = self.probs_parameter()
        classes = tf.range(probabilities.shape[-1])
        return tf.linalg.matvec(
            probabilities, tf.cast(classes, probabilities.dtype)
        )


@register
@dataclasses.dataclass(frozen=True)
class Categorical(Likelihood):
    """Classes, numbered from 0, with the decoder's output as logits.

    The encoder reads them one-hot. The mean is that of the numbers, which says
    something where the classes are in order, such as levels of grey.

    Args:
        classes: How many there are, at least 2.
    """

    classes: int

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise InputError(f"classes must be at least 2: got {self.classes}.")

    @property
    def support(self) -> str:
        return f"whole numbers from 0 to {self.classes - 1}, classes"

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        return 0, self.classes - 1

    advice = "Number the classes from 0, or pass more of them"

    @property
    def num_parameters(self) -> int:
        return self.classes

    def values(self, observations: Any) -> tf.Tensor:
        return tf.cast(observations, tf.float32)

    def valid(self, values: Any) -> Any:
        return (values >= 0) & (values < self.classes) & (values % 1 == 0)

    def encoded_shape(self, observation_shape: Shape) -> Shape:
        return self.parameter_shape(observation_shape)

    def encoded(self, values: tf.Tensor) -> tf.Tensor:
        chosen = tf.one_hot(
            tf.cast(values, tf.int32), self.classes, dtype=values.dtype
        )
        *axes, channels, classes = chosen.shape[1:]
        return tf.reshape(chosen, (-1, *axes, channels * classes))

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        *axes, size = parameters.shape[1:]
        shape = (-1, *axes, size // self.classes, self.classes)
        return _NumberedCategorical(
            logits=tf.reshape(parameters, shape), dtype=parameters.dtype
        )

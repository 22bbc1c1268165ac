"""Likelihoods of real values."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods.base import INFINITY, Likelihood, register


class _ExpectedLogBernoulli(tfd.Bernoulli):
    """TFP's, whose `log_prob` takes one softplus in the place of two."""

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        logits = tf.convert_to_tensor(self.logits)
        event = tf.cast(event, logits.dtype)
        return event * logits - tf.math.softplus(logits)


@register
@dataclasses.dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Bernoulli with the decoder's output as logits, for values in [0, 1].

    Grey values between 0 and 1 are taken as probabilities of a black pixel:
    `log_prob` is then their expected log likelihood, the usual cross-entropy.
    """

    support = "numbers in [0, 1] for the Bernoulli likelihood"
    advice = "Divide 8-bit images by 255"

    def valid(self, values: Any) -> Any:
        return (values >= 0) & (values <= 1)

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        return _ExpectedLogBernoulli(logits=parameters, dtype=parameters.dtype)


@register
@dataclasses.dataclass(frozen=True)
class Normal(Likelihood):
    """Normal with the decoder's output as means and one fixed scale.

    Args:
        scale: The standard deviation of every value, positive.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale < INFINITY:
            raise InputError(
                "scale (observation_scale of MLVAE) must be positive: got "
                f"{self.scale}."
            )

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        scale = tf.constant(self.scale, parameters.dtype)
        return tfd.Normal(parameters, scale)


@register
@dataclasses.dataclass(frozen=True)
class NormalLearnedScale(Likelihood):
    """Normal with a mean and a variance of its own for every value.

    The log-variance is squashed by tanh, so that the variance lies between
    e^-1 and e, as in the paper's MNIST setting.
    """

    num_parameters = 2

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        loc, log_variance = tf.split(parameters, 2, axis=-1)
        return tfd.Normal(loc, tf.exp(0.5 * tf.tanh(log_variance)))

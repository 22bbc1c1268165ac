"""Likelihoods p(x | c, s): TFP distributions over one observation.

Each takes the decoder's output, whose last axis holds `num_parameters` values
a channel, and gives a distribution with the observation as event shape, so that
`log_prob` is a sum over pixels and channels, in nats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def _over_observation(distribution: tfd.Distribution) -> tfd.Independent:
    """Make every axis but the first part of the event."""
    event_ndims = distribution.batch_shape.rank - 1
    return tfd.Independent(distribution, event_ndims)


class _Bernoulli(tfd.Bernoulli):
    """TFP's, whose `log_prob` takes one softplus in the place of two."""

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        logits = tf.convert_to_tensor(self.logits)
        event = tf.cast(event, logits.dtype)
        return event * logits - tf.math.softplus(logits)


def bernoulli(parameters: tf.Tensor, scale: float) -> tfd.Independent:
    """Bernoulli with the outputs as logits, for values in [0, 1].

    Grey values between 0 and 1 are taken as probabilities of a black pixel:
    `log_prob` is then their expected log likelihood, the usual cross-entropy.
    """
    del scale
    return _over_observation(
        _Bernoulli(logits=parameters, dtype=parameters.dtype)
    )


def normal(parameters: tf.Tensor, scale: float) -> tfd.Independent:
    """Normal with the outputs as means and one fixed scale."""
    return _over_observation(
        tfd.Normal(parameters, tf.constant(scale, parameters.dtype))
    )


def normal_learned_scale(
    parameters: tf.Tensor, scale: float
) -> tfd.Independent:
    """Normal with a mean and a variance of its own for every value.

    The log-variance is squashed by tanh, so that the variance lies between
    e^-1 and e, as in the paper's MNIST setting.
    """
    del scale
    loc, log_variance = tf.split(parameters, 2, axis=-1)
    return _over_observation(
        tfd.Normal(loc, tf.exp(0.5 * tf.tanh(log_variance)))
    )


class Likelihood(NamedTuple):
    """A likelihood and the number of decoder outputs that it takes a value."""

    num_parameters: int
    distribution: Callable[[tf.Tensor, float], tfd.Independent]


LIKELIHOODS = {
    "bernoulli": Likelihood(1, bernoulli),
    "normal": Likelihood(1, normal),
    "normal_learned_scale": Likelihood(2, normal_learned_scale),
}

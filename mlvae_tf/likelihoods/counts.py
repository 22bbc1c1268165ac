"""Likelihoods of counts."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf.likelihoods.base import INFINITY, Likelihood, register


class _Counts(Likelihood):
    """Counts: the encoder reads their log1p; 8-bit images are counts."""

    support = "whole numbers from 0 on, counts"
    bounds = 0, None
    advice = "Pass the counts themselves, neither scaled nor transformed"

    def values(self, observations: Any) -> tf.Tensor:
        return tf.cast(observations, tf.float32)

    def valid(self, values: Any) -> Any:
        return (values >= 0) & (values < INFINITY) & (values % 1 == 0)

    def encoded(self, values: tf.Tensor) -> tf.Tensor:
        return tf.math.log1p(values)


@register
@dataclasses.dataclass(frozen=True)
class Poisson(_Counts):
    """Poisson counts with the decoder's output as log rates.

        log p(x) = x a - exp(a) - log x!

    References:
        Lopez, Regier, Cole, Jordan, Yosef 2018, Deep generative modeling for
        single-cell transcriptomics (Nature Methods 15), for counts and what
        the encoder reads of them.
    """

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        return tfd.Poisson(log_rate=parameters)


@register
@dataclasses.dataclass(frozen=True)
class NegativeBinomial(_Counts):
    """Counts that vary more than Poisson's: variance m + m^2 / r.

    The decoder's output holds, per value, log m of the mean and log r of the
    inverse dispersion:

        log p(x) = log G(x + r) - log G(r) - log x!
                   + r log (r / (r + m)) + x log (m / (r + m))

    References:
        Lopez et al. 2018 (Nature Methods 15), "Methods".
    """

    num_parameters = 2

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        log_mean, log_inverse_dispersion = tf.split(parameters, 2, axis=-1)
        return tfd.NegativeBinomial(
            total_count=tf.exp(log_inverse_dispersion),
            logits=log_mean - log_inverse_dispersion,
            require_integer_total_count=False,
        )

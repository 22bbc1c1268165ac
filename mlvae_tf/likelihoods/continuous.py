"""Likelihoods of real values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods.base import INFINITY, Likelihood, Shape, register

_SIXTEEN_BITS = "Divide 16-bit images by 65535, or by the largest there can be"
_FAR = 100  # Times a likelihood's scale: of values that it fits badly.


class _ExpectedLogBernoulli(tfd.Bernoulli):
    """TFP's, whose `log_prob` takes one softplus in the place of two."""

    # TFP also guards products of zero with infinity. A step of 1,024 images
    # takes 30 ms in the place of 32.
    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        logits = tf.convert_to_tensor(self.logits)
        event = tf.cast(event, logits.dtype)
        return event * logits - tf.math.softplus(logits)


def _doubt(values: np.ndarray, scale: float, instead: str) -> str | None:
    """What to say where values and a likelihood's scale are far apart."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return None
    spread, size = float(finite.std()), float(np.sqrt(np.mean(finite**2)))
    if size <= _FAR * scale and spread * _FAR >= scale:
        return None
    return (
        f"observations have mean {finite.mean():.3g} and standard deviation "
        f"{spread:.3g}, where the likelihood's scale is {scale:g}: the model "
        "will see little but their "
        + ("size. " if size > _FAR * scale else "noise. ")
        + "Standardize them (subtract the mean, divide by the deviation), or "
        f"pass {instead.format(max(spread, 1e-6))}."
    )


@register
@dataclasses.dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Bernoulli with the decoder's output as logits, for values in [0, 1].

    Grey values between 0 and 1 are taken as probabilities of a black pixel:
    `log_prob` is then their expected log likelihood, the usual cross-entropy.
    """

    support = "numbers in [0, 1] for the Bernoulli likelihood"
    bounds = 0, 1
    advice = (
        "Scale them to [0, 1], or take a likelihood of any real values: "
        "--likelihood=normal, likelihood='normal'"
    )

    def advice_for(self, low: Any, high: Any) -> Any:
        as_bits = {255: "Divide 8-bit images by 255", 65535: _SIXTEEN_BITS}
        advice: Any = self.advice
        for largest in sorted(as_bits, reverse=True):
            fits = (low >= 0) & (high <= largest)
            advice = tf.where(fits, as_bits[largest], advice)
        return advice

    def valid(self, values: Any) -> Any:
        return (values >= 0) & (values <= 1)

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        return _ExpectedLogBernoulli(logits=parameters, dtype=parameters.dtype)


@register
@dataclasses.dataclass(frozen=True)
class Normal(Likelihood):
    """Normal with the decoder's output as means and one fixed scale.

    Networks read and draw values as multiples of a unit from a center, so that
    channels of any size are alike to them.

    Args:
        scale: The standard deviation of every value in units, positive.
        center: One number, or one for every channel.
        unit: Likewise, positive.
    """

    scale: float = 1.0
    center: tuple[float, ...] = (0.0,)
    unit: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name in ("center", "unit"):  # JSON has lists.
            numbers = tuple(np.atleast_1d(getattr(self, name)).tolist())
            object.__setattr__(self, name, numbers)
        least = np.finfo(np.float32).tiny
        good = all(np.isfinite(self.center)) and all(
            least <= number < INFINITY for number in self.unit
        )
        if not good or len({len(self.center), len(self.unit)} - {1}) > 1:
            raise InputError(
                "center (observation_center) must be finite numbers and unit "
                "(observation_unit) positive ones, one or as many as channels: "
                f"got {self.center} and {self.unit}."
            )
        if not 0 < self.scale < INFINITY:
            raise InputError(
                "scale (observation_scale of MLVAE) must be positive: got "
                f"{self.scale}."
            )

    def parameter_shape(self, observation_shape: Shape) -> Shape:
        if {len(self.center), len(self.unit)} - {1, observation_shape[-1]}:
            raise InputError(
                "center and unit (observation_center, observation_unit) must "
                "be one number or one for every channel, of which there are "
                f"{observation_shape[-1]}: got {len(self.center)} and "
                f"{len(self.unit)}."
            )
        return super().parameter_shape(observation_shape)

    @property
    def _is_plain(self) -> bool:
        return set(self.center) == {0.0} and set(self.unit) == {1.0}

    def encoded(self, values: tf.Tensor) -> tf.Tensor:
        if self._is_plain:
            return values
        center, unit = (
            tf.constant(part, values.dtype) for part in (self.center, self.unit)
        )
        return (values - center) / unit

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        scale = tf.constant(self.scale, parameters.dtype)
        if self._is_plain:
            return tfd.Normal(parameters, scale)
        center, unit = (
            tf.constant(part, parameters.dtype)
            for part in (self.center, self.unit)
        )
        return tfd.Normal(center + unit * parameters, scale * unit)

    def doubt(self, values: np.ndarray) -> str | None:
        return _doubt(
            (values - np.array(self.center)) / np.array(self.unit),
            self.scale,
            "--observation_scale={:.2g} (observation_scale of MLVAE)",
        )


@register
@dataclasses.dataclass(frozen=True)
class NormalLearnedScale(Likelihood):
    """Normal with a mean and a variance of its own for every value.

    The log-variance is squashed by tanh, so that the variance lies between
    e^-1 and e, as in the paper's MNIST setting.
    """

    num_parameters = 2

    def doubt(self, values: np.ndarray) -> str | None:
        return _doubt(values, 1.0, "--likelihood=normal with its scale")

    def distribution(self, parameters: tf.Tensor) -> tfd.Distribution:
        loc, log_variance = tf.split(parameters, 2, axis=-1)
        return tfd.Normal(loc, tf.exp(0.5 * tf.tanh(log_variance)))

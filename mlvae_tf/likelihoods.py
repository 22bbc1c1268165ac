"""Likelihoods p(x | latents): all about the values of observations.

A likelihood says which values it takes, how 8-bit images become such values,
what the encoder reads of them, how many parameters a value has, and how likely
a value is given its parameters. It has no weights: the parameters are the
decoder's output, whose last axis holds `num_parameters` numbers per channel.

Another likelihood is one class, registered with Keras so that models are saved
with it:

    @keras.saving.register_keras_serializable()
    @dataclasses.dataclass(frozen=True)
    class Laplace(mlvae_tf.likelihoods.Likelihood):
        def distribution(self, parameters):
            return tfd.Laplace(parameters, tf.ones_like(parameters))
"""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf.errors import InputError

Shape = tuple[int, ...]
INFINITY = float("inf")

_register = keras.saving.register_keras_serializable("mlvae_tf")


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
    def advice(self) -> str:
        """What to do with others."""
        return "Remove or repair those observations"

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


class _ExpectedLogBernoulli(tfd.Bernoulli):
    """TFP's, whose `log_prob` takes one softplus in the place of two."""

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        logits = tf.convert_to_tensor(self.logits)
        event = tf.cast(event, logits.dtype)
        return event * logits - tf.math.softplus(logits)


@_register
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


@_register
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


@_register
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


class _Counts(Likelihood):
    """Counts: the encoder reads their log1p; 8-bit images are counts."""

    support = "whole numbers from 0 on, counts"
    advice = "Pass the counts themselves, neither scaled nor transformed"

    def values(self, observations: Any) -> tf.Tensor:
        return tf.cast(observations, tf.float32)

    def valid(self, values: Any) -> Any:
        return (values >= 0) & (values < INFINITY) & (values % 1 == 0)

    def encoded(self, values: tf.Tensor) -> tf.Tensor:
        return tf.math.log1p(values)


@_register
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


@_register
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


@_register
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


@_register
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
    def advice(self) -> str:
        return self.likelihood.advice

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


NAMES: dict[str, type[Likelihood]] = {
    "bernoulli": Bernoulli,
    "normal": Normal,
    "normal_learned_scale": NormalLearnedScale,
    "poisson": Poisson,
    "negative_binomial": NegativeBinomial,
    "categorical": Categorical,
}


def get(identifier: str | Likelihood, **arguments: Any) -> Likelihood:
    """A likelihood by its name.

    Args:
        identifier: One of `NAMES`, or a likelihood, which is returned.
        **arguments: Of the class, where it has such; None for none.

    Raises:
        InputError: For an unknown name, or where an argument is lacking.
    """
    if isinstance(identifier, Likelihood):
        return identifier
    if identifier not in NAMES:
        known = ", ".join(map(repr, NAMES))
        raise InputError(
            f"likelihood must be one of {known}, or an object of "
            f"mlvae_tf.likelihoods: got {identifier!r}."
        )
    kind = NAMES[identifier]
    fields = {field.name for field in dataclasses.fields(kind)}
    given = {
        name: value
        for name, value in arguments.items()
        if name in fields and value is not None
    }
    if identifier == "categorical" and "classes" not in given:
        raise InputError(
            'likelihood="categorical" needs the number of classes: pass '
            "likelihoods.Categorical(classes), or --classes."
        )
    return kind(**given)

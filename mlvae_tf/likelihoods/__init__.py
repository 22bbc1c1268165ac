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

from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods.base import Likelihood
from mlvae_tf.likelihoods.categorical import Categorical
from mlvae_tf.likelihoods.continuous import (
    Bernoulli,
    Normal,
    NormalLearnedScale,
)
from mlvae_tf.likelihoods.counts import NegativeBinomial, Poisson
from mlvae_tf.likelihoods.missing import WithMissing

__all__ = [
    "Bernoulli",
    "Categorical",
    "Likelihood",
    "NegativeBinomial",
    "Normal",
    "NormalLearnedScale",
    "Poisson",
    "WithMissing",
    "get",
]

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
        names = ", ".join(map(repr, NAMES))
        raise InputError(
            f"likelihood must be one of {names}, or an object of "
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

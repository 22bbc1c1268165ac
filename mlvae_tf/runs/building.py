"""From a configuration to a model that is ready to be trained."""

from __future__ import annotations

import dataclasses
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

import keras

from mlvae_tf import likelihoods
from mlvae_tf.data.sampling import Batching
from mlvae_tf.errors import InputError
from mlvae_tf.levels import Level, as_levels, drawn
from mlvae_tf.likelihoods import Likelihood, WithMissing
from mlvae_tf.model import MLVAE
from mlvae_tf.runs.config import Config, ModelConfig, TrainingConfig
from mlvae_tf.schedules import Warmup


def make_likelihood(config: ModelConfig) -> Likelihood:
    """All about the values of observations, as configured."""
    likelihood = likelihoods.get(
        config.likelihood or "bernoulli",
        scale=config.observation_scale,
        center=config.observation_center,
        unit=config.observation_unit,
        classes=config.classes,
    )
    return WithMissing(likelihood) if config.missing_values else likelihood


Networks = Callable[..., tuple[keras.layers.Layer, keras.layers.Layer]]


def import_networks(name: str) -> Networks:
    """The function that `--networks=module:function` names.

    Importing the module also registers its classes with Keras, without which
    no model with them could be loaded.

    Raises:
        InputError: If there is no such module or function.
    """
    module, _, function = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"--networks={name} must name a function, module:function, that "
            f"can be imported from here or is installed: {error}."
        ) from None


def make_levels(
    config: Config, kl_weight: float | Warmup = 1.0
) -> tuple[Level, ...]:
    """The levels of a configuration; none where the content is the only one.

    Args:
        config: The configuration.
        kl_weight: Of every level.
    """
    model, names = config.model, config.data.groups or ()
    if len(names) < 2:
        return ()
    levels = [
        Level(
            name,
            model.dim_of.get(name, model.content_dim or 0),
            model.accumulation,
            model.evidence_dropout,
            model.content_contrast or 0.0,
            kl_weight,
            config.data.parent_of.get(name),
        )
        for name in names
    ]
    return as_levels(levels)


def _own_networks(
    config: ModelConfig, shape: tuple[int, ...], num_latents: int
) -> dict[str, keras.layers.Layer]:
    if not config.networks:
        return {}
    likelihood = make_likelihood(config)
    pair = import_networks(config.networks)(
        likelihood.encoded_shape(shape),
        num_latents,
        likelihood.parameter_shape(shape),
    )
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise InputError(
            f"--networks={config.networks} must give an encoder and a decoder: "
            f"got {pair!r}."
        )
    return dict(zip(("encoder", "decoder"), pair, strict=True))


def model_arguments(
    config: ModelConfig,
    shape: tuple[int, ...],
    levels: tuple[Level, ...] = (),
) -> dict[str, Any]:
    """The arguments of `MLVAE` for observations of this shape."""
    fields = dataclasses.asdict(config).items()
    arguments = {name: value for name, value in fields if value is not None}
    others = "observation_center", "observation_unit", "level_dims"
    for name in ("networks", "classes", *others):
        arguments.pop(name, None)
    likelihood = make_likelihood(config)
    if isinstance(likelihood, WithMissing):
        likelihood = likelihood.likelihood
    arguments["likelihood"] = likelihood
    num_contents = config.content_dim or 0
    if levels:
        arguments["levels"] = list(levels)
        num_contents = sum(level.dim for level in drawn(levels))
    num_latents = num_contents + (config.style_dim or 0)
    return {**arguments, **_own_networks(config, shape, num_latents)}


def _check_loads(model: MLVAE, networks: str) -> None:
    """Raise `InputError` where a saved model could not be made again."""
    try:
        MLVAE.from_config(model.get_config())
    except (TypeError, ValueError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"--networks={networks}: a model with these networks could be "
            f"trained but not loaded again: {reason} Give every class of yours "
            "a get_config and @keras.saving.register_keras_serializable()."
        ) from None


def _kl_weight(start: float, end: float, steps: int) -> float | Warmup:
    return end if start == end or steps < 1 else Warmup(start, end, steps)


def _averaging(steps: float) -> dict[str, Any]:
    """The optimizer's settings of a moving average with this time constant."""
    return {"use_ema": True, "ema_momentum": 1 - 1 / steps} if steps > 1 else {}


def make_batching(training: TrainingConfig) -> Batching:
    """How a configuration batches."""
    return Batching(
        training.groups_per_batch or Batching.groups_per_batch,
        training.observations_per_group,
        training.batch_size,
    )


def make_model(
    config: Config, observation_shape: tuple[int, ...], steps: int
) -> MLVAE:
    """The compiled model of a configuration.

    Args:
        config: The configuration.
        observation_shape: Shape of one observation.
        steps: Steps of the whole training, for the schedules.
    """
    training = config.training
    keras.utils.set_random_seed(training.seed)
    warmup = round(training.kl_warmup * steps)
    of_contents = _kl_weight(
        training.content_kl_start, training.content_kl_weight, warmup
    )
    levels = make_levels(config, of_contents)
    model = MLVAE(
        observation_shape,
        **model_arguments(config.model, observation_shape, levels),
        content_kl_weight=of_contents,
        style_kl_weight=_kl_weight(
            training.style_kl_start, training.style_kl_weight, warmup
        ),
        seed=training.seed,
    )
    if config.model.networks:
        _check_loads(model, config.model.networks)
    rate = training.learning_rate
    if training.learning_rate_decay:
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(
        optimizer=keras.optimizers.Adam(
            rate, **_averaging(training.weight_averaging * steps)
        )
    )
    return model

"""The settings of the scripts, in Python."""

from __future__ import annotations

import difflib
import itertools
from typing import Any, NamedTuple

import numpy as np

from mlvae_tf import checks
from mlvae_tf.data import crossing
from mlvae_tf.data.design import Design
from mlvae_tf.data.grouped import GroupedData, of_arrays
from mlvae_tf.data.pipeline import one_epoch
from mlvae_tf.errors import InputError
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import adapting, building, several
from mlvae_tf.runs.adapting import Choice
from mlvae_tf.runs.config import Config

_OF_WORKDIRS = (
    *("init_from", "freeze", "keep", "keep_versions", "chunk_size"),
    *("mirror_groups", "evaluate_epochs"),
    *("checkpoint_seconds", "checkpoint_steps"),
)


class Prepared(NamedTuple):
    """What `prepare` makes.

    Attributes:
        model: A compiled model.
        fitting: The arguments of its `fit`: batches, and how many epochs.
        choices: What was chosen from the data, and why.
    """

    model: MLVAE
    fitting: dict[str, Any]
    choices: tuple[Choice, ...]


def prepare(
    observations: Any,
    group_ids: Any,
    seed: int = 0,
    missing_groups: str = "refuse",
    parents: dict[str, str] | None = None,
    **settings: Any,
) -> Prepared:
    """A model and its batches with what `train.py` would choose for the data.

    That is the likelihood, center, unit and scale of values that are no images,
    dimensions, networks, batches, schedules and the length of the training. The
    style's flow is fitted after `fit`, by `model.fit_style_flow`.

    Args:
        observations: `[N, ...]`, in memory: 8-bit images or any numbers.
        group_ids: `[N]`, integers or strings, in any order; of several levels
            a dict of these.
        seed: Of the weights, batches and noise.
        missing_groups: As `mlvae_tf.data.grouped_batches` takes it.
        parents: Likewise; the model has its levels within each other so.
        **settings: What not to choose: the names and values of flags of
            `train.py` for model and training, such as `content_dim=16`,
            `trunk="conv"` or `steps=1000`.

    Returns:
        `(model, fitting, choices)`.

    Raises:
        ValueError: If there is no such setting, or not one id per observation.

    Example:

    >>> model, fitting, _ = mlvae_tf.prepare(images, people)
    >>> model.fit(**fitting)
    >>> model.fit_style_flow(images, people)
    """
    config = _config(seed, settings)
    observations = _with_values(observations)
    data = of_arrays(observations, group_ids, missing_groups, parents)
    config = _with_levels(config, data, parents or {})
    several.check(config)
    choices = [adapting.values(config.model, data)]
    choices.append(adapting.sizes(config.model, data))
    sizes = adapting.group_sizes(data)
    choices.append(adapting.batching(config.training, sizes))
    for choice in choices:
        config = config.replace(choice.settings)
    adapting.check_augmented(config, observations.shape[1:])
    likelihood = building.make_likelihood(config.model)
    checks.check_stored(observations, likelihood)
    batching = building.make_batching(config.training)
    sampler = crossing.sampler(batching, data.group_indices)
    per_epoch = len(sampler)
    choices.append(adapting.length(config.training, per_epoch))
    config = config.replace(choices[-1].settings)
    epochs = config.training.length
    data = data.of_likelihood(likelihood)
    model = building.make_model(
        config, observations.shape[1:], epochs * per_epoch
    )
    model.expect_batches(sampler.largest, len(data) / per_epoch)
    augmented = config.training.augment_groups or 0.0
    dataset = one_epoch(data, batching, seed, itertools.count(), augmented)
    chosen = tuple(choice for choice in choices if choice.settings)
    fitting = {"x": dataset, "epochs": epochs, "shuffle": False}
    return Prepared(model, fitting, chosen)


def _with_values(observations: Any) -> np.ndarray:
    observations = np.asarray(observations)
    if observations.ndim < 2:
        raise InputError(
            "observations must be [N, ...], each with its values: got "
            f"{list(observations.shape)}. Pass observations[:, None] if each "
            "has one."
        )
    return observations


def _with_levels(
    config: Config, data: GroupedData, parents: dict[str, str]
) -> Config:
    """The settings with the levels of data that have several, checked."""
    if not data.others:
        return config
    within = tuple(f"{k}:{v}" for k, v in parents.items())
    config = config.replace({"groups": tuple(data.levels), "parents": within})
    ids = {name: level.groups for name, level in data.levels.items()}
    Design.of(data.group_indices, ids, config.data.parent_of).check()
    return config


def _config(seed: int, settings: dict[str, Any]) -> Config:
    config = Config()
    settable = {*vars(config.model), *vars(config.training)} - {*_OF_WORKDIRS}
    for name in settings:
        if name not in settable:
            near = difflib.get_close_matches(name, settable, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise InputError(
                f"prepare takes settings of model and training: got {name}."
                f"{hint}"
            )
    plain = {name: _plain(value) for name, value in settings.items()}
    return config.replace({**plain, "seed": seed})


def _plain(value: Any) -> Any:
    """What NumPy has as one number, and lists, as the settings have them."""
    value = (
        value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    )
    return tuple(value) if isinstance(value, list) else value

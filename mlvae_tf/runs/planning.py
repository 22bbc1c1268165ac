"""From a configuration to what is to be trained: data, and what they choose."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import warnings
from typing import NamedTuple

import numpy as np

from mlvae_tf import checks
from mlvae_tf.data import config as data_config
from mlvae_tf.data import crossing, loading
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation.tables import Table
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import adapting, building, several, starting, workdir
from mlvae_tf.runs import config as config_module
from mlvae_tf.runs.building import make_batching
from mlvae_tf.runs.config import Config, TrainingConfig

# What may differ between a run and its continuation.
_FREE = {
    "epochs",
    "steps",
    "evaluate_epochs",
    "checkpoint_seconds",
    "checkpoint_steps",
    "keep_checkpoints",
    "keep_versions",
    "profile",
    "max_bad_steps",
    "memory_gb",
    "chunk_size",  # Of no effect but on rounding.
}
SCALED_OBSERVATIONS = 1000  # Whose values are set against the likelihood's.


class Plan(NamedTuple):
    """What a training will be.

    Attributes:
        config: The whole configuration, with what was chosen.
        loaded: The data.
        splits: What is learned from: with mirrored groups, more.
        per_epoch: Steps of an epoch.
    """

    config: Config
    loaded: Splits
    splits: Splits
    per_epoch: int


def plan(config: Config, folder: pathlib.Path, resume: bool = False) -> Plan:
    """Read the data, and choose from them what no flag says."""
    config, loaded = _settle(config, folder, resume)
    splits = _as_learned(loaded, config.training)
    sizes = adapting.group_sizes(splits.train)
    config = adapting.apply(config, adapting.batching(config.training, sizes))
    per_epoch = _steps_per_epoch(splits.train, config.training)
    config = adapting.apply(config, adapting.length(config.training, per_epoch))
    return Plan(config, loaded, splits, per_epoch)


def describe(config: Config) -> Table:
    """What a training would be, of which nothing is written: a table.

    Args:
        config: The whole configuration.
    """
    config, _, splits, per_epoch = plan(config, pathlib.Path())
    training, train = config.training, splits.train
    steps = per_epoch * training.length
    model = make_model(config, splits, steps)
    sampler = crossing.sampler(make_batching(training), train.group_indices)
    networks = {
        "encoder": model.encoder.trainable_weights,
        "decoder": model.decoder.trainable_weights,
    }
    within = {id(weight) for of in networks.values() for weight in of}
    networks["heads, spreads and flow"] = [
        weight for weight in model.weights if id(weight) not in within
    ]
    levels = {level.name: level.dim for level in (*model.levels, model.style)}
    rows = [
        ["observations", f"{len(train)} of shape {model.observation_shape}"],
        ["likelihood", type(model.codec.likelihood).__name__],
        *([f"{name}, dimensions", str(dim)] for name, dim in levels.items()),
        ["batches", f"of up to {sampler.largest} observations"],
        ["steps", f"{training.length} epochs of {per_epoch}: {steps}"],
        *(
            [f"parameters, {name}", f"{sum(math.prod(w.shape) for w in of):,}"]
            for name, of in networks.items()
        ),
    ]
    return [["what would be trained", ""], *rows]


def training_groups(data: GroupedData, training: TrainingConfig) -> GroupedData:
    """What the model learns from: with `mirror_groups` twice the groups."""
    return data.with_mirrored_groups() if training.mirror_groups else data


def check_continues(config: Config, before: Config) -> None:
    """Raise `InputError` where a run can't be continued with other settings."""
    old, new = before.flat(), config.flat()
    changed = [
        f"--{name}={new[name]} (was {old[name]})"
        for name in old
        if name not in _FREE and old[name] != new[name]
    ]
    if changed:
        raise InputError(
            "--resume goes on with the settings of the run, which differ: "
            f"{', '.join(changed)}. Drop these flags, or start over with "
            "--overwrite."
        )


def _settle(
    config: Config, folder: pathlib.Path, resume: bool
) -> tuple[Config, Splits]:
    """The data, and the settings with what is said of the data."""
    dataset = data_config.resolve(config.data.dataset)
    config = config.replace({"dataset": dataset})
    if resume:
        check_continues(config, config_module.load(folder / "config.json"))
    several.check(config)
    trained = workdir.trained_on(folder) if resume else None
    config, loaded = _load(config, trained)
    if resume:
        return config, loaded
    fractions = "holdout_groups", "holdout_observations"
    return config.replace({f: getattr(loaded, f) for f in fractions}), loaded


def _load(config: Config, trained: np.ndarray | None) -> tuple[Config, Splits]:
    """The data, and the settings with those that are chosen by them.

    Of a run that goes on, the data are those that it has been trained on.
    """
    choices: list[adapting.Choice] = []

    def choose(data: GroupedData) -> Likelihood:
        choices.append(adapting.values(config.model, data))
        chosen = config.replace(choices[-1].settings)
        return building.make_likelihood(chosen.model)

    splits = loading.load(config.data, config.training.seed, choose, trained)
    if trained is not None:
        _check_unchanged(splits.train.keys, trained)
    elif config.data.holdout_observations and splits.validation is None:
        raise InputError(_too_small(splits.train, config.data))
    for note in splits.notes:
        print(note, flush=True)
    if splits.train.others:
        several.look(splits.train, config.data.parent_of)
    _check_learnable(splits)
    some = splits.train.sample(SCALED_OBSERVATIONS, config.training.seed)
    checks.warn_of_scale(some.values(), splits.train.likelihood)
    choices.append(adapting.sizes(config.model, splits.train))
    for choice in choices:
        config = adapting.apply(config, choice)
    config = adapting.apply(config, adapting.augmentation(config, splits))
    adapting.check_augmented(config, splits.train.observations.shape[1:])
    return config, splits


def _as_learned(splits: Splits, training: TrainingConfig) -> Splits:
    """The training part as the model learns from it."""
    return dataclasses.replace(
        splits, train=training_groups(splits.train, training)
    )


def _steps_per_epoch(train: GroupedData, training: TrainingConfig) -> int:
    return len(crossing.sampler(make_batching(training), train.group_indices))


def make_model(config: Config, splits: Splits, steps: int) -> MLVAE:
    """The model, which is yet to be trained."""
    shape = splits.train.observations.shape[1:]
    model = building.make_model(config, shape, steps)
    starting.freeze(model, config.training.freeze)
    return model


def _too_small(train: GroupedData, data: DataConfig) -> str:
    """What to say where a fraction of the observations is none of them."""
    largest = int(np.bincount(train.group_index).max())
    return (
        f"--holdout_observations={data.holdout_observations:g} holds nothing "
        f"out of groups of at most {largest} observations. Pass a larger "
        "fraction, such as 0.5, or hold out whole groups: --holdout_groups=0.2."
    )


def _check_unchanged(keys: np.ndarray, trained: np.ndarray) -> None:
    """Raise `InputError` unless a run can go on to the bit with these data."""
    if np.array_equal(keys, trained):
        return
    gone = np.count_nonzero(~np.isin(trained, keys))
    what = (
        f"{gone} of the {len(trained)} observations that it trains on are gone"
        if gone
        else "the observations that it trains on are in another order"
    )
    raise InputError(
        f"the data have changed since the run began: {what}. --resume goes on "
        "with the very same ones: bring them back, or start over with "
        "--overwrite."
    )


def _check_learnable(splits: Splits) -> None:
    """Raise `InputError` where groups cannot tell content from style."""
    train = splits.train
    sizes = np.bincount(train.group_index)
    if len(sizes) < 2:
        one = (
            f"there is one group to learn from, {train.groups.tolist()[0]!r}, "
            f"of {len(train)} observations: expected two or more, which differ "
            "in what each of them shares."
        )
        if splits.unseen is None:
            raise InputError(one)
        warnings.warn(one, stacklevel=2)
    if sizes.max() < 2:
        raise InputError(
            f"every one of the {len(sizes)} groups to learn from has a single "
            "observation: expected groups that share something. Check that "
            "the ids name groups, not observations."
        )

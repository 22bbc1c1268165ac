"""From a configuration to a trained model in a workdir."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
import warnings
from typing import Any

import numpy as np

from mlvae_tf import checks, files, version
from mlvae_tf.data import config as data_config
from mlvae_tf.data import crossing, loading
from mlvae_tf.data.augmentation import check_images
from mlvae_tf.data.config import DataConfig
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import (
    adapting,
    building,
    callbacks,
    exports,
    identification,
    several,
    starting,
    workdir,
)
from mlvae_tf.runs import config as config_module
from mlvae_tf.runs.best import Best
from mlvae_tf.runs.building import make_batches
from mlvae_tf.runs.checkpoints import Checkpoints
from mlvae_tf.runs.config import Config, TrainingConfig
from mlvae_tf.runs.fitting import fit, validated
from mlvae_tf.runs.watching import Watch

# What may differ between a run and its continuation.
_FREE = {
    "epochs",
    "steps",
    "evaluate_epochs",
    "checkpoint_seconds",
    "checkpoint_steps",
    "keep_versions",
    "memory_gb",
    "chunk_size",  # Of no effect but on rounding.
}
FLOW_OBSERVATIONS = 60_000  # That the flow of the style learns from, at most.
FLOW_STEPS = 3000  # And not more than the training's.
PATIENCE = 0.25  # Of the validations.
SCALED_OBSERVATIONS = 1000  # Whose values are set against the likelihood's.


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


def _check_chunks(config: Config) -> None:
    """Raise `InputError` where batches in chunks cannot do what is asked."""
    if config.training.chunk_size and config.training.augment_groups:
        raise InputError(
            "--augment_groups blends the groups of a batch, of which "
            "--chunk_size has parts only. Drop one of the two."
        )


def train(config: Config, folder: pathlib.Path, resume: bool) -> MLVAE:
    """Train a model and leave the run in `folder`, which `prepare` made ready.

    Args:
        config: The whole configuration.
        folder: The workdir.
        resume: Go on from the last checkpoint in it.

    Returns:
        The trained model.
    """
    config, loaded = _settle(config, folder, resume)
    splits = _as_learned(loaded, config.training)
    sizes = adapting.group_sizes(splits.train)
    config = adapting.apply(config, adapting.batching(config.training, sizes))
    per_epoch = _steps_per_epoch(splits.train, config.training)
    config = adapting.apply(config, adapting.length(config.training, per_epoch))
    training = config.training
    steps = per_epoch * training.length
    model = building.make_model(
        config, splits.train.observations.shape[1:], steps
    )
    starting.freeze(model, training.freeze)
    best = _best(model, splits, training, steps)
    checkpoints, step = _begin(
        model, splits.train, training, folder, per_epoch, resume, best
    )
    if best and best.has_stopped:  # Before it was resumed.
        step = steps
    workdir.remember_trained(folder, loaded.train.keys)
    record = run_record(config, loaded.skipped)
    files.write_json(folder / "config.json", record)
    logs = folder / "logs"
    settled = round(training.kl_warmup * steps)
    watch = Watch(logs, loaded, training.seed, validated(training), settled)
    pictures = fit(
        model, splits, training, per_epoch, step, checkpoints, logs, watch, best
    )
    if best and (kept := best.take()):
        _say(f"kept: the weights of step {kept}")
    _fit_style_flow(model, loaded.train, training.seed, steps)
    with files.whole(folder / "model.keras") as partial:
        model.save(partial)
    if loaded.train.others:
        groups = {name: of.groups for name, of in loaded.train.levels.items()}
        exports.write(folder, model, training.keep_versions, groups)
        several.skip("Identifying groups with identify.py")
    else:
        exports.write(
            folder, model, training.keep_versions, loaded.train.groups
        )
        identification.keep(folder, model, loaded, training)
    with callbacks.going_on("drawing the swap grid"):
        pictures.draw_last()
    with callbacks.going_on("looking for what fails"):
        workdir.remember_doubts(folder, watch.finish())
    return model


def _settle(
    config: Config, folder: pathlib.Path, resume: bool
) -> tuple[Config, Splits]:
    """The data, and the settings with what is said of the data."""
    dataset = data_config.resolve(config.data.dataset)
    config = config.replace({"dataset": dataset})
    if resume:
        check_continues(config, config_module.load(folder / "config.json"))
    _check_chunks(config)
    several.check(config)
    trained = workdir.trained_on(folder) if resume else None
    config, loaded = _load(config, trained)
    if resume:
        return config, loaded
    fractions = "holdout_groups", "holdout_observations"
    return config.replace({f: getattr(loaded, f) for f in fractions}), loaded


def _steps_per_epoch(train: GroupedData, training: TrainingConfig) -> int:
    return len(crossing.sampler(make_batches(training), train.index))


def _fit_style_flow(
    model: MLVAE, train: GroupedData, seed: int, steps: int
) -> None:
    """Fit the flow of the style, if there is one, in at most these steps."""
    if not model.style_flow:
        return
    _say("fitting the flow of the style")
    some = train.sample(FLOW_OBSERVATIONS, seed)
    ids: Any = some.group_ids
    if some.others:
        ids = {name: level.ids for name, level in some.levels.items()}
    model.fit_style_flow(some.values(), ids, seed, min(FLOW_STEPS, steps))


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # As of a terminal that is gone.
        print(line, flush=True)


def _best(
    model: MLVAE, splits: Splits, training: TrainingConfig, steps: int
) -> Best | None:
    """What keeps the best weights, where they are asked for and can be told."""
    if (
        training.keep == "last"
        or splits.validation is None
        or training.weight_averaging
    ):
        return None
    validations = len(validated(training))
    return Best(
        model,
        round(training.kl_warmup * steps),
        max(3, math.ceil(PATIENCE * validations)),
    )


def _begin(
    model: MLVAE,
    train: GroupedData,
    training: TrainingConfig,
    folder: pathlib.Path,
    per_epoch: int,
    resume: bool,
    best: Best | None,
) -> tuple[Checkpoints, int]:
    """Give a model the weights to go on from.

    Returns:
        What saves it on the way, and the steps that have been taken.
    """
    if not resume:
        starting.start(model, train, training)
        workdir.clear(folder)
    checkpoints = Checkpoints(
        folder / "checkpoints",
        model,
        training.checkpoint_seconds,
        training.checkpoint_steps,
        best and best.state,
    )
    if not resume:
        return checkpoints, 0
    step = _resume(checkpoints, folder, per_epoch, training.length)
    if not step:
        starting.start(model, train, training)
    return checkpoints, step


def _load(config: Config, trained: np.ndarray | None) -> tuple[Config, Splits]:
    """The data, and the settings with those that are chosen by them.

    Of a run that goes on, the data are those that it has been trained on.
    """
    choices: list[adapting.Choice] = []

    def choose(stored: np.ndarray) -> Likelihood:
        choices.append(adapting.values(config.model, stored))
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
    for choice in (*choices, adapting.sizes(config.model, splits.train)):
        config = adapting.apply(config, choice)
    return config, splits


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


def _as_learned(splits: Splits, training: TrainingConfig) -> Splits:
    """The training part as the model learns from it."""
    if training.augment_groups:
        check_images("--augment_groups", splits.train.observations.shape[1:])
    return dataclasses.replace(
        splits, train=training_groups(splits.train, training)
    )


def _resume(
    checkpoints: Checkpoints, folder: pathlib.Path, per_epoch: int, epochs: int
) -> int:
    """Take up a run, and say at which step it goes on."""
    step = checkpoints.restore()
    if not step and (folder / "model.keras").exists():
        raise InputError(
            f"{folder} holds a trained model but no checkpoint, from which "
            "--resume could go on. Put its checkpoints back, or start over "
            "with --overwrite instead."
        )
    if step > per_epoch * epochs:
        raise InputError(
            f"--epochs={epochs} ends at step {per_epoch * epochs}, and the run "
            f"has come to step {step}. Pass --epochs={-(-step // per_epoch)} "
            "or more."
        )
    _say(f"resuming at step {step} of {per_epoch * epochs}")
    return step


def run_record(config: Config, skipped: tuple[str, ...] = ()) -> dict[str, Any]:
    """What `config.json` holds.

    Args:
        config: The configuration.
        skipped: What `skip_bad` left out of the data, and why.
    """
    record = {**config.to_json(), "versions": version.versions()}
    if skipped:
        record["skipped"] = {"count": len(skipped), "files": skipped}
    return record

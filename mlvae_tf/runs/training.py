"""From a configuration to a trained model in a workdir."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from typing import Any

import tensorflow as tf

from mlvae_tf import files, serving
from mlvae_tf.data import config as data_config
from mlvae_tf.data import loading
from mlvae_tf.data.augmentation import check_images
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.pipeline import make_dataset
from mlvae_tf.data.sampling import Batches
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.model import MLVAE
from mlvae_tf.runs import building, callbacks, workdir
from mlvae_tf.runs import config as config_module
from mlvae_tf.runs.config import Config, TrainingConfig

# What may differ between a run and its continuation.
_FREE = {
    "epochs",
    "evaluate_epochs",
    "checkpoint_seconds",
    "memory_gb",
    "chunk_size",  # Of no effect but on rounding.
}
MAX_STEPS_AT_ONCE = 10


def make_batches(training: TrainingConfig) -> Batches:
    """How a configuration batches."""
    return Batches(
        training.groups_per_batch,
        training.observations_per_group,
        training.batch_size,
    )


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
    dataset = data_config.resolve(config.data.dataset)
    config = config.replace({"dataset": dataset})
    if resume:
        check_continues(config, config_module.load(folder / "config.json"))
    training = config.training
    _check_chunks(config)
    splits = _load(config)
    config = config.replace(
        {"holdout_observations": splits.holdout_observations}
    )
    sampler = make_batches(training).sampler(splits.train.group_index)
    steps_per_epoch = len(sampler)
    model = building.make_model(
        config,
        splits.train.observations.shape[1:],
        steps_per_epoch * training.epochs,
    )
    building.adapt(model, splits.train, training.seed)
    if not resume:
        workdir.clear(folder)
    checkpoints = callbacks.Checkpoints(
        folder / "checkpoints", model, training.checkpoint_seconds
    )
    epochs = checkpoints.restore(), training.epochs
    _check_epochs(*epochs)
    files.write_json(folder / "config.json", run_record(config))
    _fit(model, splits, training, folder, checkpoints, steps_per_epoch, epochs)
    with files.whole(folder / "model.keras") as partial:
        model.save(partial)
    serving.export(model, folder / "export" / "1")
    return model


def _load(config: Config) -> Splits:
    """The data, its training part as the model learns from it."""
    likelihood = building.make_likelihood(config.model)
    splits = loading.load(config.data, config.training.seed, likelihood)
    if config.training.augment_groups:
        check_images("--augment_groups", splits.train.observations.shape[1:])
    train = training_groups(splits.train, config.training)
    return dataclasses.replace(splits, train=train)


def _check_epochs(seen: int, wanted: int) -> None:
    if seen > wanted:
        raise InputError(
            f"--epochs={wanted} is less than the {seen} epochs that the run "
            "has seen."
        )


def _steps_at_once(steps_per_epoch: int) -> int:
    """How many steps to take between two returns to Python, which cost time.

    They must divide the epoch: Keras would go on into the next.
    """
    counts = range(1, MAX_STEPS_AT_ONCE + 1)
    return max(count for count in counts if steps_per_epoch % count == 0)


def _fit(
    model: MLVAE,
    splits: Splits,
    training: TrainingConfig,
    folder: pathlib.Path,
    checkpoints: callbacks.Checkpoints,
    steps_per_epoch: int,
    epochs: tuple[int, int],
) -> None:
    """Go from the first of the epochs to the last."""
    first_epoch, last_epoch = epochs
    progress = callbacks.Progress(steps_per_epoch, first_epoch)
    tensorboard = callbacks.TensorBoard(
        folder / "logs",
        splits.evaluation or splits.train,
        len(splits.train),
        training.evaluate_epochs,
    )
    if not training.chunk_size:  # TensorFlow has no loop over datasets.
        model.steps_per_execution = _steps_at_once(steps_per_epoch)
    train, held_out = _datasets(splits, training, first_epoch)
    with contextlib.closing(progress):
        model.fit(
            train,
            epochs=last_epoch,
            initial_epoch=first_epoch,
            steps_per_epoch=steps_per_epoch,
            shuffle=False,
            verbose=0,
            validation_data=held_out,
            validation_freq=training.evaluate_epochs,
            callbacks=[progress, tensorboard, checkpoints],
        )


def _datasets(
    splits: Splits, training: TrainingConfig, first_epoch: int
) -> tuple[tf.data.Dataset, tf.data.Dataset | None]:
    """The batches to train on, and those to validate with."""
    batches = make_batches(training)
    train = make_dataset(
        splits.train,
        batches,
        training.seed,
        training.epochs,
        first_epoch,
        training.chunk_size,
        training.augment_groups,
    )
    held_out = splits.evaluation
    if held_out is None:
        return train, None
    return train, make_dataset(
        held_out, batches, training.seed, chunk_size=training.chunk_size
    )


def run_record(config: Config) -> dict[str, Any]:
    """What `config.json` holds."""
    return {**config.to_json(), "versions": workdir.versions()}

"""From a configuration to a trained model in a workdir."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from typing import Any

import keras
import numpy as np

from mlvae_tf import callbacks, checks, data, export, workdir
from mlvae_tf import config as config_module
from mlvae_tf.config import Config, TrainingConfig
from mlvae_tf.data.augmentation import check_images
from mlvae_tf.data.grouping import Batches, GroupedData, make_dataset, scale
from mlvae_tf.data.observations import Stored
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.model import MLVAE
from mlvae_tf.schedules import Warmup

# What may differ between a run and its continuation.
_FREE = {
    "epochs",
    "evaluate_epochs",
    "checkpoint_seconds",
    "memory_gb",
    "chunk_size",  # Of no effect but on rounding.
}
MAX_STEPS_AT_ONCE = 10
ADAPTED_OBSERVATIONS = 2000  # Whose principal components start a model.


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


def _kl_weight(start: float, end: float, steps: int) -> float | Warmup:
    return end if start == end or steps < 1 else Warmup(start, end, steps)


def _averaging(steps: float) -> dict[str, Any]:
    """The optimizer's settings of a moving average with this time constant."""
    return {"use_ema": True, "ema_momentum": 1 - 1 / steps} if steps > 1 else {}


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
    model = MLVAE(
        observation_shape,
        **dataclasses.asdict(config.model),
        content_kl_weight=_kl_weight(
            training.content_kl_start, training.content_kl_weight, warmup
        ),
        style_kl_weight=_kl_weight(
            training.style_kl_start, training.style_kl_weight, warmup
        ),
        seed=training.seed,
    )
    rate = training.learning_rate
    if training.learning_rate_decay:
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(
        optimizer=keras.optimizers.Adam(
            rate, **_averaging(training.weight_averaging * steps)
        )
    )
    return model


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


def _check_values(splits: Splits, likelihood: str) -> None:
    for part in (splits.train, splits.validation, splits.test, splits.unseen):
        # What stays on the disk is checked batch by batch, as it is read.
        if part is None or isinstance(part.observations, Stored):
            continue
        if part.observations.dtype != np.uint8:
            checks.check_values(part.observations, likelihood)


def _check_chunks(config: Config) -> None:
    """Raise `InputError` where batches in chunks cannot do what is asked."""
    if not config.training.chunk_size:
        return
    if config.model.accumulation == "average":
        raise InputError(
            "--chunk_size needs evidence that adds up over the chunks, which "
            "--accumulation=average does not have. Drop one of the two."
        )
    if config.training.augment_groups:
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
    dataset = data.resolve(config.data.dataset)
    config = config.replace({"dataset": dataset})
    if resume:
        check_continues(config, config_module.load(folder / "config.json"))
    training = config.training
    _check_chunks(config)
    splits = data.load(config.data, training.seed)
    _check_values(splits, config.model.likelihood)
    if training.augment_groups:
        check_images("--augment_groups", splits.train.observations.shape[1:])
    splits = dataclasses.replace(
        splits, train=training_groups(splits.train, training)
    )
    config = config.replace(
        {"holdout_observations": splits.holdout_observations}
    )
    steps_per_epoch = len(
        make_batches(training).sampler(splits.train.group_index)
    )
    model = make_model(
        config,
        splits.train.observations.shape[1:],
        steps_per_epoch * training.epochs,
    )
    _adapt(model, splits.train, training.seed)
    if not resume:
        workdir.clear(folder)
    checkpoints = callbacks.Checkpoints(
        folder / "checkpoints", model, training.checkpoint_seconds
    )
    first_epoch = checkpoints.restore()
    if first_epoch > training.epochs:
        raise InputError(
            f"--epochs={training.epochs} is less than the {first_epoch} epochs "
            "that the run has seen."
        )
    workdir.write_json(folder / "config.json", run_record(config))
    _fit(
        model,
        splits,
        training,
        folder,
        checkpoints,
        steps_per_epoch,
        first_epoch,
    )
    with workdir.whole(folder / "model.keras") as partial:
        model.save(partial)
    export.export(model, folder / "export" / "1")
    return model


def _adapt(model: MLVAE, train: GroupedData, seed: int) -> None:
    """Start linear networks at the principal components of the data."""
    if (model.trunk, model.likelihood) == ("linear", "normal"):
        sample = train.sample(ADAPTED_OBSERVATIONS, seed)
        model.adapt(scale(sample.observations[:]))


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
    first_epoch: int,
) -> None:
    batches = make_batches(training)
    held_out = splits.evaluation
    progress = callbacks.Progress(steps_per_epoch, first_epoch)
    tensorboard = callbacks.TensorBoard(
        folder / "logs",
        held_out or splits.train,
        len(splits.train),
        training.evaluate_epochs,
    )
    if not training.chunk_size:  # TensorFlow has no loop over datasets.
        model.steps_per_execution = _steps_at_once(steps_per_epoch)
    with contextlib.closing(progress):
        model.fit(
            make_dataset(
                splits.train,
                batches,
                training.seed,
                training.epochs,
                first_epoch,
                training.chunk_size,
                training.augment_groups,
            ),
            epochs=training.epochs,
            initial_epoch=first_epoch,
            steps_per_epoch=steps_per_epoch,
            shuffle=False,
            verbose=0,
            validation_data=held_out
            and make_dataset(
                held_out,
                batches,
                training.seed,
                chunk_size=training.chunk_size,
            ),
            validation_freq=training.evaluate_epochs,
            callbacks=[progress, tensorboard, checkpoints],
        )


def run_record(config: Config) -> dict[str, Any]:
    """What `config.json` holds."""
    return {**config.to_json(), "versions": workdir.versions()}

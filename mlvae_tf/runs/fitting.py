"""From a model and its data to `fit`, from any step on."""

from __future__ import annotations

import contextlib
import math
import pathlib
from collections.abc import Callable

import tensorflow as tf

from mlvae_tf.data import crossing
from mlvae_tf.data.pipeline import make_dataset, timed
from mlvae_tf.data.splits import Splits
from mlvae_tf.model import MLVAE
from mlvae_tf.replicas import ALONE, Replicas
from mlvae_tf.runs import trouble
from mlvae_tf.runs.best import Best
from mlvae_tf.runs.building import make_batching
from mlvae_tf.runs.callbacks import (
    BadSteps,
    Beside,
    Pictures,
    Progress,
    TensorBoard,
)
from mlvae_tf.runs.checkpoints import Checkpoints
from mlvae_tf.runs.config import TrainingConfig
from mlvae_tf.runs.watching import Watch

MAX_STEPS_AT_ONCE = 10


def steps_at_once(*steps: int) -> int:
    """How many steps to take between two returns to Python, which cost time.

    Args:
        *steps: What they must divide: the epoch, or Keras would go on into the
            next, what was taken of it before, the steps between checkpoints.
    """
    counts = range(1, MAX_STEPS_AT_ONCE + 1)
    return max(count for count in counts if math.gcd(*steps) % count == 0)


def fit(
    model: MLVAE,
    splits: Splits,
    training: TrainingConfig,
    steps_per_epoch: int,
    step: int,
    checkpoints: Checkpoints,
    logs: pathlib.Path,
    watch: Watch,
    best: Best | None = None,
    replicas: Replicas = ALONE,
) -> Pictures:
    """Train a model from a step to the end.

    Args:
        model: A compiled model, as it was after that step.
        splits: What to learn from and to validate with.
        training: How to train.
        steps_per_epoch: Batches of an epoch.
        step: How many steps have been taken.
        checkpoints: What saves it on the way.
        logs: Where event files go.
        watch: What looks at it on the way.
        best: What keeps the best weights.
        replicas: The workers, of which the first shows what happens.

    Returns:
        What draws the last picture, once the model has been saved.
    """
    epoch, initial_step = divmod(step, steps_per_epoch)
    _expect_batches(model, splits, training)
    _return_seldom(model, training, steps_per_epoch, initial_step)
    train, held_out = _datasets(splits, training, epoch, initial_step, replicas)
    progress = Progress(steps_per_epoch, step)
    tensorboard = TensorBoard(logs, len(splits.train), training.profile)
    shown = splits.evaluation or splits.train
    pictures = Pictures(logs, shown, validated(training))
    bad_steps = BadSteps(_amiss(model, splits, training))
    looks = _beside(progress, bad_steps, tensorboard, pictures, watch)
    with contextlib.closing(progress), checkpoints.at_interrupt():
        model.fit(
            timed(train, tensorboard.waited),
            epochs=training.length,
            initial_epoch=epoch,
            initial_step=initial_step,
            max_bad_steps=training.max_bad_steps,
            steps_per_epoch=steps_per_epoch,
            shuffle=False,
            verbose=0,
            validation_data=held_out,
            validation_freq=validated(training),
            callbacks=[
                *([best] if best else []),  # Checkpoints hold what it keeps.
                checkpoints,  # Before what may take a while, or fail.
                *(looks if replicas.is_first else []),
            ],
            replicas=replicas,
        )
    return pictures


def _beside(
    progress: Progress,
    bad_steps: BadSteps,
    tensorboard: TensorBoard,
    pictures: Pictures,
    watch: Watch,
) -> list[Beside]:
    """What looks at a training, of which no failure ends it."""
    shows = {
        "showing the progress": progress,
        "counting steps that are not taken": bad_steps,
        "writing for TensorBoard": tensorboard,
        "drawing pictures": pictures,
        "looking for what fails": watch,
    }
    return [Beside(*shown) for shown in shows.items()]


def _amiss(
    model: MLVAE, splits: Splits, training: TrainingConfig
) -> Callable[[int], str]:
    """What says what is amiss in the batch of a step, given its number."""

    def describe(step: int) -> str:
        how, seed = make_batching(training), training.seed
        rows = trouble.rows_of_step(splits.train, how, seed, step)
        return trouble.describe(model, splits.train, rows)

    return describe


def validated(training: TrainingConfig) -> list[int]:
    """The epochs after which a training is validated, the last one included."""
    every, last = training.evaluate_epochs or 1, training.length
    return sorted({*range(every, last + 1, every), last})


def _expect_batches(
    model: MLVAE, splits: Splits, training: TrainingConfig
) -> None:
    train = splits.train
    sampler = crossing.sampler(make_batching(training), train.group_indices)
    model.expect_batches(sampler.largest, len(train) / len(sampler))


def _return_seldom(
    model: MLVAE,
    training: TrainingConfig,
    steps_per_epoch: int,
    initial_step: int,
) -> None:
    """Let several steps be taken between two returns to Python."""
    if not training.chunk_size:  # TensorFlow has no loop over datasets.
        model.steps_per_execution = steps_at_once(
            steps_per_epoch, initial_step, training.checkpoint_steps or 0
        )


def _datasets(
    splits: Splits,
    training: TrainingConfig,
    first_epoch: int,
    first_step: int,
    replicas: Replicas,
) -> tuple[tf.data.Dataset, tf.data.Dataset | None]:
    """The batches to train on, and those to validate with."""
    batching = make_batching(training)
    train = make_dataset(
        splits.train,
        batching,
        training.seed,
        training.length,
        first_epoch,
        training.chunk_size,
        training.augment_groups or 0.0,
        first_step,
        replicas,
    )
    held_out = splits.monitored
    if held_out is None:
        return train, None
    return train, make_dataset(
        held_out,
        batching,
        training.seed,
        chunk_size=training.chunk_size,
        replicas=replicas,
    )

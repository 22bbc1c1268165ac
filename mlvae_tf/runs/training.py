"""From a configuration to a trained model in a workdir."""

from __future__ import annotations

import contextlib
import math
import pathlib
from typing import Any

from mlvae_tf import files, style_flow, version
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.splits import Splits
from mlvae_tf.errors import InputError
from mlvae_tf.model import MLVAE
from mlvae_tf.replicas import ALONE, Replicas
from mlvae_tf.runs import (
    board,
    callbacks,
    exports,
    identification,
    starting,
    workdir,
)
from mlvae_tf.runs.best import Best
from mlvae_tf.runs.checkpoints import Checkpoints
from mlvae_tf.runs.config import Config, TrainingConfig
from mlvae_tf.runs.fitting import fit, validated
from mlvae_tf.runs.planning import make_model, plan
from mlvae_tf.runs.watching import Watch

FLOW_OBSERVATIONS = 60_000  # That the flow of the style learns from, at most.
PATIENCE = 0.25  # Of the validations.


def train(
    config: Config,
    folder: pathlib.Path,
    resume: bool,
    replicas: Replicas = ALONE,
) -> MLVAE:
    """Train a model and leave the run in `folder`, which `prepare` made ready.

    Args:
        config: The whole configuration.
        folder: The workdir.
        resume: Go on from the last checkpoint in it.
        replicas: The workers that train it, of which the first alone writes.

    Returns:
        The trained model, as far as all workers have it.
    """
    config, loaded, splits, per_epoch = plan(config, folder, resume)
    training = config.training
    steps = per_epoch * training.length
    model = make_model(config, splits, steps)
    best = _best(model, splits, training, steps)
    checkpoints, step = _begin(
        model, splits.train, training, folder, per_epoch, resume, best, replicas
    )
    if best and best.has_stopped:  # Before it was resumed.
        step = steps
    logs = folder / "logs"
    if replicas.is_first:
        _record(config, loaded, folder, resume)
    settled = round(training.kl_warmup * steps)
    watch = Watch(
        logs, loaded, training.seed, validated(training), settled, config.flat()
    )
    pictures = fit(
        model, splits, training, per_epoch, step, checkpoints, logs, watch,
        best, replicas,
    )  # fmt: skip
    if best and (kept := best.take()):
        _say(f"kept: the weights of step {kept}")
    if replicas.is_first:
        _finish(model, loaded, splits, training, folder, steps)
        with callbacks.going_on("drawing pictures"):
            pictures.draw_last()
        with callbacks.going_on("looking for what fails"):
            workdir.remember_doubts(folder, watch.finish())
    replicas.wait()  # Who left would be missed.
    return model


def _record(
    config: Config, loaded: Splits, folder: pathlib.Path, resume: bool
) -> None:
    """Write down what is trained, and on what."""
    workdir.remember_trained(folder, loaded.train.keys)
    record = run_record(config, loaded.skipped)
    files.write_json(folder / "config.json", record)
    if not resume:
        with callbacks.going_on("writing the settings for TensorBoard"):
            board.write_settings(folder / "logs", config)


def _finish(
    model: MLVAE,
    loaded: Splits,
    splits: Splits,
    training: TrainingConfig,
    folder: pathlib.Path,
    steps: int,
) -> None:
    """Fit the flow of the style, and write the trained model."""
    _fit_style_flow(model, loaded.train, training.seed, steps)
    with files.whole(folder / "model.keras") as partial:
        model.save(partial)
    exports.write(folder, model, training.keep_versions, loaded.train)
    identification.keep(folder, model, loaded, training)
    with callbacks.going_on("writing embeddings for TensorBoard"):
        shown = splits.evaluation or splits.train
        logs = folder / "logs"
        board.write_embeddings(logs, model, shown, training.seed)


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
    steps = min(steps, style_flow.steps_for(len(some)))
    model.fit_style_flow(some.values(), ids, seed, steps)


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
    replicas: Replicas,
) -> tuple[Checkpoints, int]:
    """Give a model the weights to go on from.

    Returns:
        What saves it on the way, and the steps that have been taken.
    """
    if not resume:
        starting.start(model, train, training)
        if replicas.is_first:
            workdir.clear(folder)
    checkpoints = Checkpoints(
        folder / "checkpoints",
        model,
        training.checkpoint_seconds,
        training.checkpoint_steps,
        best and best.state,
        training.keep_checkpoints,
        replicas.is_first,
    )
    if not resume:
        return checkpoints, 0
    step = _resume(checkpoints, folder, per_epoch, training.length)
    if not step:
        starting.start(model, train, training)
    return checkpoints, step


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

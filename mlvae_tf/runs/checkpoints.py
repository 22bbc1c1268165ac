"""Checkpoints of a training, by step: written whole, read back, found again.

They are TensorFlow's files, `ckpt-STEP.index` and `ckpt-STEP.data-...`. What is
found depends on these alone; the file `checkpoint` beside them names the newest
one to other programs.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import tempfile
import time
import warnings
from collections.abc import Iterator

import keras
import tensorflow as tf

from mlvae_tf import files
from mlvae_tf.errors import InputError, reason

_NAME = re.compile(r"ckpt-(\d+)\.(index|data-\d+-of-\d+)")

Logs = dict[str, float]


def damage(prefix: pathlib.Path) -> str:
    """Why a checkpoint cannot be read, or "" where it is whole.

    Every tensor is read: TensorFlow compares its checksum.
    """
    if not prefix.with_name(f"{prefix.name}.index").exists():
        return f"{prefix.name}.index is missing"
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except Exception as error:  # Whatever a damaged file leads to.
        return reason(error)
    return ""


class Folder:
    """The checkpoints of a training in a folder; the newest are kept.

    Args:
        path: The folder, which need not exist.
        checkpoint: What is saved.
        keep: How many are kept.
    """

    def __init__(
        self,
        path: pathlib.Path,
        checkpoint: tf.train.Checkpoint,
        keep: int = 2,
    ) -> None:
        self._path = path
        self._checkpoint = checkpoint
        self._keep = keep
        self._damage: dict[int, str] = {}  # Of those that were read.

    def restore(self) -> None:
        """Take up the newest whole checkpoint, if there are any.

        Raises:
            InputError: If there are checkpoints, but none is whole, or if what
                it holds is not what is to be restored.
        """
        damaged: list[str] = []
        for step in self._steps():
            if not self._damage_of(step):
                for said in damaged:
                    warnings.warn(f"{said}: passed over", stacklevel=2)
                self._take_up(self._prefix(step))
                return
            damaged.append(f"ckpt-{step} is damaged ({self._damage_of(step)})")
        if damaged:
            raise InputError(
                f"no checkpoint in {self._path} can be read: "
                f"{', '.join(damaged)}. Put a whole one back, or start over "
                "with --overwrite instead of --resume."
            )

    def write(self, step: int) -> None:
        """Save a checkpoint, read it back, and remove what it makes needless.

        Raises:
            InputError: If it cannot be written.
        """
        partial = self._path / ".partial"
        try:
            files.remove(partial)
            self._checkpoint.write(str(partial / f"ckpt-{step}"))
            self._damage[step] = damage(partial / f"ckpt-{step}")
            if self._damage[step]:
                raise OSError(self._damage[step])
            self._set_aside(step)
            for path in sorted(partial.iterdir()):  # The index comes last.
                path.replace(self._path / path.name)
            self._keep_newest()
        except (OSError, tf.errors.OpError) as error:
            raise InputError(
                f"the checkpoint of step {step} cannot be written to "
                f"{self._path}: {reason(error)}. Make space, then go on with "
                "--resume."
            ) from None
        finally:
            files.remove(partial)

    def _take_up(self, prefix: pathlib.Path) -> None:
        try:
            self._checkpoint.read(str(prefix)).assert_consumed()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise InputError(
                f"{prefix} does not fit this training: {reason(error)}. It is "
                "of other networks or of another version of mlvae_tf: bring "
                "these back, or start over with --overwrite instead of "
                "--resume."
            ) from None

    def _prefix(self, step: int) -> pathlib.Path:
        return self._path / f"ckpt-{step}"

    def _files(self, step: int) -> list[pathlib.Path]:
        return sorted(self._path.glob(f"ckpt-{step}.*"))

    def _steps(self) -> list[int]:
        """Those that there are files of, whole or not; the newest first."""
        names = (_NAME.fullmatch(p.name) for p in self._path.glob("ckpt-*"))
        return sorted({int(name[1]) for name in names if name}, reverse=True)

    def _damage_of(self, step: int) -> str:
        if step not in self._damage:
            self._damage[step] = damage(self._prefix(step))
        return self._damage[step]

    def _set_aside(self, step: int) -> None:
        """Keep damaged files of a step that is about to be written again."""
        there = self._files(step)
        if there:
            aside = tempfile.mkdtemp("", f"damaged-ckpt-{step}-", self._path)
            for path in there:
                path.rename(pathlib.Path(aside, path.name))

    def _keep_newest(self) -> None:
        """Remove older checkpoints: whole ones, which are known to be so."""
        whole = [step for step in self._steps() if not self._damage_of(step)]
        newest, older = whole[: self._keep], whole[self._keep :]
        lines = [f'model_checkpoint_path: "ckpt-{newest[0]}"'] + [
            f'all_model_checkpoint_paths: "ckpt-{step}"'
            for step in reversed(newest)
        ]
        with files.whole(self._path / "checkpoint") as partial:
            partial.write_text("\n".join(lines) + "\n")
        for step in older:
            for path in reversed(self._files(step)):  # The index goes first.
                path.unlink()


class Checkpoints(keras.callbacks.Callback):
    """Save weights, optimizer and metrics, and take them up again.

    Within an epoch they are saved after a step, at its end once it has been
    validated; the last one is before the weights' average takes their place.

    Args:
        path: The folder of the checkpoints.
        model: A compiled model.
        seconds: Save after the first step after so long, and at the end.
        steps: Save also after every so many steps.
        beside: What else they hold.
        keep: How many are kept, the newest.
        writes: Whether any are written; workers but the first read them only.
    """

    def __init__(
        self,
        path: pathlib.Path,
        model: keras.Model,
        seconds: int,
        steps: int | None = None,
        beside: tf.train.Checkpoint | None = None,
        keep: int = 2,
        writes: bool = True,
    ) -> None:
        super().__init__()
        self._writes = writes
        optimizer = model.optimizer
        optimizer.build(model.trainable_variables)
        self._metrics = [v for m in model.metrics for v in m.variables]
        parts = {} if beside is None else {"beside": beside}
        checkpoint = tf.train.Checkpoint(
            model=model, optimizer=optimizer, metrics=self._metrics, **parts
        )
        self._folder = Folder(path, checkpoint, keep)
        self._optimizer = optimizer
        self._seconds, self._steps = seconds, steps
        self._saved, self._saved_at = 0, time.monotonic()

    def restore(self) -> int:
        """Take up the newest whole checkpoint, if there are any.

        Returns:
            The number of steps that have been taken.

        Raises:
            InputError: If there are checkpoints, none of which can be used.
        """
        self._folder.restore()
        self._restored = [variable.numpy() for variable in self._metrics]
        self._saved = int(self._optimizer.iterations)
        return self._saved

    @contextlib.contextmanager
    def at_interrupt(self) -> Iterator[None]:
        """Save what an interrupt within an epoch would lose.

        Not once an epoch is over, whose validation is still to come.
        """
        try:
            yield
        except KeyboardInterrupt:
            step = int(self._optimizer.iterations)
            if self.params and step % self.params["steps"]:
                self._save_if_due(step, always=True)
            raise

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._before = epoch * self.params["steps"]
        if self._before < self._saved:  # Keras has begun the metrics anew.
            for variable, value in zip(
                self._metrics, self._restored, strict=True
            ):
                variable.assign(value)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        # `batch` is the last of those that were taken at once.
        if batch + 1 < self.params["steps"]:
            self._save_if_due(self._before + batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        stops = self.model is not None and self.model.stop_training
        last = epoch + 1 == self.params["epochs"] or stops
        self._save_if_due(self._before + self.params["steps"], last)

    def _save_if_due(self, step: int, always: bool = False) -> None:
        # Keras counts also what was taken before.
        if step <= self._saved or not self._writes:
            return
        seconds = time.monotonic() - self._saved_at
        by_step = self._steps is not None and step % self._steps == 0
        if always or by_step or seconds >= self._seconds:
            self._folder.write(step)
            self._saved, self._saved_at = step, time.monotonic()

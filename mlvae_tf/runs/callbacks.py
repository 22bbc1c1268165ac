"""What happens beside the training: progress, TensorBoard, checkpoints."""

from __future__ import annotations

import pathlib
import sys
import time

import keras
import tensorflow as tf
import tqdm

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import InputError
from mlvae_tf.evaluation import figures

Logs = dict[str, float]


class Progress(keras.callbacks.Callback):
    """One bar for the whole training, with the terms of the last epoch."""

    def __init__(self, steps_per_epoch: int, first_epoch: int) -> None:
        super().__init__()
        self._steps_per_epoch = steps_per_epoch
        self._first_epoch = first_epoch
        self._bar = tqdm.tqdm(disable=True)  # Until it begins.

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._bar = tqdm.tqdm(
            total=self._steps_per_epoch * self.params["epochs"],
            initial=self._steps_per_epoch * self._first_epoch,
            unit="step",
            # Log files get a line a half-minute, terminals a live bar.
            mininterval=0.2 if sys.stderr.isatty() else 30,
        )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._steps = 0  # Of this epoch.

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        # `batch` is the last of those that were taken at once.
        self._bar.update(batch + 1 - self._steps)
        self._steps = batch + 1

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        terms = ("elbo", "reconstruction", "content_kl", "style_kl")
        self._bar.set_postfix_str(
            f"epoch {epoch + 1}, nats a group: "
            + ", ".join(f"{name} {logs[name]:.1f}" for name in terms),
            refresh=False,
        )

    def close(self) -> None:
        """End the bar's line."""
        self._bar.close()


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's, with throughput, the weights of the KLs and the swap grid.

    Args:
        log_dir: Where the event files go.
        data: Observations whose contents and styles are swapped.
        observations_per_epoch: How many an epoch visits.
        image_epochs: Draw the swap grid every so many epochs.
    """

    def __init__(
        self,
        log_dir: pathlib.Path,
        data: GroupedData,
        observations_per_epoch: int,
        image_epochs: int,
    ) -> None:
        super().__init__(str(log_dir), write_graph=False)
        self._images = tf.summary.create_file_writer(str(log_dir / "images"))
        self._data = data
        self._observations_per_epoch = observations_per_epoch
        self._image_epochs = image_epochs
        self._trained: float | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._began, self._trained = time.perf_counter(), None

    def on_test_begin(self, logs: Logs | None = None) -> None:
        super().on_test_begin(logs)
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        seconds = (self._trained or time.perf_counter()) - self._began
        extra = {
            "observations_per_second": self._observations_per_epoch / seconds
        }
        for name, weight in self.model.kl_weights().items():
            extra[f"{name}_kl_weight"] = float(weight)
        super().on_epoch_end(epoch, {**logs, **extra})
        if (epoch + 1) % self._image_epochs == 0:
            picture = figures.swap_grid(self.model, self._data)
            with self._images.as_default():
                image = tf.io.decode_png(picture, channels=3)[tf.newaxis]
                tf.summary.image("swap", image, step=epoch)


class Checkpoints(keras.callbacks.Callback):
    """Save weights, optimizer and epoch, and find them again.

    Args:
        folder: Where the checkpoints go; the last two are kept.
        model: A compiled model.
        seconds: Save at the first end of an epoch after so long, and at the
            end of the training.
    """

    def __init__(
        self, folder: pathlib.Path, model: keras.Model, seconds: int
    ) -> None:
        super().__init__()
        model.optimizer.build(model.trainable_variables)
        self._epoch = tf.Variable(0, dtype=tf.int64)
        checkpoint = tf.train.Checkpoint(
            model=model, optimizer=model.optimizer, epoch=self._epoch
        )
        self._manager = tf.train.CheckpointManager(
            checkpoint, str(folder), max_to_keep=2
        )
        self._seconds = seconds
        self._saved_at = time.monotonic()

    def restore(self) -> int:
        """Restore the last checkpoint, if any.

        Returns:
            The number of epochs that it has seen.
        """
        if self._manager.latest_checkpoint:
            path = self._manager.latest_checkpoint
            try:
                self._manager.checkpoint.restore(path).assert_consumed()
            except (tf.errors.OpError, IndexError, AssertionError) as error:
                raise InputError(
                    f"the checkpoint {path} cannot be read: {error}. Put it "
                    "back, name an older one in the file checkpoint beside "
                    "it, or start over with --overwrite."
                ) from None
        return int(self._epoch.numpy())

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch.assign(epoch + 1)
        if time.monotonic() - self._saved_at >= self._seconds:
            self._save()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._save()

    def _save(self) -> None:
        try:
            self._manager.save(checkpoint_number=self._epoch)
        except tf.errors.OpError as error:
            raise InputError(
                f"the checkpoint of epoch {int(self._epoch)} cannot be written "
                f"to {self._manager.directory}: {error.message}. Make space, "
                "then go on with --resume."
            ) from None
        self._saved_at = time.monotonic()

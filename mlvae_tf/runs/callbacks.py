"""What is shown beside the training: progress, TensorBoard, pictures."""

from __future__ import annotations

import contextlib
import functools
import itertools
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf
import tqdm
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.errors import reason
from mlvae_tf.evaluation import drawings

GROUPS = 6  # In a picture.

Logs = dict[str, float]

_HOOKS = [name for name in dir(keras.callbacks.Callback) if name[:3] == "on_"]


@contextlib.contextmanager
def going_on(what: str) -> Iterator[None]:
    """Turn what fails into a warning: a training is worth more."""
    try:
        yield
    except Exception as error:
        said = f"{type(error).__name__}: {reason(error)}"
        warnings.warn(f"{what} failed: {said}; training goes on", stacklevel=3)


class Beside(keras.callbacks.Callback):
    """Another callback, of which no failure ends the training.

    Args:
        what: What the other does, for the warning.
        callback: The other.
    """

    def __init__(self, what: str, callback: keras.callbacks.Callback) -> None:
        super().__init__()
        self._what, self._callback = what, callback
        for name in ("set_model", "set_params", *_HOOKS):
            setattr(self, name, functools.partial(self._pass_on, name))

    def _pass_on(self, name: str, *args: Any, **kwargs: Any) -> None:
        with going_on(self._what):
            getattr(self._callback, name)(*args, **kwargs)


class Progress(keras.callbacks.Callback):
    """One bar for the whole training, with the terms of the last epoch.

    Args:
        steps_per_epoch: Steps of an epoch.
        first_step: Steps of the training that were taken before.
    """

    def __init__(self, steps_per_epoch: int, first_step: int) -> None:
        super().__init__()
        self._steps_per_epoch = steps_per_epoch
        self._first_step = first_step
        self._bar = tqdm.tqdm(disable=True)  # Until it begins.

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._step = self._first_step
        self._bar = tqdm.tqdm(
            total=self._steps_per_epoch * self.params["epochs"],
            initial=self._first_step,
            unit="step",
            # Log files get a line every half-minute, terminals a live bar.
            mininterval=0.2 if sys.stderr.isatty() else 30,
        )

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._before = self._steps_per_epoch * epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        # `batch` is the last of those that were taken at once.
        step = max(self._step, self._before + batch + 1)
        self._bar.update(step - self._step)
        self._step = step

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        kls = [f"{name}_kl" for name in self.model.kl_weights()]
        terms = ("elbo", "reconstruction", *kls)
        self._bar.set_postfix_str(
            f"epoch {epoch + 1}, nats per group: "
            + ", ".join(f"{name} {logs[name]:.1f}" for name in terms),
            refresh=False,
        )

    def close(self) -> None:
        """End the bar's line."""
        with contextlib.suppress(OSError):
            self._bar.close()


class BadSteps(keras.callbacks.Callback):
    """Warn of steps that are not taken, since they are not finite.

    Args:
        describe: From the number of a step, from 0, to what is amiss in it.
    """

    def __init__(self, describe: Callable[[int], str]) -> None:
        super().__init__()
        self._describe = describe

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._before = 0

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        count = self.model.bad_steps
        if count > self._before:
            step = int(self.model.optimizer.iterations)
            warnings.warn(
                f"the loss or its gradient was not finite in "
                f"{count - self._before} of the steps up to {step}, which were "
                f"not taken ({count} in all). Lower the --learning_rate, or "
                "look for values far from all others. Of the last one, "
                f"step {self.model.last_bad_step + 1}: "
                f"{self._describe(self.model.last_bad_step)}",
                stacklevel=2,
            )
            self._before = count


class TensorBoard(keras.callbacks.TensorBoard):
    """Keras's, with throughput, waiting and the weights of the KLs.

    Args:
        log_dir: Where the event files go.
        observations_per_epoch: How many an epoch visits.
        profile: Whether to write a profile of some steps, and their graph.

    Attributes:
        waited: Seconds that were waited for batches, float64, for whoever
            makes these to add to.
    """

    def __init__(
        self,
        log_dir: pathlib.Path,
        observations_per_epoch: int,
        profile: bool = False,
    ) -> None:
        # The second and third return from TensorFlow; the first compiles.
        super().__init__(
            str(log_dir),
            write_graph=False,
            profile_batch=(2, 3) if profile else 0,
        )
        self.waited = tf.Variable(0.0, trainable=False, dtype=tf.float64)
        self._observations_per_epoch = observations_per_epoch
        self._trained: float | None = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        super().on_epoch_begin(epoch, logs)
        self._first_step = int(self.model.optimizer.iterations)
        self._began, self._trained = time.perf_counter(), None
        self.waited.assign(0)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        super().on_train_batch_end(batch)  # Keras would prepare its logs.

    def on_test_begin(self, logs: Logs | None = None) -> None:
        super().on_test_begin(logs)
        self._trained = time.perf_counter()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._pop_writer()  # Keras would write again what the epoch shows.

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        seconds = (self._trained or time.perf_counter()) - self._began
        # Of the first epoch, some steps may have been taken before.
        steps = int(self.model.optimizer.iterations) - self._first_step
        observations = (
            self._observations_per_epoch * steps / self.params["steps"]
        )
        extra = {
            "observations_per_second": observations / seconds,
            "waiting_for_batches": float(self.waited) / seconds,
        }
        for name, weight in self.model.kl_weights().items():
            extra[f"{name}_kl_weight"] = float(weight)
        super().on_epoch_end(epoch, {**logs, **extra})

    def _log_epoch_metrics(self, epoch: int, logs: Logs) -> None:
        # Keras's own writes every number by an operation, which takes five
        # times as long.
        held_out = {k[4:]: v for k, v in logs.items() if k.startswith("val_")}
        train = {k: v for k, v in logs.items() if not k.startswith("val_")}
        self._collect_learning_rate(train)
        _write_scalars(self._train_writer, train, epoch)
        if held_out:
            _write_scalars(self._val_writer, held_out, epoch)


def _write_scalars(
    writer: tf.summary.SummaryWriter, values: Logs, epoch: int
) -> None:
    """Write numbers at once, under the names that Keras gives them."""
    summary = Summary()
    for name, value in values.items():
        summary.MergeFrom(scalar_pb(f"epoch_{name}", float(value)))
    with writer.as_default():
        tf.summary.experimental.write_raw_pb(
            summary.SerializeToString(), step=epoch
        )


class Pictures(keras.callbacks.Callback):
    """Draw for TensorBoard what the model makes of some observations.

    Swaps and reconstructions on the way, and at the end all kinds.

    Args:
        log_dir: Where the event files go.
        data: Observations, of fixed groups of which pictures are drawn.
        epochs: Counted from 1. After the first of these, the fourth, the
            sixteenth and so on, and after the last, some are drawn.
    """

    def __init__(
        self, log_dir: pathlib.Path, data: GroupedData, epochs: list[int]
    ) -> None:
        super().__init__()
        self._log_dir, self._data = log_dir, data
        powers = (4**power for power in itertools.count())
        places = itertools.takewhile(lambda place: place < len(epochs), powers)
        self._epochs = {epochs[place - 1] for place in places}
        self._left: int | None = None

    @functools.cached_property
    def _writer(self) -> tf.summary.SummaryWriter:
        return tf.summary.create_file_writer(str(self._log_dir / "images"))

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self._left = epoch
        if epoch + 1 in self._epochs:
            self._draw(epoch, {"swap", "reconstruct"})
            self._left = None

    def draw_last(self) -> None:
        """Draw what is left until the trained model has been saved."""
        if self._left is not None:
            self._draw(self._left)

    def _draw(self, epoch: int, kinds: set[str] | None = None) -> None:
        """Draw pictures of some kinds, by default of all."""
        several = len(self.model.levels) > 1
        for level in self.model.codec.drawn:
            data = self._data.on(level.name) if several else self._data
            draw = drawings.of_control(self.model, data, GROUPS)
            for kind in draw:
                if kinds is None or kind in kinds:
                    # One section, since TensorBoard opens no more than two.
                    tag = f"pictures/{kind}"
                    tag += f"/{level.name}" if several else ""
                    self._write(tag, draw[kind](), epoch)
        self._writer.flush()

    def _write(self, tag: str, picture: bytes, epoch: int) -> None:
        image = tf.io.decode_png(picture, channels=3)[tf.newaxis]
        with self._writer.as_default():
            tf.summary.image(tag, image, step=epoch)

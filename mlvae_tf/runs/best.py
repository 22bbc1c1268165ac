"""The best weights of a training, by the ELBO of held-out observations."""

from __future__ import annotations

import keras
import tensorflow as tf

Logs = dict[str, float]


class Best(keras.callbacks.Callback):
    """Keep the weights that validate best; stop where they no longer gain.

    What counts is the loss of validation, the negative ELBO with the final
    weights of its KLs, from the step on at which these have been reached.

    Args:
        model: A compiled model.
        first_step: Validations before it do not count.
        patience: Stop after so many validations without a gain.
    """

    def __init__(
        self, model: keras.Model, first_step: int, patience: int
    ) -> None:
        super().__init__()
        self._first_step, self._patience = first_step, patience
        self._loss = tf.Variable(float("inf"), trainable=False)
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._without_gain = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._current = [weight.value for weight in model.weights]
        self._kept = [
            tf.Variable(weight, trainable=False) for weight in self._current
        ]

    @property
    def state(self) -> tf.train.Checkpoint:
        """What a checkpoint has to hold."""
        return tf.train.Checkpoint(
            numbers=[self._loss, self._step, self._without_gain],
            kept=self._kept,
        )

    @property
    def has_stopped(self) -> bool:
        """Whether nothing has been gained for too long."""
        return int(self._without_gain) >= self._patience

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        loss = (logs or {}).get("val_loss")
        step = int(self.model.optimizer.iterations)
        if loss is None or step < self._first_step:
            return
        if loss < float(self._loss):
            self._loss.assign(loss)
            self._step.assign(step)
            self._without_gain.assign(0)
            for kept, weight in zip(self._kept, self._current, strict=True):
                kept.assign(weight)
        else:
            self._without_gain.assign_add(1)
        if self.has_stopped:
            self.model.stop_training = True

    def take(self) -> int:
        """Give the model the weights that were best.

        Returns:
            The step that they are of; 0 where nothing was validated.
        """
        if int(self._step):
            for kept, weight in zip(self._kept, self._current, strict=True):
                weight.assign(kept)
        return int(self._step)

"""Steps that are not taken, their loss or gradient not being finite."""

from __future__ import annotations

import keras
import tensorflow as tf


class BadSteps:
    """Counts them, and says whether training goes on.

    Attributes:
        count: How many there were, int64.
        last: The number of the last one, from 0; -1 where there is none.
        most: How many are passed over; one more stops the training.
    """

    def __init__(self) -> None:
        self.count = tf.Variable(0, False, dtype=tf.int64)
        self.last = tf.Variable(-1, False, dtype=tf.int64)
        self.most = 0

    def reset(self) -> None:
        """Count from 0."""
        self.count.assign(0)
        self.last.assign(-1)

    def pass_over(
        self, optimizer: keras.optimizers.Optimizer, loss: tf.Tensor
    ) -> tf.Tensor:
        """Count the optimizer's current step, which is not taken.

        Returns:
            A scalar like `loss`, to report in its place: 0, or NaN where this
            was one too many.
        """
        count = self.count.assign_add(1)
        self.last.assign(tf.cast(optimizer.iterations, tf.int64))
        if self.most:  # The data and schedules go on.
            optimizer.iterations.assign_add(1)
        return tf.where(count > self.most, tf.cast(float("nan"), loss.dtype), 0)

"""Schedules for the weights of the KL terms."""

from __future__ import annotations

import keras
import tensorflow as tf

from mlvae_tf.errors import InputError


@keras.saving.register_keras_serializable("mlvae_tf")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """From one value to another over the first steps, constant from then on.

        value = start * (end / start)^t          both positive: geometric
        value = start + (end - start) * t        otherwise: linear,

    with t = min(step / steps, 1).

    Args:
        start: Value at step 0.
        end: Value from step `steps` on.
        steps: Length of the warm-up in steps, at least 1.

    Example:

    >>> Warmup(20.0, 1.0, steps=100)(50)    # sqrt(20)
    """

    def __init__(self, start: float, end: float, steps: int) -> None:
        if steps < 1:
            raise InputError(
                f"steps must be at least 1: got {steps}. Pass a plain number "
                "as the weight for no warm-up."
            )
        if not (0 <= start < float("inf") and 0 <= end < float("inf")):
            raise InputError(
                "start and end must be finite and not negative: got "
                f"{start} and {end}."
            )
        self.start, self.end, self.steps = start, end, steps

    def __call__(self, step: tf.Tensor | int) -> tf.Tensor:
        progress = tf.minimum(tf.cast(step, "float32") / self.steps, 1.0)
        if self.start > 0 and self.end > 0:
            return self.start * (self.end / self.start) ** progress
        return self.start + (self.end - self.start) * progress

    def get_config(self) -> dict[str, float | int]:
        return {"start": self.start, "end": self.end, "steps": self.steps}

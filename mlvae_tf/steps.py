"""What a training step is told, however its batch is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

Penalty = Callable[[], tf.Tensor | float]


def no_penalty() -> float:
    """Nothing to add to a loss."""
    return 0.0


def unscaled(loss: tf.Tensor) -> tf.Tensor:
    """The loss itself, where its gradient needs no scaling."""
    return loss


class Step(NamedTuple):
    """What to differentiate, and with respect to what.

    Attributes:
        kl_weights: By level, the factor of its KL.
        seed: int32 `[2]`.
        variables: For which the gradient is wanted.
        states: Variables that running the networks changes, such as the moving
            statistics of BatchNormalization.
        weight_penalty: Gives what regularizers of weights add to the loss.
        output_penalty: Gives what `add_loss` and regularizers of outputs add,
            once the networks have run, as a mean over rows.
        scale_loss: From the loss to what the optimizer wants differentiated.
    """

    kl_weights: dict[str, float | tf.Tensor]
    seed: tf.Tensor
    variables: list[tf.Variable]
    states: list[tf.Variable]
    weight_penalty: Penalty = no_penalty
    output_penalty: Penalty = no_penalty
    scale_loss: Callable[[tf.Tensor], tf.Tensor] = unscaled

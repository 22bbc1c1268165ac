"""What is checked within a graph, and how it becomes an `InputError`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from mlvae_tf import checks
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood

_MARK = "mlvae_tf: "


def assert_values(observations: tf.Tensor, likelihood: Likelihood) -> tf.Tensor:
    """The same check within a graph: `observations`, once they have passed.

    `as_input_error` turns its failure into an `InputError`.
    """
    valid = likelihood.valid(observations)

    def describe() -> tf.Tensor:
        bad = tf.where(~valid)[0]
        value = tf.gather_nd(observations, bad)
        low, high = tf.reduce_min(observations), tf.reduce_max(observations)
        advice = tf.cond(
            tf.math.is_nan(value),
            lambda: checks.advice(likelihood, True),
            lambda: checks.advice(likelihood, False),
        )
        return tf.strings.format(
            f"{_MARK}observations must be {likelihood.support}: got values "
            "from {} to {}, the first amiss at row {} of the batch ({}). {}.",
            (low, high, bad[0], value, advice),
        )

    good = tf.reduce_all(valid)
    message = tf.cond(good, lambda: "", describe)
    check = tf.debugging.Assert(good, [message])
    # What follows waits for it, or bad values would reach the weights.
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(observations)


def assert_chunk(observations: tf.Tensor, segment_ids: tf.Tensor) -> tf.Tensor:
    """`observations`, once there are as many segment ids as there are of them.

    A batch in chunks has one id for each observation of all its chunks.
    """
    message = (
        f"{_MARK}group_ids must have one id per observation: got "
        "fewer ids than there are observations in the chunks."
    )
    same = tf.shape(observations)[0] == tf.size(segment_ids)
    check = tf.debugging.Assert(same, [message])
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(observations)


def assert_whole(count: tf.Tensor, segment_ids: tf.Tensor) -> None:
    """Stop where a batch's chunks hold fewer observations than it has ids."""
    message = (
        f"{_MARK}group_ids must have one id per observation: got more ids "
        "than there are observations in the chunks."
    )
    tf.debugging.Assert(count == tf.size(segment_ids), [message])


def assert_finite(loss: tf.Tensor) -> None:
    """Stop a training that has run away, within a graph."""
    message = (
        f"{_MARK}the loss must stay finite: it did not. Lower the learning "
        "rate, or take up the last checkpoint with another seed."
    )
    tf.debugging.Assert(tf.math.is_finite(loss), [message])


@contextlib.contextmanager
def through_tensorflow() -> Iterator[None]:
    """Mark an `InputError` in a function that TensorFlow calls.

    TensorFlow makes an error of its own of it, with the message only, which
    `as_input_error` turns back.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{_MARK}{error}") from None


@contextlib.contextmanager
def as_input_error() -> Iterator[None]:
    """Turn a failed assertion of this module, or a marked error, into one."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if _MARK not in error.message:
            raise
        message = error.message.split(_MARK, 1)[1].splitlines()[0]
        raise InputError(message.rstrip("'\"]")) from None

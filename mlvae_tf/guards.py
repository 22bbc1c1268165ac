"""What is checked within a graph, and how it becomes an `InputError`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from mlvae_tf import checks
from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood

_MARK = "mlvae_tf: "


def text(template: str, *values: Any) -> tf.Tensor:
    """`checks.fill` within a graph: of strings, numbers and tensors."""
    first, *others = template.split("{}")
    parts = [tf.constant(first)]
    for value, other in zip(values, others, strict=True):
        parts += [_shown(tf.convert_to_tensor(value)), tf.constant(other)]
    return tf.strings.join(parts)


def _shown(value: tf.Tensor) -> tf.Tensor:
    if value.dtype == tf.string:
        return value
    if value.dtype.is_floating:  # As Python's format g.
        return tf.strings.as_string(value, shortest=True)
    return tf.strings.format("{}", value)


def require(
    good: tf.Tensor, describe: Callable[[], tf.Tensor]
) -> list[tf.Operation]:
    """Stop within a graph unless `good`.

    Args:
        good: A scalar.
        describe: What to say otherwise.

    Returns:
        What has to be waited for.
    """
    message = tf.cond(
        good, lambda: tf.constant(""), lambda: text("{}{}", _MARK, describe())
    )
    check = tf.debugging.Assert(good, [message])
    return [] if check is None else [check]


def after(checks: list[tf.Operation], tensor: tf.Tensor) -> tf.Tensor:
    """`tensor`, once the checks have passed: what is wrong goes no further."""
    with tf.control_dependencies(checks):
        return tf.identity(tensor)


def require_valid(
    values: tf.Tensor,
    valid: tf.Tensor,
    expected: str,
    unit: str,
    advice: str | Callable[[tf.Tensor], tf.Tensor],
) -> list[tf.Operation]:
    """Stop within a graph unless all values are valid.

    Args:
        values: `[N, ...]`.
        valid: Which are, bool of the same shape.
        expected: What must be, such as "precision must be finite".
        unit: What the rows are, such as "observations".
        advice: What to do; or what says it, given the first value amiss.
    """

    def describe() -> tf.Tensor:
        first = tf.where(~valid)[0]
        value = tf.gather_nd(values, first)
        good = tf.reduce_all(valid, axis=range(1, len(valid.shape)))
        return text(
            checks.AMISS,
            expected,
            _got(values, valid),
            tf.math.count_nonzero(~good),
            text(f"{{}} {unit}", tf.size(good)),
            text("row {}", first[0]),
            value,
            advice(value) if callable(advice) else advice,
        )

    return require(tf.reduce_all(valid), describe)


def _range(values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The least and the greatest of the finite values."""
    finite = tf.math.is_finite(values)
    return (
        tf.reduce_min(tf.where(finite, values, values.dtype.max)),
        tf.reduce_max(tf.where(finite, values, values.dtype.min)),
    )


def _got(values: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """What values were given, of which some are not valid."""
    finite = tf.math.is_finite(values)
    among = text("values from {} to {}", *_range(values))
    wild = text(f"{checks.WILD} among {{}}", among)
    got = tf.where(tf.reduce_all(finite | valid), among, wild)
    return tf.where(tf.reduce_any(finite), got, checks.WILD)


def assert_values(
    observations: tf.Tensor, likelihood: Likelihood, name: str = "observations"
) -> tf.Tensor:
    """`checks.check_values` within a graph.

    `as_input_error` turns its failure into an `InputError`.

    Args:
        observations: `[N, ...]`.
        likelihood: What takes them.
        name: What they are called.

    Returns:
        The observations, once they have passed.
    """

    def advice(value: tf.Tensor) -> tf.Tensor:
        return tf.where(
            tf.math.is_finite(value),
            checks.advice(likelihood, False, *_range(observations)),
            checks.advice(likelihood, True),
        )

    found = require_valid(
        observations,
        likelihood.valid(observations),
        f"{name} must be {likelihood.support}",
        "observations of the batch",
        advice,
    )
    return after(found, observations)


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
    return after([] if check is None else [check], observations)


def assert_whole(
    count: tf.Tensor, segment_ids: tf.Tensor, stop: tf.Tensor | None = None
) -> None:
    """Stop where a batch's chunks hold fewer observations than it has ids.

    Args:
        count: How many they hold, and those before them.
        segment_ids: Of the whole batch.
        stop: Where they have to end, if they are a worker's.
    """
    stop = tf.size(segment_ids) if stop is None else stop
    message = (
        f"{_MARK}group_ids must have one id per observation: got more ids "
        "than there are observations in the chunks."
    )
    tf.debugging.Assert(count == stop, [message])


def all_finite(tensors: list[tf.Tensor | None]) -> tf.Tensor:
    """Whether all numbers of all tensors are finite, a scalar bool.

    Args:
        tensors: Of any shape; None is the gradient of what nothing depends on.
    """
    there = [tensor for tensor in tensors if tensor is not None]
    return tf.reduce_all(
        [tf.reduce_all(tf.math.is_finite(tensor)) for tensor in there]
    )


def assert_finite(loss: tf.Tensor) -> None:
    """Stop a training that has run away, within a graph."""
    message = (
        f"{_MARK}the loss must stay finite, and its gradient: the step that "
        "made them something else was not taken. Lower the learning rate, or "
        "take up the last checkpoint with another seed."
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
    except tf.errors.UnavailableError as error:
        if "ollective ops is aborted" not in error.message:
            raise
        raise InputError(
            "another worker is gone: look at what it said. Nothing is lost but "
            "the steps since the last checkpoint; start all workers again, "
            "with --resume."
        ) from None
    except tf.errors.InvalidArgumentError as error:
        if _MARK not in error.message:
            raise
        message = error.message.split(_MARK, 1)[1].splitlines()[0]
        raise InputError(message.rstrip("'\"]")) from None

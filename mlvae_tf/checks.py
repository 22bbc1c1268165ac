"""What the model takes, checked once at its boundary, with what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mlvae_tf.errors import InputError

Shape = tuple[int, ...]
_MARK = "mlvae_tf: "


def as_shape(shape: Any) -> Shape:
    """A shape of one observation as a tuple of positive integers."""
    try:
        sizes = tuple(int(size) for size in shape)
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise InputError(
            "observation_shape must have at least one axis and positive "
            f"sizes, such as (28, 28, 1): got {shape!r}."
        )
    return sizes


def unpack(data: Any) -> tuple[Any, Any]:
    """Observations and group ids of a batch as Keras hands it over."""
    if isinstance(data, tuple):
        data, targets, weights = keras.utils.unpack_x_y_sample_weight(data)
        if targets is not None or weights is not None:
            raise InputError(
                "there are no targets and no sample weights: pass one dict of "
                "observations and group_ids."
            )
    if not isinstance(data, dict) or not {"observations", "group_ids"} <= set(
        data
    ):
        got = ", ".join(data) if isinstance(data, dict) else type(data).__name__
        raise InputError(
            'expected batches {"observations": [N, ...], "group_ids": [N]}: '
            f"got {got}."
        )
    return data["observations"], data["group_ids"]


def as_observations(
    observations: Any,
    observation_shape: Shape,
    likelihood: str,
    dtype: str,
    group_ids: Any = None,
) -> tf.Tensor:
    """Observations as a tensor, checked; their values only outside a graph."""
    observations = tf.cast(observations, dtype)
    if group_ids is not None:
        group_ids = tf.convert_to_tensor(group_ids)
    check_shapes(observations, observation_shape, group_ids)
    if tf.executing_eagerly():
        check_values(observations.numpy(), likelihood)
    return observations


def check_latents(
    content: tf.Tensor, style: tf.Tensor, content_dim: int, style_dim: int
) -> None:
    """Raise `InputError` unless the static shapes can be decoded."""
    expected = [content_dim, style_dim]
    if [content.shape[-1], style.shape[-1]] != expected or not content.shape[
        :-1
    ].is_compatible_with(style.shape[:-1]):
        raise InputError(
            f"expected content [N, {content_dim}] and style [N, {style_dim}]: "
            f"got {tuple(content.shape)} and {tuple(style.shape)}."
        )


def check_shapes(
    observations: Any, observation_shape: Shape, group_ids: Any = None
) -> None:
    """Raise `InputError` unless the static shapes fit the model.

    Args:
        observations: Array or tensor that should be `[N, *observation_shape]`.
        observation_shape: What the model was built for.
        group_ids: If given, array or tensor that should be `[N]`, integers or
            strings.
    """
    if getattr(observations.shape, "rank", 0) is None:
        raise InputError(
            "observations must have a known number of axes: set the shape of "
            "the dataset's elements."
        )
    shape = tuple(observations.shape)
    if shape[:1] == (0,):
        raise InputError("expected at least one observation: got none.")
    if shape[1:] != tuple(observation_shape):
        raise InputError(
            "observations must have shape "
            f"[N, {', '.join(map(str, observation_shape))}]: got {shape}. "
            "Resize or reshape them, or build the model with another "
            "observation_shape."
        )
    if group_ids is None:
        return
    if len(group_ids.shape) != 1:
        raise InputError(
            "group_ids must have one axis: got shape "
            f"{tuple(group_ids.shape)}. Pass group_ids of shape [N]."
        )
    lengths = shape[0], group_ids.shape[0]
    if None not in lengths and lengths[0] != lengths[1]:
        raise InputError(
            "group_ids must have one id an observation: got "
            f"{lengths[1]} ids for {lengths[0]} observations. Pass group_ids "
            f"of shape [{lengths[0]}]."
        )
    check_group_dtype(group_ids)


def check_group_dtype(group_ids: Any) -> None:
    """Raise `InputError` unless the ids are integers or strings."""
    dtype = tf.as_dtype(group_ids.dtype)
    if not (dtype.is_integer or dtype == tf.string):
        raise InputError(
            f"group_ids must be integers or strings: got {group_ids.dtype}."
        )


def _requirement(likelihood: str) -> str:
    if likelihood != "bernoulli":
        return "observations must be finite numbers"
    return (
        "observations must be numbers in [0, 1] for the Bernoulli likelihood "
        "(divide 8-bit images by 255)"
    )


def check_values(observations: np.ndarray, likelihood: str) -> None:
    """Raise `InputError` on values that the likelihood does not take."""
    if np.asarray(observations).dtype.kind not in "biuf":
        raise InputError(
            f"{_requirement(likelihood)}: got {observations.dtype}."
        )
    low, high = float(np.min(observations)), float(np.max(observations))
    within = low >= 0 and high <= 1
    if np.isnan(low) or not np.isfinite(high - low):
        raise InputError(
            f"{_requirement(likelihood)}: got NaN or infinite values. Remove "
            "or repair those observations."
        )
    if likelihood == "bernoulli" and not within:
        raise InputError(
            f"{_requirement(likelihood)}: got values from {low:g} to {high:g}."
        )


def assert_values(observations: tf.Tensor, likelihood: str) -> tf.Tensor:
    """The same check within a graph: `observations`, once they have passed.

    `as_input_error` turns its failure into an `InputError`.
    """
    low, high = tf.reduce_min(observations), tf.reduce_max(observations)
    if likelihood == "bernoulli":
        good = (low >= 0) & (high <= 1)
    else:
        good = tf.math.is_finite(high - low)
    got = tf.strings.format("got values from {} to {}.", (low, high))
    message = tf.strings.join([f"{_MARK}{_requirement(likelihood)}: ", got])
    check = tf.debugging.Assert(good, [message])
    # What follows waits for it, or bad values would reach the weights.
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(observations)


def assert_chunk(observations: tf.Tensor, segment_ids: tf.Tensor) -> tf.Tensor:
    """`observations`, once there are as many segment ids as there are of them.

    A batch in chunks has one id for each observation of all its chunks.
    """
    message = (
        f"{_MARK}group_ids must have one id an observation: got "
        "fewer ids than there are observations in the chunks."
    )
    same = tf.shape(observations)[0] == tf.size(segment_ids)
    check = tf.debugging.Assert(same, [message])
    with tf.control_dependencies([] if check is None else [check]):
        return tf.identity(observations)


def assert_whole(count: tf.Tensor, segment_ids: tf.Tensor) -> None:
    """Stop where a batch's chunks hold fewer observations than it has ids."""
    message = (
        f"{_MARK}group_ids must have one id an observation: got more ids "
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


def prepare_arrays(data: Any, observation_shape: Shape) -> Any:
    """Check a dict of arrays before Keras batches it, and number its ids.

    Keras batches arrays of numbers only.

    Args:
        data: What `fit` was given; only a dict of arrays is changed.
        observation_shape: What the model was built for.
    """
    if not isinstance(data, dict):
        return data
    observations, group_ids = (np.asarray(part) for part in unpack(data))
    check_shapes(observations, observation_shape, group_ids)
    if group_ids.dtype.kind in "OSU":
        group_ids = np.unique(group_ids.astype(str), return_inverse=True)[1]
    return {"observations": observations, "group_ids": group_ids}


def check_finite_weights(variables: list[keras.Variable]) -> None:
    """Raise `InputError` where a training has run away."""
    for variable in variables:
        if not np.isfinite(variable.numpy()).all():
            raise InputError(
                f"the weights must stay finite: {variable.path} did not. "
                "Lower the learning rate."
            )


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

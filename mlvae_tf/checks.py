"""What users pass, checked once at the boundary, with what to do."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood

Shape = tuple[int, ...]


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


def as_group_ids(group_ids: Any) -> np.ndarray:
    """Group ids as an array of integers or of strings, of any shape.

    Args:
        group_ids: An array, or what makes one: a list, a column of a table, a
            tensor. UTF-8 bytes are strings.

    Raises:
        InputError: If there is any other, or some of either.
    """
    if isinstance(group_ids, tf.Tensor):
        group_ids = group_ids.numpy()
    if isinstance(group_ids, (list, tuple)):
        # NumPy would make strings of integers among strings.
        flat = np.empty(len(group_ids), object)
        flat[:] = group_ids
        group_ids = flat
    ids = np.asarray(group_ids)
    if ids.dtype.kind in "iuU":
        return ids
    if ids.dtype.kind in "OST":
        return _of_objects(ids.astype(object))
    raise InputError(
        f"group_ids must be integers or strings: got {ids.dtype}. Pass "
        "group_ids.astype(int) or group_ids.astype(str)."
    )


def _of_objects(ids: np.ndarray) -> np.ndarray:
    strings = np.array([isinstance(i, (str, bytes)) for i in ids.flat])
    integers = np.array(
        [
            isinstance(i, (int, np.integer)) and not isinstance(i, bool)
            for i in ids.flat
        ]
    )
    bad = ~(strings if strings.sum() >= integers.sum() else integers)
    if bad.any():
        first = int(bad.argmax())
        kind = "strings" if strings.any() else "integers or strings"
        raise InputError(
            f"group_ids must all be {kind}: got {np.count_nonzero(bad)} of "
            f"{len(bad)} that are not, the first at row {first}: "
            f"{ids.flat[first]!r}. Give every observation the id of its group, "
            "or leave it out."
        )
    if integers.all():
        return ids.astype(np.int64)
    texts = [i.decode() if isinstance(i, bytes) else str(i) for i in ids.flat]
    return np.array(texts, np.str_).reshape(ids.shape)


def numbered(group_ids: Any) -> np.ndarray:
    """Group ids as integers that tell the same groups apart."""
    ids = as_group_ids(group_ids)
    if ids.dtype.kind in "iu":
        return ids
    _, numbers = np.unique(ids, return_inverse=True)
    return numbers.reshape(ids.shape)


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
    if group_ids is not None:
        check_lengths(shape[0], group_ids)


def check_lengths(num_observations: int | None, group_ids: Any) -> None:
    """Raise `InputError` unless there is one id per observation."""
    if len(group_ids.shape) != 1:
        raise InputError(
            "group_ids must have one axis: got shape "
            f"{tuple(group_ids.shape)}. Pass group_ids of shape [N]."
        )
    lengths = num_observations, group_ids.shape[0]
    if None not in lengths and lengths[0] != lengths[1]:
        raise InputError(
            "group_ids must have one id per observation: got "
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


def as_observations(
    observations: Any,
    observation_shape: Shape,
    likelihood: Likelihood,
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


def check_values(observations: np.ndarray, likelihood: Likelihood) -> None:
    """Raise `InputError` on values that the likelihood does not take.

    Args:
        observations: `[N, ...]`.
        likelihood: The likelihood.
    """
    observations = np.asarray(observations)
    expected = f"observations must be {likelihood.support}"
    if observations.dtype.kind not in "biuf":
        raise InputError(f"{expected}: got {observations.dtype}.")
    with np.errstate(invalid="ignore"):  # Of NaN and infinity.
        valid = np.asarray(likelihood.valid(observations))
    if valid.all():
        return
    good = valid.reshape(len(valid), -1).all(axis=1)
    first = int(good.argmin())
    value = observations[first][~valid[first]].flat[0]
    low, high = float(np.min(observations)), float(np.max(observations))
    if np.isfinite(high - low):
        got = f"got values from {low:g} to {high:g}"
    else:
        got = "got NaN or infinite values"
    raise InputError(
        f"{expected}: {got}, in {np.count_nonzero(~good)} of {len(valid)} "
        f"observations, the first at row {first} ({value:g}). "
        f"{advice(likelihood, np.isnan(value))}."
    )


def check_stored(observations: np.ndarray, likelihood: Likelihood) -> None:
    """The same for what is stored, of which 8-bit images are no values yet."""
    if observations.dtype == np.uint8:
        ends = likelihood.values(np.array([0, 255], np.uint8))
        if np.all(likelihood.valid(ends)):
            return
        observations = likelihood.values(observations).numpy()
    check_values(observations, likelihood)


def advice(likelihood: Likelihood, unknown: bool) -> str:
    """What to do with a value that the likelihood does not take."""
    if not unknown:
        return likelihood.advice
    return (
        "Remove or repair those observations, or pass missing_values=True "
        "(--missing_values) where NaN stands for a value that is not known"
    )


def check_finite_weights(variables: list[keras.Variable]) -> None:
    """Raise `InputError` where a training has run away."""
    for variable in variables:
        if not np.isfinite(variable.numpy()).all():
            raise InputError(
                f"the weights must stay finite: {variable.path} did not. "
                "Lower the learning rate."
            )

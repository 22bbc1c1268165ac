"""What users pass, checked once at the boundary, with what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mlvae_tf.errors import InputError
from mlvae_tf.likelihoods import Likelihood

Shape = tuple[int, ...]
# What is said here and, by `guards`, within a graph.
AMISS = "{}: got {}, in {} of {}, the first at {} ({}). {}."
WILD = "NaN or infinite values"
WRONG_SHAPE = "{} must have shape {}: got {}. {}."
LATENTS = "expected {}: got {}. One row of each makes one observation."
NOTHING = "expected at least one observation: got none."
LENGTHS = (
    "{} must have one id per observation: got {} ids for {} observations. "
    "Pass {} of shape [{}]."
)


RESHAPE = (
    "Resize or reshape them, or build the model with another observation_shape"
)
CHANNELS_LAST = (
    "Channels come last: np.moveaxis(observations, 1, -1) moves them there"
)


def fill(template: str, *values: Any) -> str:
    """A template with each `{}` replaced; other braces stay."""
    first, *others = template.split("{}")
    pairs = zip(values, others, strict=True)
    return first + "".join(f"{value}{other}" for value, other in pairs)


def shape_text(shape: tuple[int | None, ...]) -> str:
    """A shape as messages show it, such as [N, 28, 28, 1]."""
    sizes = ("N" if size is None else str(size) for size in shape)
    return f"[{', '.join(sizes)}]"


def has_channels_first(shape: Shape) -> bool:
    """Whether observations of this shape seem to be images, channels first."""
    colors = 1, 3, 4
    return (
        len(shape) == 3
        and shape[0] in colors
        and shape[2] not in colors
        and min(shape[1:]) > 4
    )


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
    if has_channels_first(sizes):
        warnings.warn(
            f"observation_shape={sizes} seems to be that of images with their "
            f"channels first. {CHANNELS_LAST}.",
            stacklevel=3,
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
    if ids.dtype.kind == "U":
        return _as_text(ids)
    if ids.dtype.kind in "iu":
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
    texts = [
        i.decode("utf-8", "surrogateescape") if isinstance(i, bytes) else str(i)
        for i in ids.flat
    ]
    return _as_text(np.array(texts, np.str_).reshape(ids.shape))


def _as_text(ids: np.ndarray) -> np.ndarray:
    """Raise `InputError` where strings are no text, such as Latin-1 bytes."""
    if not ids.size or not ids.dtype.itemsize:
        return ids
    codes = np.ascontiguousarray(ids).reshape(-1).view(np.uint32)
    bad = ((codes >= 0xD800) & (codes < 0xE000)).reshape(ids.size, -1).any(1)
    if bad.any():
        first = int(bad.argmax())
        raise InputError(
            f"group_ids must be text: got {np.count_nonzero(bad)} of "
            f"{ids.size} that are not UTF-8, the first at row {first}: "
            f"{ids.flat[first]!r}. Decode them as what they are, such as "
            "np.char.decode(group_ids, 'latin1')."
        )
    return ids


def by_level(
    given: Any, names: tuple[str, ...], what: str = "group_ids"
) -> dict[str, Any]:
    """What is given by level; of one level alone it may be given as it is.

    Raises:
        InputError: Unless it is of these levels, and of no others.
    """
    form = ", ".join(f'"{name}": [N, ...]' for name in names)
    if what == "group_ids":
        form = form.replace(", ...", "")
    if not isinstance(given, dict):
        if len(names) == 1:
            return {names[0]: given}
        raise InputError(
            f"{what} must be by level, {{{form}}}: got {type(given).__name__}."
        )
    if set(given) != set(names):
        raise InputError(
            f"{what} must be of the model's levels, {{{form}}}: got "
            f"{', '.join(map(repr, given)) or 'none'}."
        )
    return {name: given[name] for name in names}


def numbered(group_ids: Any) -> Any:
    """Group ids as integers that tell the same groups apart."""
    if isinstance(group_ids, dict):
        return {level: numbered(ids) for level, ids in group_ids.items()}
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
            strings, or a dict of such by level.
    """
    if getattr(observations.shape, "rank", 0) is None:
        raise InputError(
            "observations must have a known number of axes: set the shape of "
            "the dataset's elements."
        )
    shape = tuple(observations.shape)
    if shape[:1] == (0,):
        raise InputError(NOTHING)
    if shape[1:] != tuple(observation_shape):
        expected = shape_text((None, *observation_shape))
        moved = (*shape[2:], *shape[1:2]) == tuple(observation_shape)
        advice = CHANNELS_LAST if moved else RESHAPE
        raise InputError(
            fill(WRONG_SHAPE, "observations", expected, shape, advice)
        )
    if isinstance(group_ids, dict):
        for ids in group_ids.values():
            check_lengths(shape[0], ids)
    elif group_ids is not None:
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
        count, name = lengths[0], "group_ids"
        raise InputError(fill(LENGTHS, name, lengths[1], count, name, count))
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
        group_ids = tf.nest.map_structure(tf.convert_to_tensor, group_ids)
    check_shapes(observations, observation_shape, group_ids)
    if tf.executing_eagerly():
        check_values(observations.numpy(), likelihood)
    return observations


def check_values(
    observations: np.ndarray,
    likelihood: Likelihood,
    row_name: Callable[[int], str] | None = None,
) -> None:
    """Raise `InputError` on values that the likelihood does not take.

    Args:
        observations: `[N, ...]`.
        likelihood: The likelihood.
        row_name: What to call a row of them in the message.
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
    raise InputError(
        fill(
            AMISS,
            expected,
            _got(observations, valid),
            np.count_nonzero(~good),
            f"{len(valid)} observations",
            row_name(first) if row_name else f"row {first}",
            f"{value:g}",
            advice(likelihood, not np.isfinite(value), *_range(observations)),
        )
    )


def _range(values: np.ndarray) -> tuple[float, float]:
    """The least and the greatest of the finite values."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return np.inf, np.inf
    return float(finite.min()), float(finite.max())


def _got(values: np.ndarray, valid: np.ndarray) -> str:
    """What values were given, of which some are not valid."""
    finite = np.isfinite(values)
    wild = not (finite | valid).all()
    if not finite.any():
        return WILD
    low, high = _range(values)
    among = f"values from {low:g} to {high:g}"
    return f"{WILD} among {among}" if wild else among


def check_stored(
    observations: np.ndarray,
    likelihood: Likelihood,
    row_name: Callable[[int], str] | None = None,
) -> None:
    """The same for what is stored, of which 8-bit images are no values yet."""
    if observations.dtype == np.uint8:
        ends = likelihood.values(np.array([0, 255], np.uint8))
        if np.all(likelihood.valid(ends)):
            return
        observations = likelihood.values(observations).numpy()
    check_values(observations, likelihood, row_name)


def as_float32(observations: np.ndarray) -> np.ndarray:
    """Observations as float32.

    Raises:
        InputError: If finite ones are too large for it.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        values = observations.astype(np.float32)
    if observations.dtype.itemsize <= values.dtype.itemsize:
        return values
    lost = np.isinf(values) & np.isfinite(observations)
    if lost.any():
        largest = np.abs(observations[lost]).max()
        raise InputError(
            f"observations must be within float32, up to 3.4e38: got values "
            f"up to {largest:.3g}, in {observations.dtype}. Divide them by a "
            "number of that size."
        )
    return values


def warn_of_scale(values: np.ndarray, likelihood: Likelihood) -> None:
    """Warn where values and the likelihood's scale are far apart.

    Args:
        values: Those of some observations, `[n, ...]`.
        likelihood: The likelihood.
    """
    doubt = likelihood.doubt(values)
    if doubt:
        warnings.warn(doubt, stacklevel=3)


def advice(
    likelihood: Likelihood, unknown: bool, low: Any = np.inf, high: Any = np.inf
) -> Any:
    """What to do with values that the likelihood does not take.

    Args:
        likelihood: The likelihood.
        unknown: Whether some are NaN or infinite.
        low: The least of the finite ones, within a graph a tensor.
        high: The largest.

    Returns:
        A sentence without its stop; within a graph, a tensor.
    """
    if not unknown:
        said = likelihood.advice_for(low, high)
        constant = tf.get_static_value(said)
        return said if constant is None else _as_str(constant)
    return (
        "Remove or repair those observations, or pass missing_values=True "
        "(--missing_values) where NaN stands for a value that is not known"
    )


def _as_str(text: Any) -> str:
    text = text.item() if isinstance(text, (np.ndarray, np.generic)) else text
    return text.decode() if isinstance(text, bytes) else str(text)


def check_finite_weights(variables: list[keras.Variable]) -> None:
    """Raise `InputError` where a training has run away."""
    for variable in variables:
        if not np.isfinite(variable.numpy()).all():
            raise InputError(
                f"the weights must stay finite: {variable.path} did not. "
                "Lower the learning rate."
            )

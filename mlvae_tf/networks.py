"""Encoder trunks and decoders.

A trunk is a pair of networks. The encoder maps observations to features, from
which the heads read content and style; the decoder maps a content and a style,
concatenated, to the parameters of the likelihood, in the shape of an
observation whose last axis holds the parameters of every channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf
from keras import layers

from mlvae_tf.errors import InputError

Shape = tuple[int, ...]


class Architecture(NamedTuple):
    """What a trunk is built from.

    Attributes:
        input_shape: Of one observation, as the encoder reads it.
        latent_dim: Dimensions of all latents that the decoder reads.
        parameter_shape: Of the decoder's output for one observation.
        hidden_units: Of the encoder's hidden layers; the decoder's in reverse.
        activation: Of the hidden layers.
        dtype: What computes the layers.
    """

    input_shape: Shape
    latent_dim: int
    parameter_shape: Shape
    hidden_units: Shape
    activation: str | None
    dtype: keras.DTypePolicy


def _dense(units: int, activation: str | None, dtype: object) -> layers.Dense:
    return layers.Dense(
        units, activation, kernel_initializer="lecun_normal", dtype=dtype
    )


def _hidden(spec: Architecture, units: Shape) -> list[layers.Dense]:
    return [_dense(size, spec.activation, spec.dtype) for size in units]


def mlp_encoder(spec: Architecture) -> keras.Sequential:
    """Fully connected: the paper's 784-500 with the default units."""
    return keras.Sequential(
        [
            keras.Input(spec.input_shape, dtype=spec.dtype.compute_dtype),
            layers.Reshape((math.prod(spec.input_shape),), dtype=spec.dtype),
            *_hidden(spec, spec.hidden_units),
        ],
        name="encoder",
    )


def mlp_decoder(spec: Architecture) -> keras.Sequential:
    """Fully connected: the paper's 20-500-784 with the default units."""
    return keras.Sequential(
        [
            keras.Input((spec.latent_dim,), dtype=spec.dtype.compute_dtype),
            *_hidden(spec, spec.hidden_units[::-1]),
            _dense(math.prod(spec.parameter_shape), None, spec.dtype),
            layers.Reshape(spec.parameter_shape, dtype=spec.dtype),
        ],
        name="decoder",
    )


class _Strides(NamedTuple):
    """How a convolutional trunk halves an image or a series.

    Attributes:
        channels: Of each halving.
        sizes: The sides before the first and after each: `(28, 28)`,
            `(14, 14)`, `(7, 7)`; 25, 13, 7.
    """

    channels: list[int]
    sizes: list[Shape]


def _strides(shape: Shape) -> _Strides:
    """The halvings for observations of this shape.

    Images 28 -> 14 -> 7, 64 -> 32 -> 16 -> 8, odd sides rounded up; series as
    often as leaves 6 steps.
    """
    sides = shape[:-1]
    if len(sides) not in (1, 2) or min(sides) < 4:
        raise InputError(
            'trunk="conv" takes images [height, width, channels] or series '
            "[time, channels] with sides of at least 4: got "
            f'observation_shape={shape}. Reshape them, or use trunk="mlp".'
        )
    if len(sides) == 2:
        fits = min(sides) >= 64 and not any(side % 8 for side in sides)
        halvings, most = 3 if fits else 2, 128
    else:
        halvings, most = max(1, int(math.log2(sides[0] / 6))), 128
    sizes = [sides]
    for _ in range(halvings):
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    return _Strides([min(32 * 2**i, most) for i in range(halvings)], sizes)


def _conv(kind: type, channels: int, spec: Architecture) -> layers.Layer:
    return kind(
        channels,
        4,
        strides=2,
        padding="same",
        activation=spec.activation,
        kernel_initializer="lecun_normal",
        dtype=spec.dtype,
    )


def conv_encoder(spec: Architecture) -> keras.Sequential:
    """Strided convolutions over images or series, then the hidden units."""
    channels, sizes = _strides(spec.input_shape)
    kind = layers.Conv1D if len(sizes[0]) == 1 else layers.Conv2D
    return keras.Sequential(
        [
            keras.Input(spec.input_shape, dtype=spec.dtype.compute_dtype),
            *(_conv(kind, size, spec) for size in channels),
            layers.Flatten(dtype=spec.dtype),
            *_hidden(spec, spec.hidden_units),
        ],
        name="encoder",
    )


def conv_decoder(spec: Architecture) -> keras.Sequential:
    """The mirror image of `conv_encoder`, with transposed convolutions."""
    channels, sizes = _strides(spec.input_shape)
    smallest = *sizes[-1], channels[-1]
    outputs = *channels[-2::-1], spec.parameter_shape[-1]
    doubled: list[layers.Layer] = []
    for number, size in enumerate(outputs):
        last = number == len(outputs) - 1
        unlike = spec._replace(activation=None) if last else spec
        doubled += _doubling(
            size, sizes[-2 - number], sizes[-1 - number], unlike
        )
    return keras.Sequential(
        [
            keras.Input((spec.latent_dim,), dtype=spec.dtype.compute_dtype),
            *_hidden(spec, spec.hidden_units[::-1]),
            _dense(math.prod(smallest), spec.activation, spec.dtype),
            layers.Reshape(smallest, dtype=spec.dtype),
            *doubled,
        ],
        name="decoder",
    )


def _doubling(
    channels: int, after: Shape, before: Shape, spec: Architecture
) -> list[layers.Layer]:
    """What doubles sides, and takes off what was rounded up."""
    series = len(after) == 1
    kind = layers.Conv1DTranspose if series else layers.Conv2DTranspose
    found = [_conv(kind, channels, spec)]
    extra = [(0, 2 * small - side) for small, side in zip(before, after)]
    if any(right for _, right in extra):
        crop = layers.Cropping1D if series else layers.Cropping2D
        found.append(crop(extra[0] if series else extra, dtype=spec.dtype))
    return found


def linear_encoder(spec: Architecture) -> keras.Sequential:
    """A linear map: as many features as there are latent dimensions."""
    return mlp_encoder(
        spec._replace(hidden_units=(spec.latent_dim,), activation=None)
    )


def linear_decoder(spec: Architecture) -> keras.Sequential:
    """A linear map."""
    return mlp_decoder(spec._replace(hidden_units=()))


def check_encoder(encoder: keras.layers.Layer, spec: Architecture) -> int:
    """The number of features of an encoder, once it has run.

    Raises:
        InputError: If it does not map `[N, *input_shape]` to `[N, features]`.
    """
    output = _run(encoder, "encoder", spec.input_shape, spec.dtype)
    if len(output) != 2:
        raise InputError(
            f"encoder must map [N, {_text(spec.input_shape)}] to features "
            f"[N, any]: got [N, {_text(output[1:])}]. End it with Flatten."
        )
    return int(output[-1])


def check_decoder(decoder: keras.layers.Layer, spec: Architecture) -> None:
    """Raise `InputError` unless a decoder has the shapes that are needed."""
    output = _run(decoder, "decoder", (spec.latent_dim,), spec.dtype)
    if output[1:] != spec.parameter_shape:
        raise InputError(
            f"decoder must map [N, {spec.latent_dim}] to the likelihood's "
            f"parameters [N, {_text(spec.parameter_shape)}]: got "
            f"[N, {_text(output[1:])}]."
        )


def _run(
    network: keras.layers.Layer,
    name: str,
    shape: Shape,
    dtype: keras.DTypePolicy,
) -> Shape:
    """The shape of what a network, built now if it was not, gives for zeros."""
    if not isinstance(network, layers.Layer):
        raise InputError(
            f"{name} must be a Keras layer or model: got {network!r}."
        )
    zeros = tf.zeros((2, *shape), dtype.compute_dtype)
    try:
        output = network(zeros, training=False)
        return tuple(output.shape)
    except Exception as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{name} must take [N, {_text(shape)}]: it failed on zeros of that "
            f"shape with {type(error).__name__}: {reason}"
        ) from error


def _text(shape: Shape) -> str:
    return ", ".join(map(str, shape))


Builder = Callable[[Architecture], keras.Sequential]
TRUNKS: dict[str, tuple[Builder, Builder]] = {
    "mlp": (mlp_encoder, mlp_decoder),
    "conv": (conv_encoder, conv_decoder),
    "linear": (linear_encoder, linear_decoder),
}

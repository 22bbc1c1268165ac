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
from keras import layers

from mlvae_tf.errors import InputError

Shape = tuple[int, ...]


class Architecture(NamedTuple):
    """What a trunk is built from."""

    observation_shape: Shape
    latent_dim: int
    parameter_shape: Shape
    hidden_units: Shape
    activation: str
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
            keras.Input(spec.observation_shape, dtype=spec.dtype.compute_dtype),
            layers.Reshape(
                (math.prod(spec.observation_shape),), dtype=spec.dtype
            ),
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


def _conv_channels(shape: Shape) -> list[int]:
    """Channels of each halving: 28 -> 14 -> 7, 64 -> 32 -> 16 -> 8."""
    if len(shape) != 3 or shape[0] % 4 or shape[1] % 4:
        raise InputError(
            'trunk="conv" takes images [height, width, channels] with sides '
            f"divisible by 4: got observation_shape={shape}. Resize the "
            'images, or use trunk="mlp".'
        )
    halvings = (
        3
        if min(shape[:2]) >= 64 and not any(side % 8 for side in shape[:2])
        else 2
    )
    return [32 * 2**i for i in range(halvings)]


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
    """Strided convolutions, then the hidden units."""
    channels = _conv_channels(spec.observation_shape)
    return keras.Sequential(
        [
            keras.Input(spec.observation_shape, dtype=spec.dtype.compute_dtype),
            *(_conv(layers.Conv2D, size, spec) for size in channels),
            layers.Flatten(dtype=spec.dtype),
            *_hidden(spec, spec.hidden_units),
        ],
        name="encoder",
    )


def conv_decoder(spec: Architecture) -> keras.Sequential:
    """The mirror image of `conv_encoder`, with transposed convolutions."""
    channels = _conv_channels(spec.observation_shape)
    height, width = (
        side // 2 ** len(channels) for side in spec.observation_shape[:2]
    )
    last = layers.Conv2DTranspose(
        spec.parameter_shape[-1],
        4,
        strides=2,
        padding="same",
        kernel_initializer="lecun_normal",
        dtype=spec.dtype,
    )
    return keras.Sequential(
        [
            keras.Input((spec.latent_dim,), dtype=spec.dtype.compute_dtype),
            *_hidden(spec, spec.hidden_units[::-1]),
            _dense(height * width * channels[-1], spec.activation, spec.dtype),
            layers.Reshape((height, width, channels[-1]), dtype=spec.dtype),
            *(
                _conv(layers.Conv2DTranspose, size, spec)
                for size in channels[-2::-1]
            ),
            last,
        ],
        name="decoder",
    )


Builder = Callable[[Architecture], keras.Sequential]
TRUNKS: dict[str, tuple[Builder, Builder]] = {
    "mlp": (mlp_encoder, mlp_decoder),
    "conv": (conv_encoder, conv_decoder),
}

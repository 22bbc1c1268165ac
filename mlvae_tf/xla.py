"""Where XLA pays."""

from __future__ import annotations

import tensorflow as tf
from keras import layers
from tensorflow.python.util import _pywrap_util_port

from mlvae_tf.codec import Codec

_CONVOLUTIONS = (
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
)


def pays(codec: Codec) -> bool:
    """Whether XLA is faster than TensorFlow at the package's own networks."""
    parts = (*codec.encoder.layers, *codec.decoder.layers)
    convolves = any(isinstance(part, _CONVOLUTIONS) for part in parts)
    return not (convolves and _has_fast_convolutions())


def _has_fast_convolutions() -> bool:
    """Whether TensorFlow's convolutions are faster than XLA's: oneDNN's are."""
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return not on_gpu and _pywrap_util_port.IsMklEnabled()

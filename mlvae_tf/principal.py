"""Where linear networks start: at principal components."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from mlvae_tf.codec import Codec


def start(codec: Codec, observations: np.ndarray) -> None:
    """Let contents be the largest principal components, of unit variance.

    Args:
        codec: Of the trunk `"linear"`, with one parameter per value.
        observations: `[N, *observation_shape]`, at least two.

    References:
        Tipping and Bishop 1999, Probabilistic Principal Component Analysis
        (JRSS B 61), Section 3.2: the maximum of a linear model's likelihood.
    """
    shown = codec.likelihood.encoded(tf.constant(observations)).numpy()
    content_dim = sum(level.dim for level in codec.drawn)
    _start_networks(codec.encoder, codec.decoder, shown, content_dim)
    head = codec.heads[codec.levels[0].name]
    kernel = head.kernel.numpy()
    kernel[:, :content_dim] = np.eye(
        len(kernel), content_dim, dtype=kernel.dtype
    )
    head.kernel.assign(kernel)


def _start_networks(
    encoder: keras.Sequential,
    decoder: keras.Sequential,
    observations: np.ndarray,
    content_dim: int,
) -> None:
    """Start a linear trunk.

    The encoder's features become the principal components, each scaled to unit
    variance, the largest first; the decoder draws what the first
    `content_dim` of them, its first latents, say, and nothing of the others.
    Components that the observations do not have stay as they are.

    Args:
        encoder: From `linear_encoder`.
        decoder: From `linear_decoder`, with one parameter a value.
        observations: `[N, ...]`, at least two.
        content_dim: Dimensions of the content.
    """
    flat = observations.reshape(len(observations), -1)
    mean = flat.mean(axis=0)
    _, scales, axes = np.linalg.svd(flat - mean, full_matrices=False)
    scales /= np.sqrt(len(flat))
    reads, draws = encoder.layers[-1], decoder.layers[0]
    count = np.count_nonzero(scales[: reads.units] > 1e-4 * scales[0])
    scales, axes = scales[:count, np.newaxis], axes[:count]
    kernel, bias = reads.get_weights()
    kernel[:, :count] = (axes / scales).T
    bias[:count] = -mean @ kernel[:, :count]
    reads.set_weights([kernel, bias])
    kernel, _ = draws.get_weights()
    kernel[:count] = axes * scales
    kernel[content_dim:] = 0
    draws.set_weights([kernel, mean])

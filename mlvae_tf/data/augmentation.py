"""Data augmentation of groups: others that do not exist, made of a batch's."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from mlvae_tf import evidence, noise
from mlvae_tf.errors import InputError

POINTS = 4  # Along each side, at which the displacement is drawn.
DISPLACEMENT = 0.05  # Its standard deviation there, in sides of the image.


def check_images(flag: str, shape: tuple[int, ...]) -> None:
    """Raise `InputError` unless observations of this shape are images."""
    if len(shape) != 3:
        raise InputError(
            f"{flag} needs images [height, width, channels]: got observations "
            f"of shape {shape}."
        )


def augment_groups(
    observations: tf.Tensor,
    group_ids: tf.Tensor,
    seed: tf.Tensor,
    probability: float,
) -> tf.Tensor:
    """Augment a batch: turn some groups into others, all their images alike.

    With the given probability, a group is mirrored or not, each as likely,
    blended with another one and bent. Around the batch's mean m, an image x of
    it and a random one y of the next group of the batch make

        m + cos(a) (x - m) + sin(a) (y - m),   a ~ U(0, pi / 4) for the group,

    which leaves the covariances between and within groups as they are, where
    the two are independent. A smooth displacement, one for the group, then
    moves the pixels. Values keep within those of the batch.

    What tells groups apart then has to be read and drawn for any group: few
    are otherwise learned by heart.

    Args:
        observations: Images `[N, height, width, channels]`.
        group_ids: `[N]`; equal ids make a group.
        seed: int32 `[2]`; equal seeds do the same.
        probability: Of a group to be another.

    Returns:
        Shaped like `observations`, in the same order.

    References:
        Zhang, Cisse, Dauphin and Lopez-Paz 2018, mixup (arXiv 1710.09412), for
        blends; Simard, Steinkraus and Platt 2003, Best Practices for
        Convolutional Neural Networks (ICDAR), for smooth displacements.
    """
    groups, segment_ids = evidence.index_groups(group_ids)
    count = tf.size(groups)
    seeds = noise.split(seed, 3)
    draws = noise.uniform(seeds[0], count, 3)
    chosen, angle, side = tf.unstack(draws, axis=1)
    mirrored = (chosen < probability) & (side < 0.5)
    angle = tf.where(chosen < probability, angle * math.pi / 4, 0)
    mirrored, angle = (
        tf.gather(drawn, segment_ids)[:, tf.newaxis, tf.newaxis, tf.newaxis]
        for drawn in (mirrored, angle)
    )
    observations = tf.where(
        mirrored, tf.reverse(observations, [2]), observations
    )
    mean = tf.reduce_mean(observations, axis=0)
    others = tf.gather(
        observations, _rows_of_next_group(segment_ids, count, seeds[1])
    )
    blended = tf.cos(angle) * (observations - mean) + tf.sin(angle) * (
        others - mean
    )
    moves = noise.normal(seeds[2], count, 2 * POINTS**2) * DISPLACEMENT
    moves = tf.where(chosen[:, tf.newaxis] < probability, moves, 0)
    bent = _displace(blended + mean, moves, segment_ids)
    low, high = tf.reduce_min(observations), tf.reduce_max(observations)
    return tf.clip_by_value(bent, low, high)


def _rows_of_next_group(
    segment_ids: tf.Tensor, count: tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """For every row a random one of the group that comes next, `[N]`."""
    sizes = tf.math.bincount(segment_ids, minlength=count)
    firsts = tf.cumsum(sizes, exclusive=True)
    following = (segment_ids + 1) % count
    size = tf.gather(sizes, following)
    draws = noise.uniform(seed, tf.size(segment_ids), 1)[:, 0]
    place = tf.cast(draws * tf.cast(size, draws.dtype), sizes.dtype)
    place = tf.minimum(place, size - 1)  # A product may round up to the size.
    return tf.gather(
        tf.argsort(segment_ids), tf.gather(firsts, following) + place
    )


def _displace(
    images: tf.Tensor, moves: tf.Tensor, segment_ids: tf.Tensor
) -> tf.Tensor:
    """Take each pixel from elsewhere, between the four that are nearest.

    Args:
        images: `[N, height, width, channels]`.
        moves: `[G, 2 * POINTS**2]`, how far down and to the right, in sides of
            the image, at evenly spread points.
        segment_ids: `[N]`, the row of `moves` that each image takes.
    """
    height, width, channels = images.shape[1:]
    coarse = tf.reshape(moves, [-1, POINTS, POINTS, 2])
    smooth = tf.image.resize(coarse, [height, width], "bicubic")
    row, column = np.mgrid[:height, :width].astype(np.float32)
    top, down = _between(row + height * smooth[..., 0], height)
    left, right = _between(column + width * smooth[..., 1], width)

    def of_images(of_groups: tf.Tensor, *last: int) -> tf.Tensor:
        flat = tf.reshape(of_groups, [-1, height * width, *last])
        return tf.gather(flat, segment_ids)

    first = tf.range(tf.shape(images)[0])[:, tf.newaxis] * height * width
    corner = first + of_images(top * width + left)
    pixels = tf.reshape(images, [-1, channels])
    aside, below = min(1, width - 1), width * min(1, height - 1)
    a, b, c, d = (
        tf.gather(pixels, corner + step)
        for step in (0, aside, below, below + aside)
    )
    right, down = of_images(right, 1), of_images(down, 1)
    upper, lower = a + right * (b - a), c + right * (d - c)
    return tf.reshape(upper + down * (lower - upper), tf.shape(images))


def _between(places: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The pixel before each place, as int32, and how far beyond it that is."""
    places = tf.clip_by_value(places, 0, size - 1)
    before = tf.minimum(tf.floor(places), max(size - 2, 0))
    return tf.cast(before, tf.int32), places - before

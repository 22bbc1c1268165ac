"""Random numbers of a batch that can be drawn in parts.

A row's numbers depend on the seed and on where the row stands, not on how many
rows are drawn together, nor on whether XLA compiles the draw. A batch that is
computed in chunks therefore sees the same noise as one that is not, in every
pass over it. The generator counts (Philox, Salmon et al. 2011, Parallel Random
Numbers: As Easy as 1, 2, 3): a part begins at a later count.
"""

from __future__ import annotations

import enum

import numpy as np
import tensorflow as tf

_PHILOX = 1  # Named everywhere, since XLA by default takes another.
_PER_COUNT = 4  # Numbers of 32 bits.


class Stream(enum.IntEnum):
    """What random numbers are for. Each stream of a seed is apart from all."""

    TRAINING = 0
    TEST = 1
    AUGMENTATION = 2
    LIKELIHOOD = 3
    IMPORTANCE = 4
    GENERATION = 5
    HELD_OUT_GROUPS = 6
    HELD_OUT_OBSERVATIONS = 7
    SAMPLE = 8
    PROBE = 9
    DRAWS = 10
    DIVISIONS = 11
    JUDGE = 12
    SWAPS = 13
    CALIBRATION = 14
    EPISODES = 15
    PAIRS = 16
    BOOTSTRAP = 17
    FOLDS = 18
    RECEIVERS = 19
    IDENTIFICATION = 20
    STYLE_FLOW = 21
    HELD_OUT_CELLS = 22
    CHANCE = 23


class Draw(enum.IntEnum):
    """What a step draws besides contents and styles, which come first."""

    EVIDENCE_DROPOUT = 2
    NETWORKS = 4


def generator(seed: int, stream: Stream, *numbers: int) -> np.random.Generator:
    """NumPy's generator of a stream.

    Args:
        seed: The seed of all streams.
        stream: Which of them.
        *numbers: Where there are several, such as one per split.
    """
    keys = np.random.SeedSequence(seed, spawn_key=(stream, *numbers))
    return np.random.default_rng(keys)


def epoch_generator(seed: int, epoch: int) -> np.random.Generator:
    """NumPy's generator of the order in which an epoch visits observations.

    It is that of version 0.1.0; a spawn key keeps all streams apart from it.
    """
    return np.random.default_rng([seed, epoch])


def of_step(seed: int, stream: Stream, step: int | tf.Tensor) -> tf.Tensor:
    """The seed of one step or batch of a stream, int32 `[2]`."""
    return fold_in([seed, int(stream)], tf.cast(step, "int32"))


def uniform(
    seed: tf.Tensor,
    rows: int | tf.Tensor,
    width: int,
    start: int | tf.Tensor = 0,
    dtype: str = "float32",
) -> tf.Tensor:
    """Draws from (0, 1), neither end included.

    Args:
        seed: int32 `[2]`, not negative.
        rows: How many rows to draw.
        width: Numbers per row.
        start: Where in the batch the first of the rows stands.
        dtype: Of the result; its values are multiples of 2^-24 in any.

    Returns:
        `[rows, width]`.
    """
    counts = -(-width // _PER_COUNT)
    key, counter = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)
    skipped = tf.cast(start, counter.dtype) * counts
    bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[rows, counts * _PER_COUNT],
        key=key,
        counter=tf.stack([counter[0] + skipped, counter[1]]),
        alg=_PHILOX,
        dtype=tf.uint32,
    )
    # 23 bits and a half: with more, float32 would round the last up to 1.
    steps = tf.bitwise.right_shift(bits, tf.constant(9, tf.uint32))
    return (tf.cast(steps[:, :width], dtype) + 0.5) * 2.0**-23


def normal(
    seed: tf.Tensor,
    rows: int | tf.Tensor,
    width: int,
    start: int | tf.Tensor = 0,
    dtype: str = "float32",
) -> tf.Tensor:
    """Draws from N(0, 1), none further out than 5.3.

    Args:
        seed: As for `uniform`.
        rows: As for `uniform`.
        width: As for `uniform`.
        start: As for `uniform`.
        dtype: As for `uniform`.

    Returns:
        `[rows, width]`.
    """
    return tf.math.ndtri(uniform(seed, rows, width, start, dtype))


def sample(
    loc: tf.Tensor,
    scale: tf.Tensor,
    seed: tf.Tensor,
    start: int | tf.Tensor = 0,
) -> tf.Tensor:
    """Reparametrised draw from N(loc, scale^2) for rows from `start` on."""
    rows, width = tf.shape(loc)[0], loc.shape[1]
    return loc + scale * normal(seed, rows, width, start, loc.dtype)


def split(seed: tf.Tensor, count: int = 2) -> list[tf.Tensor]:
    """Independent seeds, each int32 `[2]`, from one."""
    return tf.unstack(_positive(tf.random.split(seed, count, alg="philox")))


def fold_in(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Another seed for every number, int32 `[2]`."""
    return _positive(tf.random.fold_in(seed, number, alg="philox"))


def _positive(seed: tf.Tensor) -> tf.Tensor:
    """XLA reads a negative seed in another way."""
    return tf.bitwise.bitwise_and(seed, tf.int32.max)

"""Random numbers of a batch that can be drawn in parts.

A row's numbers depend on the seed and on where the row stands, not on how many
rows are drawn together, nor on whether XLA compiles the draw. A batch that is
computed in chunks therefore sees the same noise as one that is not, in every
pass over it. The generator counts (Philox, Salmon et al. 2011, Parallel Random
Numbers: As Easy as 1, 2, 3): a part begins at a later count.
"""

from __future__ import annotations

import tensorflow as tf

_PHILOX = 1  # Named everywhere, since XLA by default takes another.
_PER_COUNT = 4  # Numbers of 32 bits.


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
        width: Numbers a row.
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


def split(seed: tf.Tensor, count: int = 2) -> list[tf.Tensor]:
    """Independent seeds, each int32 `[2]`, from one."""
    return tf.unstack(_positive(tf.random.split(seed, count, alg="philox")))


def fold_in(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Another seed for every number, int32 `[2]`."""
    return _positive(tf.random.fold_in(seed, number, alg="philox"))


def _positive(seed: tf.Tensor) -> tf.Tensor:
    """XLA reads a negative seed in another way."""
    return tf.bitwise.bitwise_and(seed, tf.int32.max)

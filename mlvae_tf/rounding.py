"""Evidence that is stored in float32, added to again and again."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from mlvae_tf import evidence, noise
from mlvae_tf.evidence import Evidence

NEIGHBOURS = 64  # On either side of a precision, to be stored instead.


def update(stored: Evidence, new: Evidence) -> Evidence:
    """Add to evidence that is stored in float32, again and again, unharmed.

    Rounded to the nearest each time, precision and weighted_loc drift: after
    10^5 single observations the mean is a posterior standard deviation off.
    Here both are rounded at random, such that precision and mean are right on
    average. Of the float32 numbers around the exact precision, no further than
    half of what is new, those are drawn with which weighted_loc has the least
    to be rounded, so that the mean hardly strays. The draw depends on nothing
    but the sum: equal input gives equal output.

    Args:
        stored: `Evidence`, float32 `[dim]`.
        new: `Evidence` of further observations, `[dim]`.

    Returns:
        `Evidence`, float32 `[dim]`.

    References:
        Croci et al. 2022, Stochastic rounding: implementation, error analysis
        and applications (Royal Society Open Science 9), sections 2 and 7.
    """
    new = evidence.cast(new, tf.float64)
    total = evidence.add(evidence.cast(stored, tf.float64), new)
    precision, loc = (
        total.precision[:, tf.newaxis],
        evidence.to_normal(total)[0],
    )
    steps = tf.range(-NEIGHBOURS, NEIGHBOURS + 1, dtype=tf.float64)
    steps = steps * np.finfo(np.float32).eps * precision
    tried = tf.cast(tf.cast(precision + steps, tf.float32), tf.float64)
    exact = loc[:, tf.newaxis] * tried
    nearest = tf.cast(tf.cast(exact, tf.float32), tf.float64)
    down = tf.where(nearest <= exact, nearest, _beside(nearest, -1))
    up = tf.where(nearest >= exact, nearest, _beside(nearest, 1))
    near = tf.abs(steps) <= new.precision[:, tf.newaxis] / 2
    bits = [tf.bitcast(tf.cast(part, tf.float32), tf.int32) for part in total]
    seed = tf.bitwise.bitwise_and(
        tf.stack([tf.reduce_sum(part) for part in bits]), tf.int32.max
    )
    draws = noise.uniform(seed, tf.size(loc), 2, dtype="float64")
    sides = [
        _drawn(tried, exact, down, up, near & of_side, draws[:, 0])
        for of_side in (steps < 0, steps >= 0)
    ]
    below, above = (side[2] - total.precision for side in sides)
    is_below = draws[:, 1] * (above - below) < above
    is_below &= tf.reduce_any(near & (steps < 0), axis=1)
    chosen = (
        tf.where(is_below, one, other)
        for one, other in zip(*sides, strict=True)
    )
    return evidence.cast(Evidence(*list(chosen)[:2]), tf.float32)


def _beside(values: tf.Tensor, sign: int) -> tf.Tensor:
    """The next float32 numbers above or below, as float64."""
    ends = tf.constant(sign * np.inf, tf.float32)
    following = tf.math.nextafter(tf.cast(values, tf.float32), ends)
    return tf.cast(following, tf.float64)


def _drawn(
    tried: tf.Tensor,
    exact: tf.Tensor,
    down: tf.Tensor,
    up: tf.Tensor,
    allowed: tf.Tensor,
    draws: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Precision and weighted_loc with the mean right on average.

    Args:
        tried: Precisions, `[dim, K]`.
        exact: Their weighted_loc, `[dim, K]`.
        down: That rounded down.
        up: That rounded up.
        allowed: Which to choose from.
        draws: From (0, 1), `[dim]`.

    Returns:
        `(precision, weighted_loc, expected precision)`, `[dim]` each.
    """
    positive = tf.where(tried > 0, tried, 1)
    errors = [(up - exact) / positive, (exact - down) / positive]
    errors = [tf.where(allowed, error, np.inf) for error in errors]
    best = [tf.argmin(error, axis=1) for error in errors]
    least = [tf.reduce_min(error, axis=1) for error in errors]

    def at(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        return tf.gather(values, places, axis=1, batch_dims=1)

    total = least[0] + least[1]
    share = tf.where(total > 0, least[1] / tf.where(total > 0, total, 1), 1)
    ends = [at(tried, place) for place in best]
    is_up = draws < share
    return (
        tf.where(is_up, *ends),
        tf.where(is_up, at(up, best[0]), at(down, best[1])),
        share * ends[0] + (1 - share) * ends[1],
    )

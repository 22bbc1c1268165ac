"""Evidence about a latent: natural parameters that add up.

An observation that proposes the normal N(loc, scale^2) for a latent gives the
*evidence*

    precision    = 1 / scale^2
    weighted_loc = precision * loc,

the natural parameters of that normal. A product of normals is a normal whose
natural parameters are the sums, so what a group knows is the sum of what its
observations say (Bouchacourt et al. 2018, section 3, "accumulating group
evidence"):

    precision_G    = sum_i precision_i
    weighted_loc_G = sum_i weighted_loc_i
    loc_G          = weighted_loc_G / precision_G
    scale_G        = precision_G^(-1/2).

The order does not matter, parts may be merged, and the evidence of no
observation is zero: an Abelian monoid. There is no division by the prior and no
averaging. Everything that accumulates evidence calls these functions, which are
pure and keep the dtype of what they get.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

import tensorflow as tf

from mlvae_tf import noise

MIN_SHARE = 1e-4  # Of a group's precision, which float32 still subtracts well.


class Evidence(NamedTuple):
    """Natural parameters of a diagonal normal, any shape, last axis latent."""

    precision: tf.Tensor
    weighted_loc: tf.Tensor


Sums = TypeVar("Sums", bound="Evidence | Moments")


def from_normal(loc: tf.Tensor, scale: tf.Tensor) -> Evidence:
    """The evidence that the normal N(loc, scale^2) carries.

    Args:
        loc: Mean, shape `[..., dim]`.
        scale: Standard deviation, positive, same shape.

    Returns:
        `Evidence` of that shape.
    """
    precision = 1 / tf.square(scale)
    return Evidence(precision, precision * loc)


def to_normal(evidence: Evidence) -> tuple[tf.Tensor, tf.Tensor]:
    """The `loc` and `scale` of the normal that has this evidence.

    No evidence (precision zero) is the flat limit: `loc` 0 and `scale`
    infinity, with gradients of zero rather than NaN. What is NaN stays NaN, and
    a negative precision, which no normal has, becomes NaN.

    Args:
        evidence: `Evidence` of any shape.

    Returns:
        `(loc, scale)`, each of the shape of the evidence.
    """
    proper = tf.not_equal(evidence.precision, 0)
    precision = tf.where(proper, evidence.precision, 1)
    loc = tf.where(proper, evidence.weighted_loc / precision, 0)
    infinity = tf.constant(float("inf"), precision.dtype)
    return loc, tf.where(proper, tf.math.rsqrt(precision), infinity)


def zero(shape: tuple[int, ...], dtype: str = "float32") -> Evidence:
    """The evidence of no observation: the neutral element of `add`."""
    return Evidence(tf.zeros(shape, dtype), tf.zeros(shape, dtype))


def prior(shape: tuple[int, ...], dtype: str = "float32") -> Evidence:
    """The evidence that the standard normal prior carries."""
    return Evidence(tf.ones(shape, dtype), tf.zeros(shape, dtype))


def add(left: Sums, right: Sums) -> Sums:
    """The evidence of two disjoint sets of observations taken together."""
    return type(left)(*(one + other for one, other in zip(left, right)))


def subtract(total: Evidence, part: Evidence) -> Evidence:
    """What is left of `total` when the observations of `part` are taken out.

    The inverse of `add`. It is evidence only where `part` is contained in
    `total`; otherwise a precision may turn out negative, and no normal has it.
    """
    return Evidence(
        total.precision - part.precision,
        total.weighted_loc - part.weighted_loc,
    )


def total(evidence: Evidence) -> Evidence:
    """The evidence of one group's observations: `[N, dim]` to `[dim]`."""
    return Evidence(*(tf.reduce_sum(part, axis=0) for part in evidence))


def accumulate(
    parts: Sums, segment_ids: tf.Tensor, num_groups: int | tf.Tensor
) -> Sums:
    """Add up what every group's observations say.

    Args:
        parts: `Evidence` (or `Moments`) of shape `[N, dim]`, one row per
            observation.
        segment_ids: int32 `[N]`, the group of each observation, in any
            order. A negative one leaves its observation out.
        num_groups: Number of groups, above every segment id.

    Returns:
        The same of shape `[num_groups, dim]`, zero for an empty group.
    """
    return type(parts)(
        *(
            tf.math.unsorted_segment_sum(part, segment_ids, num_groups)
            for part in parts
        )
    )


def cast(sums: Sums, dtype: Any) -> Sums:
    """The same in another dtype: sums over many observations want float64."""
    return type(sums)(*(tf.cast(part, dtype) for part in sums))


def rest(
    parts: Evidence, total: Evidence, segment_ids: tf.Tensor
) -> tuple[Evidence, tf.Tensor]:
    """For every observation, the evidence of the others of its group.

    Args:
        parts: `Evidence` of shape `[N, dim]`, one row per observation.
        total: That of the groups, `[G, dim]`.
        segment_ids: int32 `[N]` as in `accumulate`.

    Returns:
        `(others, enough)`: `Evidence` of shape `[N, dim]`, and bool `[N]`:
        false for an observation that is alone or left out, and where the
        others are so little beside its own that rounding hides them.
    """
    ids = tf.maximum(segment_ids, 0)
    group = Evidence(*(tf.gather(part, ids) for part in total))
    others = subtract(group, parts)
    least = MIN_SHARE * group.precision
    enough = tf.reduce_all(others.precision > least, axis=-1)
    return others, enough & (segment_ids >= 0)


def drop(
    segment_ids: tf.Tensor,
    rate: float,
    num_groups: int | tf.Tensor,
    seed: tf.Tensor,
) -> tf.Tensor:
    """Leave observations out at random, but one of every group at the least.

    What is left gives q(c | X_S) of a random subset S of the group. That is a
    normal like any other, so that the ELBO of the whole group remains a lower
    bound with it in the place of q(c | X_G).

    Args:
        segment_ids: int32 `[N]` as in `accumulate`.
        rate: Probability of leaving an observation out; 1 keeps exactly one
            of every group.
        num_groups: Number of groups.
        seed: int32 `[2]`.

    Returns:
        int32 `[N]`, the segment ids, and -1 for what is left out.
    """
    draws = noise.uniform(seed, tf.shape(segment_ids)[0], 1)[:, 0]
    most = tf.math.unsorted_segment_max(draws, segment_ids, num_groups)
    last_one = draws == tf.gather(most, tf.maximum(segment_ids, 0))
    return tf.where((draws >= rate) | last_one, segment_ids, -1)


class Moments(NamedTuple):
    """Sums over observations: of means, of variances, and their number."""

    loc: tf.Tensor
    variance: tf.Tensor
    count: tf.Tensor


def moments(loc: tf.Tensor, scale: tf.Tensor) -> Moments:
    """What `average` adds up, of single observations, shaped like `loc`."""
    return Moments(loc, tf.square(scale), tf.ones_like(loc))


def average(total: Moments) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean and variance of a group as the averages of its observations'.

    Not evidence accumulation, but what the GVAE does instead, for comparison:
    the scale does not shrink as observations are added.

    Args:
        total: `Moments` of the groups, `[G, dim]`.

    Returns:
        `(loc, scale)` of shape `[G, dim]`; 0 and infinity for an empty group.

    References:
        Hosoya 2019, Group-based Learning of Disentangled Representations with
        Generalizability for Novel Contents (IJCAI), Eq. 6.
    """
    divisor = tf.maximum(total.count, 1)
    mean, variance = total.loc / divisor, total.variance / divisor
    infinity = tf.constant(float("inf"), mean.dtype)
    filled = total.count > 0
    root = tf.sqrt(tf.where(filled, variance, 1))
    return mean, tf.where(filled, root, infinity)


def index_groups(group_ids: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Number the groups of a batch in order of first appearance.

    Args:
        group_ids: `[N]`, integers or strings, in any order.

    Returns:
        `(groups, segment_ids)`: the distinct ids `[G]`, and int32 `[N]` with
        `groups[segment_ids] == group_ids`.
    """
    return tf.unique(group_ids)

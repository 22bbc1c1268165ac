"""What contents lack to tell their own groups, and no others.

The ELBO asks of a content no more than what helps to draw the observations:
that a single one names its group is worth few nats beside those of its values.
This term asks for it. The content mean m_i of an observation is compared with
the prototype of every group of the batch, the mean of the content that its
other observations make together:

    contrast_i = -log softmax_G( -|m_i - mu_G|^2 / 2 ) at i's own group

It is the loss of prototypical networks (Snell, Swersky, Zemel 2017, arXiv
1703.05175, Eq. 2), the groups of the batch being the classes, and minus it,
plus log G, bounds the information that observation and group share from below
(Poole et al. 2019, arXiv 1905.06922, Eq. 10). Groups never seen are told apart
by the same distances. Its weight puts it beside the ELBO; the two no longer add
up to a bound of the evidence, which is what is reported.

With several levels a content may tell of another level's groups, too: what is
read of a font from one letter depends on the letter. What an observation lacks
or has beyond its own group's mean should then be the same, nothing, at the mean
over each group of the other level, in which own groups take turns. With m the
contents of level a, n_h the size of a group h of level b,

    crossed = sum_h n_h |shift_h|^2 / 2,
    shift_h = 1/n_h sum_{i in h} ( m_i - mean of m over i's group of level a )

are the nats by which N(shift_h, I) diverges from N(0, I), for every
observation. It depends on sums over the batch alone.
"""

from __future__ import annotations

import tensorflow as tf

from mlvae_tf import evidence
from mlvae_tf.evidence import Evidence


def nats(
    loc: tf.Tensor,
    scale: tf.Tensor,
    total: Evidence,
    segment_ids: tf.Tensor,
    heard: tf.Tensor,
    whole_ids: tf.Tensor | None = None,
) -> tf.Tensor:
    """The contrast of every observation.

    Args:
        loc: What each proposes for its group, `[n, dim]`.
        scale: Likewise.
        total: What is heard of the groups, `[G, dim]`; zeros for no group.
        segment_ids: int32 `[n]`, the group of each; negative for padding.
        heard: bool `[n]`, whether its evidence is in the total.
        whole_ids: int32 `[G]` or longer, numbers below G, negative beyond the
            groups: those of one number are pieces of one group, and make one
            prototype. None where each is a whole one.

    Returns:
        `[n]`, nats; zero for padding, and for an observation of whose group
        nothing else is heard.
    """
    num_groups = tf.shape(total.precision)[0]
    if whole_ids is not None:
        total = evidence.accumulate(total, whole_ids[:num_groups], num_groups)
        whole = tf.gather(whole_ids, tf.maximum(segment_ids, 0))
        segment_ids = tf.where(segment_ids >= 0, whole, -1)
    parts = evidence.from_normal(loc, scale)
    own = Evidence(*(tf.where(heard[:, tf.newaxis], p, 0) for p in parts))
    others, enough = evidence.rest(own, total, segment_ids)
    # Nothing may be divided by too little, gradients included.
    safe = tf.where(enough[:, tf.newaxis], others.precision, 1)
    own_score = _score(loc - others.weighted_loc / safe)
    prototypes, _ = evidence.to_normal(total)
    scores = (
        tf.matmul(loc, prototypes, transpose_b=True)
        + _score(prototypes)
        + _score(loc)[:, tf.newaxis]
    )
    is_own = tf.equal(segment_ids[:, tf.newaxis], tf.range(num_groups))
    told_apart = ~is_own & tf.reduce_all(total.precision > 0, axis=-1)
    least_score = tf.constant(scores.dtype.min / 2, scores.dtype)
    scores = tf.where(told_apart, scores, least_score)
    # Of the own group and all others: log (1 + sum of exp of differences).
    ratio = tf.reduce_logsumexp(scores, axis=-1) - own_score
    return tf.where(enough, tf.math.softplus(ratio), 0)


def crossed(
    own: Evidence,
    other: Evidence,
    own_ids: tf.Tensor,
    other_ids: tf.Tensor,
) -> tf.Tensor:
    """What contents of a level tell of the groups of another one.

    Args:
        own: Sums over the groups of the contents' level, of the contents' means
            as if their scales were 1: counts and sums, `[G, dim]`.
        other: The same over the groups of the other level.
        own_ids: int32 `[N]`, the group of each observation of the batch on the
            contents' level; negative for padding.
        other_ids: The same on the other level.

    Returns:
        A scalar, nats, summed over the observations.
    """
    num_groups = tf.shape(other.precision)[0]
    means = own.weighted_loc / tf.maximum(own.precision, 1)
    of_rows = tf.gather(means, tf.maximum(own_ids, 0))
    expected = tf.math.unsorted_segment_sum(of_rows, other_ids, num_groups)
    count = tf.maximum(other.precision, 1)
    shifts = (other.weighted_loc - expected) / count
    return 0.5 * tf.reduce_sum(other.precision * tf.square(shifts))


def _score(difference: tf.Tensor) -> tf.Tensor:
    return -0.5 * tf.reduce_sum(tf.square(difference), axis=-1)

"""The hierarchical prior: latents around that of the group they are in.

Groups within groups, such as the visits of patients. A visit's latent v is
somewhere around its patient's p,

    p ~ N(0, I),    v | p ~ N(p, 1 / L),

with a precision L per dimension that is learned. What observations say of v is
evidence of precision P and mean m (`mlvae_tf.evidence`); the product rule then
gives exactly

    to the patient:    precision P L / (P + L), at the same mean m
    of the patient:    1 + the sum over its visits
    q(v | p):          precision P + L, mean (P m + L p) / (P + L)
    E_q(p) KL(q(v | p) || p(v | p))
      = 1/2 sum_d [ L/(P+L) + L (P/(P+L))^2 ((m - mean_p)^2 + var_p)
                    - 1 + log((P+L)/L) ].

However sure a visit is of itself, it tells no more than L of its patient.
L -> infinity is one level with its prior; L -> 0 are visits that know nothing
of each other, whose KL grows as log(1/L) / 2.

Here `evidence` is that of the inner groups, `[V, dim]`, and what is of the
outer group is given for each of them, `[V, dim]`, too. An outer group can
be an inner one itself: what it is told, added up, is its evidence.
"""

from __future__ import annotations

import tensorflow as tf

from mlvae_tf import evidence as natural
from mlvae_tf.evidence import Evidence

Normal = tuple[tf.Tensor, tf.Tensor]  # `loc` and `scale`.


def up(evidence: Evidence, precision: tf.Tensor) -> Evidence:
    """What inner groups tell the outer group of each.

    No evidence tells nothing. To add up by outer group, `evidence.accumulate`.

    Args:
        evidence: Of the inner groups, `[V, dim]`.
        precision: L, `[dim]`, positive.

    Returns:
        `Evidence` of shape `[V, dim]`.
    """
    told = precision / (evidence.precision + precision)
    return Evidence(evidence.precision * told, evidence.weighted_loc * told)


def outermost(evidence: Evidence) -> Normal:
    """The posterior of groups that are in no other, with the prior N(0, I).

    Args:
        evidence: What their inner groups tell them, added up, `[G, dim]`.

    Returns:
        `(loc, scale)`, `[G, dim]` each; those of the prior for no evidence.
    """
    precision, weighted_loc = evidence
    return natural.to_normal(Evidence(precision + 1, weighted_loc))


def given(evidence: Evidence, outer: tf.Tensor, precision: tf.Tensor) -> Normal:
    """The posterior q(v | p) of inner groups given a draw of the outer ones.

    Args:
        evidence: Of the inner groups, `[V, dim]`.
        outer: p of each one's outer group, `[V, dim]`.
        precision: L, `[dim]`.

    Returns:
        `(loc, scale)`, `[V, dim]` each; around p for no evidence.
    """
    total = evidence.precision + precision
    loc = (evidence.weighted_loc + precision * outer) / total
    return loc, tf.math.rsqrt(total)


def marginal(evidence: Evidence, outer: Normal, precision: tf.Tensor) -> Normal:
    """The posterior q(v) of inner groups, whatever the outer ones are.

        variance = 1 / (P + L) + (L / (P + L))^2 var_p

    Args:
        evidence: Of the inner groups, `[V, dim]`.
        outer: Posterior of each one's outer group, `[V, dim]` each.
        precision: L, `[dim]`.

    Returns:
        `(loc, scale)`, `[V, dim]` each.
    """
    outer_loc, outer_scale = outer
    loc, scale = given(evidence, outer_loc, precision)
    followed = precision / (evidence.precision + precision) * outer_scale
    return loc, tf.sqrt(tf.square(scale) + tf.square(followed))


def kl(evidence: Evidence, outer: Normal, precision: tf.Tensor) -> tf.Tensor:
    """E_q(p) KL(q(v | p) || p(v | p)) of inner groups.

    With the KL of the outermost groups from N(0, I), these add up to the KL of
    the joint posterior from the joint prior.

    Args:
        evidence: Of the inner groups, `[V, dim]`.
        outer: Posterior of each one's outer group, `[V, dim]` each.
        precision: L, `[dim]`.

    Returns:
        `[V]`, nats; zero for no evidence.
    """
    outer_loc, outer_scale = outer
    total = evidence.precision + precision
    own = evidence.precision / total
    # P (m - mean_p) rather than m - mean_p: no evidence has no m.
    away = (evidence.weighted_loc - evidence.precision * outer_loc) / total
    squares = tf.square(away) + tf.square(own * outer_scale)
    surer = tf.math.log1p(evidence.precision / precision)
    return 0.5 * tf.reduce_sum(surer - own + precision * squares, axis=-1)

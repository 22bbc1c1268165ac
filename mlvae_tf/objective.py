"""The averaged grouped evidence lower bound, and its terms.

For one group G of observations x_i with content c and styles s_i
(Bouchacourt et al. 2018, Eq. 4):

    ELBO(G) = sum_i E_q[log p(x_i | c, s_i)]      reconstruction
            - sum_i KL(q(s_i | x_i) || p(s))      style_kl
            - KL(q(c | X_G) || p(c))              content_kl, once a group

The objective (Eq. 5) is the mean of ELBO(G) over the groups of a batch. All
terms are sums within a group, in nats; nothing is divided by the number of
observations, pixels or dimensions.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class Terms(NamedTuple):
    """The terms of the group ELBO in nats: one value a group, or their mean."""

    reconstruction: tf.Tensor
    content_kl: tf.Tensor
    style_kl: tf.Tensor

    @property
    def elbo(self) -> tf.Tensor:
        """The evidence lower bound, nats a group."""
        return self.reconstruction - self.content_kl - self.style_kl


def standard_normal_kl(loc: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """Divergence of a diagonal normal from the prior N(0, I).

        KL = 1/2 sum_d (scale_d^2 + loc_d^2 - 1 - log scale_d^2)

    Args:
        loc: Means, shape `[..., dim]`.
        scale: Standard deviations, same shape.

    Returns:
        KL of shape `[...]`, nats.

    References:
        Kingma and Welling 2014 (arXiv 1312.6114), appendix B.
    """
    variance = tf.square(scale)
    terms = variance + tf.square(loc) - 1 - tf.math.log(variance)
    return 0.5 * tf.reduce_sum(terms, axis=-1)


def group_terms(
    log_likelihood: tf.Tensor,
    style_kl: tf.Tensor,
    content_kl: tf.Tensor,
    segment_ids: tf.Tensor,
) -> Terms:
    """Gather the terms of every group's ELBO (Eq. 4).

    Args:
        log_likelihood: log p(x_i | c, s_i) at a sample, `[N]`, nats.
        style_kl: KL of each observation's style posterior, `[N]`, nats.
        content_kl: KL of each group's content posterior, `[G]`, nats.
        segment_ids: int32 `[N]`, the row of each observation's group;
            negative leaves the observation out.

    Returns:
        `Terms` of shape `[G]`, nats.
    """
    num_groups = tf.shape(content_kl)[0]
    return Terms(
        tf.math.unsorted_segment_sum(log_likelihood, segment_ids, num_groups),
        content_kl,
        tf.math.unsorted_segment_sum(style_kl, segment_ids, num_groups),
    )


def average(terms: Terms, num_groups: tf.Tensor | None = None) -> Terms:
    """The mean of the terms over the groups (Eq. 5).

    Args:
        terms: `Terms` of shape `[G]`.
        num_groups: The divisor where some of the rows are padding, whose terms
            must be zero. Defaults to `G`.

    Returns:
        Scalar `Terms`, nats a group.
    """
    if num_groups is None:
        num_groups = tf.shape(terms.content_kl)[0]
    divisor = tf.cast(num_groups, terms.content_kl.dtype)
    return Terms(*(tf.reduce_sum(term) / divisor for term in terms))


def loss(
    terms: Terms,
    content_kl_weight: float | tf.Tensor = 1.0,
    style_kl_weight: float | tf.Tensor = 1.0,
) -> tf.Tensor:
    """What training minimises: the negative ELBO with weighted KLs, nats."""
    return (
        content_kl_weight * terms.content_kl
        + style_kl_weight * terms.style_kl
        - terms.reconstruction
    )

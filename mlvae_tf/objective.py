"""The averaged grouped evidence lower bound, and its terms.

For one group G of observations x_i with content c and styles s_i
(Bouchacourt et al. 2018, Eq. 4):

    ELBO(G) = sum_i E_q[log p(x_i | c, s_i)]      reconstruction
            - sum_i KL(q(s_i | x_i) || p(s))      style_kl
            - KL(q(c | X_G) || p(c))              content_kl, once per group

The objective (Eq. 5) is the mean of ELBO(G) over the groups of a batch. All
terms are sums within a group, in nats; nothing is divided by the number of
observations, pixels or dimensions.
"""

from __future__ import annotations

import functools
import operator
from typing import NamedTuple

import tensorflow as tf


class Terms(NamedTuple):
    """The terms of the group ELBO in nats: one value per group, or their mean.

    Attributes:
        reconstruction: The expected log likelihood.
        kl: By level, the divergence of its posteriors from their prior; the
            style's last.
    """

    reconstruction: tf.Tensor
    kl: dict[str, tf.Tensor]

    @property
    def elbo(self) -> tf.Tensor:
        """The evidence lower bound, nats per group."""
        return functools.reduce(
            operator.sub, self.kl.values(), self.reconstruction
        )


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
    names: tuple[str, str] = ("content", "style"),
) -> Terms:
    """Gather the terms of every group's ELBO (Eq. 4).

    Args:
        log_likelihood: log p(x_i | c, s_i) at a sample, `[N]`, nats.
        style_kl: KL of each observation's style posterior, `[N]`, nats.
        content_kl: KL of each group's content posterior, `[G]`, nats.
        segment_ids: int32 `[N]`, the group of each observation;
            negative leaves the observation out.
        names: Of the two levels.

    Returns:
        `Terms` of shape `[G]`, nats.
    """
    num_groups = tf.shape(content_kl)[0]
    reconstruction, of_styles = (
        tf.math.unsorted_segment_sum(term, segment_ids, num_groups)
        for term in (log_likelihood, style_kl)
    )
    return Terms(
        reconstruction, dict(zip(names, (content_kl, of_styles), strict=True))
    )


def mean(sums: Terms, num_groups: tf.Tensor) -> Terms:
    """The mean over groups (Eq. 5) of terms that are sums over a batch.

    Args:
        sums: `Terms`, scalars.
        num_groups: The number of groups in the batch.

    Returns:
        `Terms`, scalars, nats per group.
    """
    divisor = tf.cast(num_groups, sums.reconstruction.dtype)
    return Terms(
        sums.reconstruction / divisor,
        {name: kl / divisor for name, kl in sums.kl.items()},
    )


def weighted(
    kl: dict[str, tf.Tensor], weights: dict[str, float | tf.Tensor]
) -> tf.Tensor:
    """The sum of the levels' KLs, each with its weight, nats."""
    parts = (weights[name] * value for name, value in kl.items())
    return functools.reduce(operator.add, parts)


def loss(terms: Terms, kl_weights: dict[str, float | tf.Tensor]) -> tf.Tensor:
    """What training minimises: the negative ELBO with weighted KLs, nats.

    Args:
        terms: `Terms`, scalars.
        kl_weights: The factor of every level's KL; 1 for all is the ELBO.
    """
    return weighted(terms.kl, kl_weights) - terms.reconstruction

"""What stands between the style that is learned and the style that is given.

The networks are trained on a style that may tell of the content. A flow takes
that out: it learns, beside them, the density of that style given the content of
the rest of the group, and maps it to one normal distribution whatever the
content. What users infer is the style after the flow; what they decode goes
back through it. No gradient passes between the flow and the networks.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import evidence, noise
from mlvae_tf.batches import Part
from mlvae_tf.evidence import Evidence
from mlvae_tf.flows import ConditionalFlow

FLOW_NOISE = 0.1  # Of a posterior's scale, on what the flow learns from.


class Moments(NamedTuple):
    """Sums over the observations that the flow learns from.

    Attributes:
        count: How many they are.
        variance: Of their styles' posterior variances, `[style_dim]`.
    """

    count: tf.Tensor
    variance: tf.Tensor


class NoStyleFlow:
    """The style that is learned is the style that is given."""

    def after(self, style: tfd.Normal, content: tf.Tensor) -> tfd.Normal:
        """The posterior after the flow, given the content `[N, dim]`."""
        del content
        return style

    def before(self, style: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        """From a style after the flow to what the decoder reads, `[N, dim]`."""
        del content
        return style


class StyleFlow(NoStyleFlow):
    """A flow that makes the style independent of the content.

    Args:
        flow: The invertible map.
    """

    def __init__(self, flow: ConditionalFlow) -> None:
        self._flow = flow

    def after(self, style: tfd.Normal, content: tf.Tensor) -> tfd.Normal:
        return tfd.Normal(*self._flow.normal(style.loc, style.scale, content))

    def before(self, style: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        return self._flow.inverse(style, content)

    @staticmethod
    def zero_moments(dim: int, dtype: str) -> Moments:
        """The moments of no observation."""
        return Moments(tf.zeros((), dtype), tf.zeros(dim, dtype))

    def moments(
        self,
        part: Part,
        proposed: tfd.Normal,
        style: tfd.Normal,
        total: Evidence,
    ) -> Moments:
        """How many observations the flow learns from; their style variances.

        Args:
            part: Rows of a batch.
            proposed: What each proposes for its group's content.
            style: Their style posteriors, before the flow.
            total: The evidence of the groups, of the whole batch.
        """
        _, known = _rest(part, proposed, total)
        weight = tf.cast(known, style.dtype)
        spread = tf.linalg.matvec(style.variance(), weight, transpose_a=True)
        return Moments(tf.reduce_sum(weight), spread)

    def loss(
        self,
        part: Part,
        proposed: tfd.Normal,
        style: tfd.Normal,
        total: Evidence,
        moments: Moments,
        seed: tf.Tensor,
    ) -> tf.Tensor:
        """-log p(style | content of the rest of the group), the mean in nats.

        The rest, since an observation's own content may tell more of its style
        than the group's does, and that is to stay in the style. It is sampled
        with the scale of one observation's evidence, since at inference the
        flow is conditioned on one observation.

        Args:
            part: Rows of a batch.
            proposed: What each proposes for its group's content.
            style: Their style posteriors, before the flow.
            total: The evidence of the groups, of the whole batch.
            moments: Those of the whole batch.
            seed: int32 `[2]`, of the step.

        Returns:
            A scalar; over the parts of a batch it adds up to the mean.
        """
        seeds = noise.split(noise.fold_in(seed, noise.Draw.STYLE_FLOW))
        others, known = _rest(part, proposed, total)
        precision = tf.where(known[:, tf.newaxis], others.precision, 1)
        condition = noise.sample(
            others.weighted_loc / precision,
            proposed.scale,
            seeds[0],
            part.start,
        )
        # The means, with some of the posterior's noise: what is far below it
        # is not worth stretching. With prior variance 1, the means have what
        # the posteriors leave of it.
        noisy = noise.sample(
            style.loc, FLOW_NOISE * style.scale, seeds[1], part.start
        )
        count = tf.maximum(moments.count, 1)
        variance = tf.nn.relu(1 - moments.variance / count)
        variance += FLOW_NOISE**2 * moments.variance / count
        loss = self._flow.negative_log_likelihood(
            *map(tf.stop_gradient, (noisy, condition, tf.sqrt(variance)))
        )
        return tf.reduce_sum(tf.where(known, loss, 0)) / count


def _rest(
    part: Part, proposed: tfd.Normal, total: Evidence
) -> tuple[Evidence, tf.Tensor]:
    """The evidence of every observation's group without its own."""
    parts = evidence.from_normal(proposed.loc, proposed.scale)
    return evidence.rest(parts, total, part.first_ids)

"""The grouped ELBO as two sums over the observations of a batch.

The first sum is of evidence: what each observation says of the latents that it
shares. It gives the posteriors of the groups and their KLs. The second, given
these, is of log likelihoods and KLs of styles. Both can be taken over the whole
batch or over parts of it, one after the other or side by side.

Nothing here knows of Keras's `fit`, and nothing is checked.
"""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import contrast, evidence, noise, objective
from mlvae_tf.batches import Part, SegmentIds
from mlvae_tf.codec import Codec, Latents, Proposals, Totals
from mlvae_tf.evidence import Evidence


@dataclasses.dataclass(frozen=True)
class Elbo:
    """The averaged grouped ELBO (Eq. 5) of a codec.

    Attributes:
        codec: What encodes and decodes.
        per_observation: Whether latents of groups are sampled once per
            observation instead of once per group (the paper's footnote 1).
    """

    codec: Codec
    per_observation: bool = False

    def propose(self, part: Part, seed: tf.Tensor, training: bool) -> Proposals:
        """What a part's observations say of their latents.

        Args:
            part: Rows of a batch.
            seed: int32 `[2]`, of the step.
            training: Whether this is a training step.
        """
        if training:
            self.codec.seed_networks(seed, part.start)
        return self.codec.propose(part.observations, training)

    def heard(self, segment_ids: SegmentIds, seed: tf.Tensor) -> SegmentIds:
        """Whose evidence a training step takes in; -1 leaves a row out.

        Args:
            segment_ids: Of the whole batch.
            seed: int32 `[2]`, of the step.
        """
        return {
            level.name: level.heard(segment_ids[level.name], seed)
            for level in self.codec.levels
        }

    @staticmethod
    def kl(posteriors: Latents) -> dict[str, tf.Tensor]:
        """By level, the KL of every row, nats; zero where there is no group."""
        return {
            name: objective.standard_normal_kl(normal.loc, normal.scale)
            for name, normal in posteriors.items()
        }

    def observation_terms(
        self,
        part: Part,
        posteriors: Latents,
        proposals: Proposals,
        seed: tf.Tensor,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The second sum's terms, one per row of a part.

        Training has the style's standard normal prior, evaluation the one that
        the flow makes of it.

        Args:
            part: Rows of a batch.
            posteriors: Of all groups of the batch.
            proposals: What `propose` gave for the part.
            seed: int32 `[2]`, of the step.
            training: Whether this is a training step.

        Returns:
            `(log_likelihood, style_kl)`, `[n]` each, nats; of padding, too.
        """
        codec = self.codec
        of_groups, of_style = noise.split(seed)
        latents = {
            name: self._of_rows(
                normal, part.segment_ids[name], of_groups, part.start
            )
            for name, normal in posteriors.items()
        }
        style = codec.learned_style(proposals.features, latents)
        sample = noise.sample(style.loc, style.scale, of_style, part.start)
        style_kl = objective.standard_normal_kl(style.loc, style.scale)
        if not training:
            style_kl = codec.flow.kl(style, sample, codec.joined(latents))
        latents[codec.style.name] = sample
        parameters = codec.parameters(latents, training)
        log_prob = codec.likelihood.log_prob(parameters, part.observations)
        axes = range(1, len(log_prob.shape))
        return tf.reduce_sum(log_prob, axis=axes), style_kl

    def contrasts(
        self, part: Part, proposals: Proposals, totals: Totals
    ) -> tf.Tensor:
        """The contrasts of the levels, each with its weight, one per row.

        Args:
            part: Rows of a batch.
            proposals: What `propose` gave for the part.
            totals: What is heard of all groups of the batch.

        Returns:
            `[n]`, nats; zero for padding.
        """
        codec = self.codec
        rows = tf.zeros_like(part.first_ids, codec.dtype)
        for level in codec.levels:
            total = totals[level.name]
            if level.contrast and isinstance(total, Evidence):
                proposed = proposals.latents[level.name]
                rows += level.contrast * contrast.nats(
                    proposed.loc,
                    proposed.scale,
                    evidence.cast(total, codec.dtype),
                    part.segment_ids[level.name],
                    part.evident[level.name] >= 0,
                    part.whole_ids,
                )
        return rows

    def _of_rows(
        self,
        posterior: tfd.Normal,
        segment_ids: tf.Tensor,
        seed: tf.Tensor,
        start: int | tf.Tensor,
    ) -> tf.Tensor:
        """A sample of its group's latent for every row, `[n, dim]`."""
        rows = tf.maximum(segment_ids, 0)
        loc, scale = posterior.loc, posterior.scale
        if not self.per_observation:
            return tf.gather(noise.sample(loc, scale, seed), rows)
        loc, scale = tf.gather(loc, rows), tf.gather(scale, rows)
        return noise.sample(loc, scale, seed, start)

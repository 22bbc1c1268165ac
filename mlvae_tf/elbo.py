"""The grouped ELBO as two sums over the observations of a batch.

The first sum is of evidence: what each observation says of the latents that it
shares. It gives the posteriors of the groups and their KLs. The second, given
these, is of log likelihoods and KLs of styles. Both can be taken over the whole
batch or over parts of it, one after the other or side by side.

Nothing here knows of Keras's `fit`, and nothing is checked.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple, cast

import tensorflow as tf

from mlvae_tf import contrast, evidence, noise, objective
from mlvae_tf.batches import Part, SegmentIds
from mlvae_tf.codec import Codec, Proposals
from mlvae_tf.evidence import Evidence
from mlvae_tf.latents import Groups, Totals


class Crossing(NamedTuple):
    """A sum of the contents of one level over the groups of another.

    Attributes:
        content: The level whose contents are added up.
        groups: The level over whose groups they are; it may be the same.
    """

    content: str
    groups: str

    @property
    def name(self) -> str:
        """Among the sums; no level has such a name."""
        return f"{self.content} by {self.groups}"


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

    def kl_weights(self, step: int | tf.Tensor) -> dict[str, float | tf.Tensor]:
        """By level, the weight of its KL at a step; see `Level.weight_at`."""
        codec = self.codec
        return {
            level.name: level.weight_at(step, codec.dtype)
            for level in (*codec.levels, codec.style)
        }

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
            level.name: level.heard(
                segment_ids[level.name],
                noise.fold_in(seed, number) if number else seed,
            )
            for number, level in enumerate(self.codec.drawn)
        }

    def observation_terms(
        self,
        part: Part,
        groups: Groups,
        proposals: Proposals,
        seed: tf.Tensor,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The second sum's terms, one per row of a part.

        Training has the style's standard normal prior, evaluation the one that
        the flow makes of it.

        Args:
            part: Rows of a batch.
            groups: All groups of the batch.
            proposals: What `propose` gave for the part.
            seed: int32 `[2]`, of the step.
            training: Whether this is a training step.

        Returns:
            `(log_likelihood, style_kl)`, `[n]` each, nats; of padding, too.
        """
        codec = self.codec
        of_groups, of_style = noise.split(seed)
        latents = self._of_rows(part, groups, of_groups)
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

    def sums(
        self,
        part: Part,
        proposals: Proposals,
        num_rows: int | tf.Tensor,
        training: bool,
        dtype: str = "float64",
    ) -> Totals:
        """The first sum: what a part's observations say of every group.

        Args:
            part: Rows of a batch.
            proposals: What `propose` gave for the part.
            num_rows: Rows of the sums, at least the number of groups.
            training: Whether `crossed` is to be computed of them, too.
            dtype: Of the sums.

        Returns:
            `Codec.evidence`, and sums for every pair of `crossings`.
        """
        latents = proposals.latents
        totals = self.codec.evidence(
            part.observations, latents, part.evident, num_rows, dtype
        )
        for crossing in self.crossings if training else ():
            loc = tf.cast(latents[crossing.content].loc, dtype)
            parts = evidence.from_normal(loc, tf.ones_like(loc))
            ids = part.segment_ids[crossing.groups]
            totals[crossing.name] = evidence.accumulate(parts, ids, num_rows)
        return totals

    def zero_sums(self, num_rows: int | tf.Tensor, training: bool) -> Totals:
        """`sums` of no observation."""
        zeros: Totals = {
            level.name: level.sums.zero(num_rows, level.dim)
            for level in self.codec.drawn
        }
        for crossing in self.crossings if training else ():
            zeros[crossing.name] = zeros[crossing.content]
        return zeros

    @functools.cached_property
    def crossings(self) -> list[Crossing]:
        """The sums that `crossed` takes: of each content, over all levels."""
        drawn = self.codec.drawn
        contrasted = [level for level in drawn if level.contrast]
        if len(drawn) == 1:  # There is no other one.
            return []
        return [Crossing(a.name, b.name) for a in contrasted for b in drawn]

    def crossed(self, totals: Totals, segment_ids: SegmentIds) -> tf.Tensor:
        """What contents tell of other levels' groups, with its weights.

        Args:
            totals: From `sums`, over the whole batch.
            segment_ids: Of the whole batch.

        Returns:
            A scalar, nats, summed over the observations.
        """
        cost = tf.zeros((), self.codec.dtype)
        weights = {level.name: level.contrast for level in self.codec.drawn}
        for crossing in self.crossings:
            content, groups = crossing.content, crossing.groups
            if content == groups:
                continue
            own = totals[Crossing(content, content).name]
            nats = contrast.crossed(
                cast(Evidence, own),
                cast(Evidence, totals[crossing.name]),
                segment_ids[content],
                segment_ids[groups],
            )
            cost += weights[content] * tf.cast(nats, cost.dtype)
        return cost

    def contrasts(
        self, part: Part, proposals: Proposals, totals: Totals
    ) -> tf.Tensor:
        """The contrasts of the levels, each with its weight, one per row.

        Args:
            part: Rows of a batch.
            proposals: What `propose` gave for the part.
            totals: What is heard of all groups of the batch.

        Returns:
            `[n]`, nats; zero for padding, and where no value is known.
        """
        codec = self.codec
        ids = codec.telling(part.observations, part.segment_ids)
        rows = tf.zeros_like(part.first_ids, codec.dtype)
        for level in codec.drawn:
            total = totals[level.name]
            if level.contrast and isinstance(total, Evidence):
                proposed = proposals.latents[level.name]
                rows += level.contrast * contrast.nats(
                    proposed.loc,
                    proposed.scale,
                    evidence.cast(total, codec.dtype),
                    ids[level.name],
                    part.evident[level.name] >= 0,
                    part.whole_ids,
                )
        return rows

    def _of_rows(
        self, part: Part, groups: Groups, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """By level, a sample of its group's latent for every row, `[n, dim]`.

        Inner groups are drawn given what was drawn of their outer ones.
        """
        codec = self.codec
        drawn: dict[str, tf.Tensor] = {}
        rows = {n: tf.maximum(of, 0) for n, of in part.segment_ids.items()}
        for number, level in enumerate(codec.outer_first):
            name = level.name
            # The first level's noise is that of a model with one level.
            own_seed = noise.fold_in(seed, number) if number else seed
            outer = drawn[level.parent] if level.parent else None
            if self.per_observation:
                q = codec.given_outer(groups, level, outer, rows[name])
                drawn[name] = noise.sample(*q, own_seed, part.start)
                continue
            if outer is not None:
                outer = tf.gather(outer, tf.maximum(groups.outer[name], 0))
            q = codec.given_outer(groups, level, outer)
            drawn[name] = noise.sample(*q, own_seed)
        if self.per_observation:
            return drawn
        return {n: tf.gather(sample, rows[n]) for n, sample in drawn.items()}

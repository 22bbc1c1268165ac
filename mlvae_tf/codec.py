"""Networks, heads and likelihood: from observations to latents and back."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import batches, evidence, hierarchy, noise, objective
from mlvae_tf.batches import SegmentIds
from mlvae_tf.evidence import Evidence, Moments
from mlvae_tf.layers import NormalHead, SpreadPrecision
from mlvae_tf.levels import Level, drawn
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.style_flow import NoStyleFlow

Latents = dict[str, tfd.Normal]  # By level.
Totals = dict[str, Evidence | Moments]  # By level of groups.


class Proposals(NamedTuple):
    """What observations say, before they know of each other.

    Attributes:
        latents: By level of groups, what each proposes for its groups' latent,
            batch shape `[n, dim]`.
        features: What their styles are read from, `[n, features]`.
    """

    latents: Latents
    features: tf.Tensor


class Groups(NamedTuple):
    """What is known of all groups of a batch.

    Attributes:
        totals: By level, what is said of each group; of an outer level, what
            its inner groups say.
        posteriors: By level, the posterior of each, whatever the others are.
        outer: By inner level, the outer group of each group, int32.
    """

    totals: Totals
    posteriors: Latents
    outer: dict[str, tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Codec:
    """What encodes observations and decodes latents.

    Attributes:
        encoder: From what the likelihood shows of observations to features
            `[N, features]`.
        heads: By level, the style's last: from features to a normal, the
            style's from features and contents where it is given these.
        decoder: From all latents, in that order, to the parameters of the
            likelihood.
        likelihood: All about the values of observations.
        levels: The levels of groups.
        spreads: By inner level, how precisely its latents lie around those of
            its outer level.
        style: The level of single observations.
        style_given_content: Whether a style is q(s_i | x_i, contents).
        flow: What makes of the style that is learned the one that is given.
        observation_shape: Shape of one observation.
        dtype: Of latents and parameters, whatever computes the networks.
    """

    encoder: keras.layers.Layer
    heads: dict[str, NormalHead]
    decoder: keras.layers.Layer
    likelihood: Likelihood
    levels: tuple[Level, ...]
    spreads: dict[str, SpreadPrecision]
    style: Level
    style_given_content: bool
    flow: NoStyleFlow
    observation_shape: tuple[int, ...]
    dtype: str

    def propose(
        self, observations: tf.Tensor, training: bool = False
    ) -> Proposals:
        """What each observation says of its latents.

        Args:
            observations: `[N, *observation_shape]`.
            training: Whether the networks are trained.

        """
        features = self.encoder(
            self.likelihood.encoded(observations), training=training
        )
        latents = {
            level.name: self.heads[level.name](features) for level in self.drawn
        }
        return Proposals(latents, features)

    def learned_style(
        self, features: tf.Tensor, contents: dict[str, tf.Tensor]
    ) -> tfd.Normal:
        """The style posteriors before the flow.

        Args:
            features: Of the observations, `[N, features]`.
            contents: By level of groups, the latent of each, `[N, dim]`.

        Returns:
            Batch shape `[N, style_dim]`.
        """
        if not self.style.dim:
            none = tf.zeros((tf.shape(features)[0], 0), self.dtype)
            return tfd.Normal(none, none)
        if self.style_given_content:
            joined = tf.cast(self.joined(contents), features.dtype)
            features = tf.concat([features, joined], axis=-1)
        return self.heads[self.style.name](features)

    def given_style(
        self, features: tf.Tensor, contents: dict[str, tf.Tensor]
    ) -> tfd.Normal:
        """The same after the flow, as users know it."""
        style = self.learned_style(features, contents)
        return self.flow.after(style, self.joined(contents))

    def encode(self, observations: tf.Tensor) -> Latents:
        """What each observation says on its own of all its latents.

        Its style is the one given its own contents.
        """
        latents, features = self.propose(observations)
        contents = {name: proposed.loc for name, proposed in latents.items()}
        style = self.given_style(features, contents)
        return {**latents, self.style.name: style}

    def evidence(
        self,
        observations: tf.Tensor,
        proposed: Latents,
        segment_ids: SegmentIds,
        num_rows: int | tf.Tensor,
        dtype: str = "float64",
    ) -> Totals:
        """What observations say of every group, added up.

        Args:
            observations: `[n, *observation_shape]`; one of which no value is
                known says nothing.
            proposed: By level, what they propose.
            segment_ids: By level, int32 `[n]`; negative leaves one out.
            num_rows: Rows of the sums, at least the number of groups.
            dtype: Of the sums.

        Returns:
            By level of groups, `[num_rows, dim]`, zeros beyond the groups.
        """
        known = self.likelihood.known(observations)
        totals = {}
        for level in self.drawn:
            ids = segment_ids[level.name]
            if known is not None:
                ids = tf.where(known, ids, -1)
            normal = proposed[level.name]
            parts = level.sums.parts(normal.loc, normal.scale, dtype)
            totals[level.name] = evidence.accumulate(parts, ids, num_rows)
        return totals

    @functools.cached_property
    def drawn(self) -> tuple[Level, ...]:
        """The levels whose latents the decoder reads: no other's parents."""
        return drawn(self.levels)

    @functools.cached_property
    def outer_first(self) -> tuple[Level, ...]:
        """All levels, each after its parent."""
        parents = self.parents

        def depth(level: Level) -> int:
            name, steps = level.name, 0
            while name in parents:
                name, steps = parents[name], steps + 1
            return steps

        return tuple(sorted(self.levels, key=depth))

    @functools.cached_property
    def parents(self) -> dict[str, str]:
        """By inner level, the name of its outer one."""
        return {v.name: v.parent for v in self.levels if v.parent}

    def groups(self, totals: Totals, segment_ids: SegmentIds) -> Groups:
        """All groups given what is said of them.

        What is said of inner groups goes up to the outer ones, and what these
        are comes down to them (`mlvae_tf.hierarchy`).

        Args:
            totals: From `evidence`.
            segment_ids: Of the whole batch, by level, `[N]`.
        """
        totals, outer = dict(totals), {}
        for level in reversed(self.outer_first):
            if level.parent:
                own = _products(totals[level.name])
                size = tf.shape(own[0])[0]
                outer[level.name] = outer_ids = batches.outer_ids(
                    segment_ids[level.name], segment_ids[level.parent], size
                )
                told = hierarchy.up(own, self._precision(level, own[0].dtype))
                told = evidence.accumulate(told, outer_ids, size)
                if level.parent in totals:  # By another one of its levels.
                    before = _products(totals[level.parent])
                    told = evidence.add(before, told)
                totals[level.parent] = told
        posteriors: Latents = {}
        for level in self.outer_first:
            posteriors[level.name] = self._posterior(
                level, totals[level.name], posteriors, outer
            )
        ordered = {level.name: posteriors[level.name] for level in self.levels}
        return Groups(totals, ordered, outer)

    def _precision(self, level: Level, dtype: Any) -> tf.Tensor:
        return tf.cast(self.spreads[level.name].precision, dtype)

    def _posterior(
        self,
        level: Level,
        total: Evidence | Moments,
        posteriors: Latents,
        outer: dict[str, tf.Tensor],
    ) -> tfd.Normal:
        """That of a level's groups, given those of its outer level."""
        if level.parent:
            around = _of_outer(posteriors[level.parent], outer[level.name])
            own = evidence.cast(_products(total), self.dtype)
            precision = self._precision(level, self.dtype)
            return tfd.Normal(*hierarchy.marginal(own, around, precision))
        if level in self.drawn:
            return level.posterior(total, self.dtype)
        loc, scale = hierarchy.outermost(_products(total))
        return tfd.Normal(tf.cast(loc, self.dtype), tf.cast(scale, self.dtype))

    def prior_variance(self, level: Level, dtype: Any) -> tf.Tensor:
        """That of a group's latent, whatever its outer groups are, `[dim]`."""
        variance = tf.ones(level.dim, dtype)
        parents = {one.name: one for one in self.levels}
        while level.parent:
            variance += 1 / self._precision(level, dtype)
            level = parents[level.parent]
        return variance

    def given_outer(
        self,
        groups: Groups,
        level: Level,
        outer: tf.Tensor | None,
        segment_ids: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The posterior of a level's groups given a draw of its outer level.

        Args:
            groups: All groups.
            level: The level.
            outer: `[n, dim]`, of each one's outer group; None without any.
            segment_ids: int32 `[n]`, of which groups; by default of all.

        Returns:
            `(loc, scale)`, `[n, dim]`.
        """

        def chosen(part: tf.Tensor) -> tf.Tensor:
            if segment_ids is None:
                return part
            return tf.gather(part, segment_ids)

        if outer is None:
            posterior = groups.posteriors[level.name]
            return chosen(posterior.loc), chosen(posterior.scale)
        own = evidence.cast(_products(groups.totals[level.name]), self.dtype)
        return hierarchy.given(
            Evidence(*map(chosen, own)),
            outer,
            self._precision(level, self.dtype),
        )

    def prior(
        self, level: Level, outer: tf.Tensor | None, like: tf.Tensor
    ) -> tfd.Normal:
        """The prior of a level's groups, around a draw of their outer ones.

        Args:
            level: The level.
            outer: `[n, dim]`, or None without an outer level.
            like: What has the prior's shape, `[n, dim]`.
        """
        if outer is None:
            return tfd.Normal(tf.zeros_like(like), tf.ones_like(like))
        precision = self._precision(level, like.dtype)
        return tfd.Normal(outer, tf.math.rsqrt(precision))

    def kl(self, groups: Groups) -> dict[str, tf.Tensor]:
        """By level, the KL of every row, nats; zero where there is no group.

        That of an inner group is from the prior around its outer one.
        """
        found = {}
        for name, posterior in groups.posteriors.items():
            if name in groups.outer:
                around = groups.posteriors[self.parents[name]]
                found[name] = hierarchy.kl(
                    evidence.cast(_products(groups.totals[name]), self.dtype),
                    _of_outer(around, groups.outer[name]),
                    tf.cast(self.spreads[name].precision, self.dtype),
                )
            else:
                found[name] = objective.standard_normal_kl(
                    posterior.loc, posterior.scale
                )
        return found

    def parameters(
        self, latents: dict[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        """The likelihood's parameters, the style being one before the flow.

        Args:
            latents: By level, `[N, dim]`.
            training: Whether the networks are trained.
        """
        joined = tf.concat([latents[name] for name in self.heads], axis=-1)
        return tf.cast(self.decoder(joined, training=training), self.dtype)

    def decode(self, latents: dict[str, tf.Tensor]) -> tf.Tensor:
        """The same with a style after the flow."""
        style = self.flow.before(latents[self.style.name], self.joined(latents))
        return self.parameters({**latents, self.style.name: style})

    def joined(self, latents: dict[str, tf.Tensor]) -> tf.Tensor:
        """The latents of all groups that are drawn, side by side."""
        parts = [latents[level.name] for level in self.drawn]
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=-1)

    def seed_networks(self, seed: tf.Tensor, start: int | tf.Tensor) -> None:
        """Let Dropout and its like draw as they do whenever a part is computed.

        What they draw then depends on the step and the part alone, so that
        every pass over a chunk draws the same, and a resumed run too.

        Args:
            seed: int32 `[2]`, of the step.
            start: Where in the batch the part begins.
        """
        states = [
            variable
            for network in (self.encoder, self.decoder)
            for variable in network.non_trainable_variables
            if variable.path.endswith("seed_generator_state")
        ]
        if not states:
            return
        of_part = noise.fold_in(seed, noise.Draw.NETWORKS)
        of_part = noise.fold_in(of_part, start)
        for number, state in enumerate(states):
            own = noise.fold_in(of_part, number)
            state.assign(tf.cast(own, state.dtype))


def _products(total: Evidence | Moments) -> Evidence:
    """Sums of a level in a hierarchy, which has no averages."""
    if not isinstance(total, Evidence):
        raise TypeError(f"expected evidence: got {type(total).__name__}")
    return total


def _of_outer(
    posterior: tfd.Normal, outer_ids: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Loc and scale of each inner group's outer one."""
    ids = tf.maximum(outer_ids, 0)
    return tf.gather(posterior.loc, ids), tf.gather(posterior.scale, ids)

"""Networks, heads and likelihood: from observations to latents and back."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import keras
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import evidence, noise
from mlvae_tf.batches import SegmentIds
from mlvae_tf.latents import Latents, SharedLatents, Totals
from mlvae_tf.layers import NormalHead
from mlvae_tf.levels import Level
from mlvae_tf.likelihoods import Likelihood
from mlvae_tf.style_flow import NoStyleFlow


class Proposals(NamedTuple):
    """What observations say, before they know of each other.

    Attributes:
        latents: By level of groups, what each proposes for its groups' latent,
            batch shape `[n, dim]`.
        features: What their styles are read from, `[n, features]`.
    """

    latents: Latents
    features: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Codec(SharedLatents):
    """What encodes observations and decodes latents.

    Attributes:
        encoder: From what the likelihood shows of observations to features
            `[N, features]`.
        heads: By level, the style's last: from features to a normal, the
            style's from features and contents where it is given these.
        decoder: From all latents, in that order, to the parameters of the
            likelihood.
        likelihood: All about the values of observations.
        style: The level of single observations.
        style_given_content: Whether a style is q(s_i | x_i, contents).
        flow: What makes of the style that is learned the one that is given.
        observation_shape: Shape of one observation.
    """

    encoder: keras.layers.Layer
    heads: dict[str, NormalHead]
    decoder: keras.layers.Layer
    likelihood: Likelihood
    style: Level
    style_given_content: bool
    flow: NoStyleFlow
    observation_shape: tuple[int, ...]

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
        ids = self.telling(observations, segment_ids)
        totals = {}
        for level in self.drawn:
            normal, of_level = proposed[level.name], ids[level.name]
            parts = level.sums.parts(normal.loc, normal.scale, dtype)
            totals[level.name] = evidence.accumulate(parts, of_level, num_rows)
        return totals

    def telling(
        self, observations: tf.Tensor, segment_ids: SegmentIds
    ) -> SegmentIds:
        """Segment ids with -1 for observations of which no value is known."""
        known = self.likelihood.known(observations)
        if known is None:
            return segment_ids
        return {n: tf.where(known, ids, -1) for n, ids in segment_ids.items()}

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

"""The Multi-Level VAE as a Keras model."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from mlvae_tf import checks, control, evidence, noise, objective
from mlvae_tf.chunks import Chunk
from mlvae_tf.errors import InputError
from mlvae_tf.evidence import Evidence
from mlvae_tf.flows import ConditionalFlow
from mlvae_tf.grouped_model import Batch, GroupedModel, Schedule
from mlvae_tf.layers import EvidenceAccumulation, NormalHead
from mlvae_tf.likelihoods import LIKELIHOODS
from mlvae_tf.networks import TRUNKS, Architecture, start_at_components

tfd = tfp.distributions
FLOW_NOISE = 0.1  # Of a posterior's scale, on what the flow learns from.


def _choose(name: str, value: str, choices: Any) -> str:
    if value not in choices:
        known = ", ".join(repr(choice) for choice in choices)
        raise InputError(f"{name} must be one of {known}: got {value!r}.")
    return value


@keras.saving.register_keras_serializable("mlvae_tf")
class MLVAE(GroupedModel):
    """Multi-Level Variational Autoencoder.

    Observations x_i come in groups. Every group G has one latent content c_G,
    every observation one latent style s_i, both with prior N(0, I):

        q(s_i | x_i) = N(mu_s(x_i), sigma_s(x_i)^2)
        q(c_G | X_G) = product over i in G of N(mu_c(x_i), sigma_c(x_i)^2)

    Training maximises the mean over the groups of a batch of their ELBO
    (`mlvae_tf.objective`). `fit` takes a `tf.data.Dataset` of batches
    `{"observations": [N, ...], "group_ids": [N]}`, or a dict of such arrays,
    which Keras then batches. Within a batch, equal ids make a group; the ids
    are integers or strings in any order. `predict` reconstructs, batch by
    batch: a group that two batches share has two contents, so pass a
    `batch_size` that holds all, or use `mlvae_tf.control.reconstruct`.

    Args:
        observation_shape: Shape of one observation, such as `(28, 28, 1)`.
        content_dim: Dimensions of the content, one a group.
        style_dim: Dimensions of the style, one an observation.
        trunk: `"mlp"`, `"conv"` or `"linear"`: one linear map each, for few
            groups; `adapt` starts them at principal components.
        hidden_units: Units of the encoder's hidden layers, an integer or a
            tuple; the decoder has them in reverse order. Linear networks have
            none.
        activation: Activation of the hidden layers.
        likelihood: `"bernoulli"`, `"normal"` (fixed scale) or
            `"normal_learned_scale"` (a variance a value, the paper's).
        observation_scale: Scale of the `"normal"` likelihood.
        accumulation: How a group's observations make its content:
            `"product"`, `"product_with_prior"` or `"average"`; see
            `mlvae_tf.layers.EvidenceAccumulation`.
        evidence_dropout: Probability of leaving an observation's evidence out
            of its group's content in a training step; one at least stays. With
            1 the content comes from a single observation of the group, so
            that every single one learns to say all. The objective remains a
            lower bound (`mlvae_tf.evidence.drop`).
        style_flow: Coupling layers of a normalizing flow that takes out of the
            style what the content tells of it, or 0 for none
            (`mlvae_tf.flows`). The networks are trained as without it.
        content_samples: `"group"` samples the content once a group,
            `"observation"` once an observation (the paper's footnote 1).
        content_kl_weight: Factor of the content KL in the loss, a number or a
            schedule of the step, such as `mlvae_tf.Warmup`.
        style_kl_weight: The same for the style KL.
        seed: Seed of the noise in training. Every draw derives from it and the
            optimizer's step.
        **kwargs: Arguments of `keras.Model`.

    Raises:
        ValueError: For an unknown name or an impossible shape.

    References:
        Bouchacourt, Tomioka, Nowozin: Multi-Level Variational Autoencoder,
        AAAI 2018 (arXiv 1705.08841).

    Example:

    >>> model = MLVAE(observation_shape=(28, 28, 1))
    >>> model.compile(optimizer=keras.optimizers.Adam(1e-3))
    >>> model.fit({"observations": images, "group_ids": digits}, batch_size=256)
    >>> groups, content = model.infer_content(images, digits)
    """

    def __init__(
        self,
        observation_shape: tuple[int, ...],
        content_dim: int = 10,
        style_dim: int = 10,
        trunk: str = "mlp",
        hidden_units: int | tuple[int, ...] = 500,
        activation: str = "tanh",
        likelihood: str = "bernoulli",
        observation_scale: float = 1.0,
        accumulation: str = "product",
        evidence_dropout: float = 0.0,
        style_flow: int = 0,
        content_samples: str = "group",
        content_kl_weight: float | Schedule = 1.0,
        style_kl_weight: float | Schedule = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(content_kl_weight, style_kl_weight, **kwargs)
        self.observation_shape = checks.as_shape(observation_shape)
        self.content_dim, self.style_dim = content_dim, style_dim
        self.trunk = _choose("trunk", trunk, TRUNKS)
        self.hidden_units = tuple(np.atleast_1d(hidden_units).tolist())
        self.activation = activation
        self.likelihood = _choose("likelihood", likelihood, LIKELIHOODS)
        self.observation_scale = observation_scale
        self.accumulation = EvidenceAccumulation(
            accumulation, dtype=self.variable_dtype
        )
        if not 0 <= evidence_dropout <= 1:
            raise InputError(
                f"evidence_dropout must be in [0, 1]: got {evidence_dropout}."
            )
        self.evidence_dropout = evidence_dropout
        self.style_flow = style_flow
        self.content_samples = _choose(
            "content_samples", content_samples, ("group", "observation")
        )
        self.seed = random.randrange(2**31) if seed is None else seed
        self._build_networks()

    def _build_networks(self) -> None:
        if not self.observation_scale > 0:
            raise InputError(
                f"observation_scale must be positive: got "
                f"{self.observation_scale}."
            )
        *axes, channels = self.observation_shape
        parameters = LIKELIHOODS[self.likelihood].num_parameters
        spec = Architecture(
            self.observation_shape,
            self.content_dim + self.style_dim,
            (*axes, channels * parameters),
            self.hidden_units,
            self.activation,
            self.dtype_policy,
        )
        make_encoder, make_decoder = TRUNKS[self.trunk]
        self.encoder, self.decoder = make_encoder(spec), make_decoder(spec)
        dtype = self.dtype_policy
        self.content_head = NormalHead(self.content_dim, dtype=dtype)
        self.style_head = NormalHead(self.style_dim, dtype=dtype)
        self.content_head.build(self.encoder.output_shape)
        self.style_head.build(self.encoder.output_shape)
        self.flow = None
        if self.style_flow:
            self.flow = ConditionalFlow(
                self.style_dim,
                self.content_dim,
                self.style_flow,
                dtype=self.variable_dtype,
            )
        self.built = True
        self._encode_batch = tf.function(
            self._encode_to_tensors,
            input_signature=[
                tf.TensorSpec(
                    (None, *self.observation_shape), self.variable_dtype
                )
            ],
        )

    def adapt(self, observations: Any) -> None:
        """Start the linear networks at principal components, before `fit`.

        Contents then are the largest ones, scaled to unit variance, and what
        is decoded is made of them. Few groups are otherwise learned by heart,
        and a content never seen decodes to a mixture of theirs.

        Args:
            observations: `[N, *observation_shape]`, at least two. They are
                held in memory; some thousands are enough.

        Raises:
            ValueError: Unless `trunk="linear"` and `likelihood="normal"`, or
                if the shapes or values do not fit the model.
        """
        if (self.trunk, self.likelihood) != ("linear", "normal"):
            raise InputError(
                'adapt needs trunk="linear" and likelihood="normal": got '
                f"{self.trunk!r} and {self.likelihood!r}."
            )
        observations = np.asarray(observations, self.variable_dtype)
        checks.check_shapes(observations, self.observation_shape)
        checks.check_values(observations, self.likelihood)
        if len(observations) < 2:
            raise InputError(
                f"adapt needs two observations: got {len(observations)}."
            )
        start_at_components(
            self.encoder, self.decoder, observations, self.content_dim
        )
        kernel = self.content_head.kernel.numpy()
        kernel[:, : self.content_dim] = np.eye(
            len(kernel), self.content_dim, dtype=kernel.dtype
        )
        self.content_head.kernel.assign(kernel)

    # Inference.

    def _encode_to_tensors(self, observations: tf.Tensor) -> list[tf.Tensor]:
        content, style = self.encode(observations)
        return [content.loc, content.scale, style.loc, style.scale]

    def _propose(
        self, observations: tf.Tensor
    ) -> tuple[tfd.Normal, tfd.Normal]:
        """`encode` before the flow."""
        features = self.encoder(observations)
        return self.content_head(features), self.style_head(features)

    def _likelihood(
        self, content: tf.Tensor, style: tf.Tensor
    ) -> tfd.Distribution:
        """`decode` after the flow."""
        latents = tf.concat([content, style], axis=-1)
        distribution = LIKELIHOODS[self.likelihood].distribution
        parameters = tf.cast(self.decoder(latents), self.variable_dtype)
        return distribution(parameters, self.observation_scale)

    def encode(self, observations: tf.Tensor) -> tuple[tfd.Normal, tfd.Normal]:
        """What each observation says of its content and of its style.

        Args:
            observations: `[N, *observation_shape]`.

        Returns:
            `(content, style)`: the normal that each observation proposes for
            its group's content, batch shape `[N, content_dim]`, and its style
            posterior, batch shape `[N, style_dim]`.
        """
        content, style = self._propose(observations)
        if self.flow:
            style = tfd.Normal(
                *self.flow.normal(style.loc, style.scale, content.loc)
            )
        return content, style

    def decode(self, content: tf.Tensor, style: tf.Tensor) -> tfd.Distribution:
        """The likelihood p(x | c, s).

        Args:
            content: `[N, content_dim]`.
            style: `[N, style_dim]`.

        Returns:
            A distribution with batch shape `[N]` and event shape
            `observation_shape`.
        """
        content, style = (
            tf.convert_to_tensor(content),
            tf.convert_to_tensor(style),
        )
        checks.check_latents(content, style, self.content_dim, self.style_dim)
        if self.flow:
            style = self.flow.inverse(style, content)
        return self._likelihood(content, style)

    def infer_observations(
        self, observations: Any, group_ids: Any = None, batch_size: int = 1024
    ) -> tuple[tfd.Normal, tfd.Normal]:
        """`encode` for any number of observations, checked, batch by batch.

        Args:
            observations: `[N, *observation_shape]`.
            group_ids: `[N]`, only checked.
            batch_size: Observations to encode at once.

        Returns:
            `(content, style)` as from `encode`.

        Raises:
            ValueError: If the shapes or values do not fit the model.
        """
        observations = np.asarray(observations)
        checks.check_shapes(observations, self.observation_shape, group_ids)
        with np.errstate(over="ignore"):  # Infinity is reported just below.
            observations = observations.astype(self.variable_dtype)
        checks.check_values(observations, self.likelihood)
        parts = []
        for start in range(0, len(observations), batch_size):
            batch = observations[start : start + batch_size]
            parts.append(self._encode_batch(tf.constant(batch)))
        joined = [tf.concat(part, axis=0) for part in zip(*parts)]
        return tfd.Normal(*joined[:2]), tfd.Normal(*joined[2:])

    def infer_content(
        self, observations: Any, group_ids: Any
    ) -> tuple[np.ndarray, tfd.Normal]:
        """The content posterior of every group, its evidence accumulated.

        Args:
            observations: `[N, *observation_shape]`, any number.
            group_ids: `[N]`, integers or strings, in any order.

        Returns:
            `(groups, content)`: the distinct ids `[G]` in order of first
            appearance, and the posterior, batch shape `[G, content_dim]`.

        Raises:
            ValueError: If the shapes or values do not fit the model.
        """
        group_ids = np.asarray(group_ids)
        proposed, _ = self.infer_observations(observations, group_ids)
        _, segment_ids = evidence.index_groups(tf.constant(group_ids))
        _, first = np.unique(segment_ids, return_index=True)
        content = self.accumulation(
            proposed.loc, proposed.scale, segment_ids, num_groups=len(first)
        )
        return group_ids[first], content

    def infer_style(self, observations: Any) -> tfd.Normal:
        """The style posterior of every observation.

        Args:
            observations: `[N, *observation_shape]`, any number.

        Returns:
            The posterior, batch shape `[N, style_dim]`.

        Raises:
            ValueError: If the shapes or values do not fit the model.
        """
        return self.infer_observations(observations)[1]

    def call(self, inputs: Batch) -> tf.Tensor:
        """Reconstruct a batch as `fit` takes it."""
        observations, group_ids = checks.unpack(inputs)
        checks.check_shapes(observations, self.observation_shape, group_ids)
        observations = checks.assert_values(observations, self.likelihood)
        return control.reconstruct(self, observations, group_ids)

    # The ELBO. `mlvae_tf.chunks` computes it from the same parts.

    def group_terms(
        self, observations: tf.Tensor, segment_ids: tf.Tensor, seed: tf.Tensor
    ) -> objective.Terms:
        chunk = Chunk(observations, segment_ids)
        proposed, style = self.propose(observations, training=False)
        return self._terms(chunk, segment_ids, proposed, style, seed, False)

    def training_terms(
        self, observations: tf.Tensor, segment_ids: tf.Tensor, seed: tf.Tensor
    ) -> tuple[objective.Terms, tf.Tensor | float]:
        chunk = Chunk(observations, segment_ids)
        proposed, style = self.propose(observations, training=True)
        heard = self.heard(segment_ids, seed)
        terms = self._terms(chunk, heard, proposed, style, seed, True)
        if not self.flow:
            return terms, 0.0
        total = evidence.accumulate(
            evidence.from_normal(proposed.loc, proposed.scale),
            segment_ids,
            tf.shape(segment_ids)[0],
        )
        moments = self.flow_moments(chunk, proposed, style, total)
        return terms, self.flow_loss(
            chunk, proposed, style, total, moments, seed
        )

    def _terms(
        self,
        chunk: Chunk,
        heard: tf.Tensor,
        proposed: tfd.Normal,
        style: tfd.Normal,
        seed: tf.Tensor,
        training: bool,
    ) -> objective.Terms:
        segment_ids = chunk.segment_ids
        content = self.accumulation(
            proposed.loc,
            proposed.scale,
            heard,
            num_groups=tf.shape(segment_ids)[0],
        )
        content = _within(content, tf.reduce_max(segment_ids) + 1)
        log_likelihood, style_kl = self.observation_terms(
            chunk, content, style, seed, training
        )
        content_kl = objective.standard_normal_kl(content.loc, content.scale)
        return objective.group_terms(
            log_likelihood, style_kl, content_kl, segment_ids
        )

    def propose(
        self, observations: tf.Tensor, training: bool
    ) -> tuple[tfd.Normal, tfd.Normal]:
        """`encode`, or what training has in its place: before the flow."""
        return (self._propose if training else self.encode)(observations)

    def posterior(self, total: Evidence, num_groups: tf.Tensor) -> tfd.Normal:
        """The content given the evidence of `num_groups` and rows beyond."""
        return _within(self.accumulation.posterior(total), num_groups)

    def heard(self, segment_ids: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The segment ids of a training step, -1 for evidence to leave out."""
        if not self.evidence_dropout:
            return segment_ids
        return evidence.drop(
            segment_ids,
            self.evidence_dropout,
            tf.shape(segment_ids)[0],
            noise.fold_in(seed, 2),
        )

    def observation_terms(
        self,
        chunk: Chunk,
        content: tfd.Normal,
        style: tfd.Normal,
        seed: tf.Tensor,
        training: bool,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What every observation adds to the ELBO of its group.

        Args:
            chunk: The observations.
            content: Posterior of every group, `[G, content_dim]`.
            style: Posterior of every observation, `[n, style_dim]`.
            seed: int32 `[2]`.
            training: Whether the style is that before the flow.

        Returns:
            `(log_likelihood, style_kl)`, nats, `[n]` each.
        """
        contents, styles = self._draw(chunk, content, style, seed)
        decode = self._likelihood if training else self.decode
        return (
            decode(contents, styles).log_prob(chunk.observations),
            objective.standard_normal_kl(style.loc, style.scale),
        )

    def _draw(
        self,
        chunk: Chunk,
        content: tfd.Normal,
        style: tfd.Normal,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A content and a style for every observation."""
        seeds = noise.split(seed)
        # Padding rows have a negative id: any group will do for them.
        rows = tf.maximum(chunk.segment_ids, 0)
        if self.content_samples == "group":
            contents = tf.gather(_sample(*_parameters(content), seeds[0]), rows)
        else:
            of_rows = (tf.gather(part, rows) for part in _parameters(content))
            contents = _sample(*of_rows, seeds[0], chunk.start)
        return contents, _sample(*_parameters(style), seeds[1], chunk.start)

    def flow_moments(
        self,
        chunk: Chunk,
        proposed: tfd.Normal,
        style: tfd.Normal,
        total: Evidence,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """How many observations the flow learns from; their style variances.

        Returns:
            The number, and the sum of the variances, `[style_dim]`.
        """
        parts = evidence.from_normal(*_parameters(proposed))
        _, known = evidence.rest(parts, total, chunk.segment_ids)
        weight = tf.cast(known, style.dtype)
        spread = tf.linalg.matvec(style.variance(), weight, transpose_a=True)
        return tf.reduce_sum(weight), spread

    def flow_loss(
        self,
        chunk: Chunk,
        proposed: tfd.Normal,
        style: tfd.Normal,
        total: Evidence,
        moments: tuple[tf.Tensor, tf.Tensor],
        seed: tf.Tensor,
    ) -> tf.Tensor:
        """-log p(style | content of the rest of the group), the mean in nats.

        The rest, since an observation's own content may tell more of its style
        than the group's does, and that is to stay in the style. It is drawn as
        uncertain as a single observation leaves it, so that the flow does not
        come to depend on more of it. No gradient leaves the flow.
        """
        seeds = noise.split(noise.fold_in(seed, 3))
        parts = evidence.from_normal(*_parameters(proposed))
        others, known = evidence.rest(parts, total, chunk.segment_ids)
        precision = tf.where(known[:, tf.newaxis], others.precision, 1)
        condition = _sample(
            others.weighted_loc / precision,
            proposed.scale,
            seeds[0],
            chunk.start,
        )
        # The means, with some of the posterior's noise: what is far below it
        # is not worth stretching. With prior variance 1, the means have what
        # the posteriors leave of it.
        noisy = _sample(
            style.loc, FLOW_NOISE * style.scale, seeds[1], chunk.start
        )
        count, spread = moments
        count = tf.maximum(count, 1)
        variance = tf.nn.relu(1 - spread / count)
        variance += FLOW_NOISE**2 * spread / count
        loss = self.flow.negative_log_likelihood(
            *map(tf.stop_gradient, (noisy, condition, tf.sqrt(variance)))
        )
        return tf.reduce_sum(tf.where(known, loss, 0)) / count

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "observation_shape": self.observation_shape,
            "content_dim": self.content_dim,
            "style_dim": self.style_dim,
            "trunk": self.trunk,
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            "likelihood": self.likelihood,
            "observation_scale": self.observation_scale,
            "accumulation": self.accumulation.rule,
            "evidence_dropout": self.evidence_dropout,
            "style_flow": self.style_flow,
            "content_samples": self.content_samples,
            "content_kl_weight": serialize(self.content_kl_weight),
            "style_kl_weight": serialize(self.style_kl_weight),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MLVAE:
        deserialize = keras.saving.deserialize_keras_object
        weights = {
            name: deserialize(config[name])
            for name in ("content_kl_weight", "style_kl_weight")
        }
        return cls(**{**config, **weights})


def _within(content: tfd.Normal, num_groups: tf.Tensor) -> tfd.Normal:
    """Give rows beyond the groups the prior: KL and gradient are zero."""
    used = tf.range(tf.shape(content.loc)[0]) < num_groups
    scale = tf.where(used[:, tf.newaxis], content.scale, 1)
    return tfd.Normal(content.loc, scale)


def _parameters(normal: tfd.Normal) -> tuple[tf.Tensor, tf.Tensor]:
    return normal.loc, normal.scale


def _sample(
    loc: tf.Tensor,
    scale: tf.Tensor,
    seed: tf.Tensor,
    start: int | tf.Tensor = 0,
) -> tf.Tensor:
    """Reparametrised draw from N(loc, scale^2) for rows from `start` on."""
    rows, width = tf.shape(loc)[0], loc.shape[1]
    return loc + scale * noise.normal(seed, rows, width, start, loc.dtype)

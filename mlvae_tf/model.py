"""The Multi-Level VAE as a Keras model."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np

from mlvae_tf import checks, likelihoods, networks, principal
from mlvae_tf.codec import Codec
from mlvae_tf.directions import Directions
from mlvae_tf.elbo import Elbo
from mlvae_tf.errors import InputError
from mlvae_tf.flows import ConditionalFlow
from mlvae_tf.inference import GroupedModel
from mlvae_tf.layers import NormalHead, SpreadPrecision
from mlvae_tf.levels import Level, Schedule, as_levels, drawn
from mlvae_tf.likelihoods import Likelihood, WithMissing
from mlvae_tf.style_flow import NoStyleFlow, StyleFlow


@keras.saving.register_keras_serializable("mlvae_tf")
class MLVAE(GroupedModel):
    """Multi-Level Variational Autoencoder.

    Observations x_i come in groups. Every group G has one latent content c_G,
    every observation one latent style s_i, both with prior N(0, I):

        q(s_i | x_i) = N(mu_s(x_i), sigma_s(x_i)^2), or given c_G as well
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
        content_dim: Dimensions of the content, one per group.
        style_dim: Dimensions of the style, one per observation; 0 for none,
            with two levels or more.
        levels: Several groupings at once, in the place of one called content:
            dimensions by name, `{"character": 16, "font": 16}`, or a list of
            `mlvae_tf.Level`, which may have a parent. Group ids are then dicts
            by level. What is said below of the content is then that of every
            level that is given by its dimension.
        trunk: `"mlp"`; `"conv"`, strided convolutions over images or series;
            or `"linear"`: one linear map each, for few groups; `adapt` starts
            them at principal components.
        hidden_units: Units of the encoder's hidden layers, an integer or a
            tuple; the decoder has them in reverse order. Linear networks have
            none.
        activation: Activation of the hidden layers.
        encoder: A Keras layer or model of your own in the place of the trunk's:
            from `[N, *shape]`, the shape of an observation as the likelihood
            shows it (`likelihood.encoded_shape`), to features `[N, any]`.
        decoder: Likewise, from `[N, content_dim + style_dim]` to
            `[N, *likelihood.parameter_shape(observation_shape)]`. Networks are
            trained, frozen, regularized, saved and exported as Keras does.
        likelihood: An object of `mlvae_tf.likelihoods`, or its name, such as
            `"bernoulli"`, `"normal"` (fixed scale), `"normal_learned_scale"`
            (a variance per value, the paper's) or `"poisson"`.
        observation_scale: Scale of the `"normal"` likelihood.
        missing_values: Whether NaN in an observation stands for a value that
            is not known. The likelihood leaves it out; the encoder reads 0
            there and, in channels of their own, which values are known.
        accumulation: How a group's observations make its content:
            `"product"`, `"product_with_prior"` or `"average"`; see
            `mlvae_tf.layers.EvidenceAccumulation`.
        evidence_dropout: Probability of leaving an observation's evidence out
            of its group's content in a training step; one at least stays. With
            1 the content comes from a single observation of the group, so
            that every single one learns to say all. The objective remains a
            lower bound (`mlvae_tf.evidence.drop`).
        style_given_content: Whether the style is read from the observation and
            a content: q(s_i | x_i, c) = N(mu_s(x_i, c), sigma_s^2), c being a
            draw of its group's content in training. What the content says
            already then need not be said again.
        style_flow: Coupling layers of a normalizing flow that takes out of the
            style what the content tells of it, or 0 for none
            (`mlvae_tf.style_flow`). `fit` trains the networks as without it;
            `fit_style_flow` afterwards learns it. With it, or given the
            content, all styles have one scale, which otherwise tells of the
            group.
        content_contrast: Weight, for every observation, of the nats that its
            content lacks to tell its group from the others of the batch
            (`mlvae_tf.contrast`), or 0 for none.
        content_samples: `"group"` samples the content once per group,
            `"observation"` once per observation (the paper's footnote 1).
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
        levels: dict[str, int] | list[Level] | None = None,
        trunk: str = "mlp",
        hidden_units: int | tuple[int, ...] = 500,
        activation: str = "tanh",
        encoder: keras.layers.Layer | None = None,
        decoder: keras.layers.Layer | None = None,
        likelihood: str | Likelihood = "bernoulli",
        observation_scale: float = 1.0,
        missing_values: bool = False,
        accumulation: str = "product",
        evidence_dropout: float = 0.0,
        style_given_content: bool = False,
        style_flow: int = 0,
        content_contrast: float = 0.0,
        content_samples: str = "group",
        content_kl_weight: float | Schedule = 1.0,
        style_kl_weight: float | Schedule = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_dtype(self.variable_dtype)
        self.observation_shape = checks.as_shape(observation_shape)
        self._given_levels = levels is not None
        if levels is None:
            levels = {"content": content_dim}
        of_content = accumulation, evidence_dropout, content_contrast
        self.levels = as_levels(levels, *of_content, content_kl_weight)
        self.style = _style(style_dim, style_kl_weight, len(self.levels))
        self.likelihood = likelihoods.get(likelihood, scale=observation_scale)
        self.missing_values = missing_values
        self.style_given_content = style_given_content
        self.style_flow = style_flow
        self.content_samples = _choose(
            "content_samples", content_samples, ("group", "observation")
        )
        self.seed = random.randrange(2**31) if seed is None else seed
        self._make(trunk, hidden_units, activation, encoder, decoder)

    @property
    def content_dim(self) -> int:
        """Dimensions of the content: of all levels that are drawn."""
        return sum(level.dim for level in drawn(self.levels))

    @property
    def style_dim(self) -> int:
        """Dimensions of the style."""
        return self.style.dim

    def _make(
        self,
        trunk: str,
        hidden_units: int | tuple[int, ...],
        activation: str,
        encoder: keras.layers.Layer | None,
        decoder: keras.layers.Layer | None,
    ) -> None:
        """Make what was not given, and say what is trained."""
        self.trunk = _choose("trunk", trunk, networks.TRUNKS)
        self.hidden_units = tuple(np.atleast_1d(hidden_units).tolist())
        self.activation = activation
        shown = self.likelihood
        if self.missing_values:
            shown = WithMissing(self.likelihood)
        features = self._make_networks(
            self._architecture(shown), encoder, decoder
        )
        codec = Codec(
            levels=self.levels,
            encoder=self.encoder,
            heads=self._make_heads(features),
            decoder=self.decoder,
            likelihood=shown,
            spreads=self._make_spreads(),
            style=self.style,
            style_given_content=self.style_given_content,
            flow=self._make_flow(),
            observation_shape=self.observation_shape,
            dtype=self.variable_dtype,
        )
        elbo = Elbo(codec, self.content_samples == "observation")
        self._set_elbo(elbo, self._has_own_networks)
        self.built = True

    def _make_networks(
        self,
        architecture: networks.Architecture,
        encoder: keras.layers.Layer | None,
        decoder: keras.layers.Layer | None,
    ) -> int:
        """Take the user's networks, or make the trunk's; how many features."""
        make_encoder, make_decoder = networks.TRUNKS[self.trunk]
        self._own_parts = {
            "encoder": encoder is not None,
            "decoder": decoder is not None,
        }
        if encoder is None:
            encoder = make_encoder(architecture)
        if decoder is None:
            decoder = make_decoder(architecture)
        self.encoder, self.decoder = encoder, decoder
        features = networks.check_encoder(self.encoder, architecture)
        networks.check_decoder(self.decoder, architecture)
        return features

    def _architecture(self, shown: Likelihood) -> networks.Architecture:
        return networks.Architecture(
            shown.encoded_shape(self.observation_shape),
            self.content_dim + self.style_dim,
            shown.parameter_shape(self.observation_shape),
            self.hidden_units,
            self.activation,
            self.dtype_policy,
        )

    @property
    def _has_own_networks(self) -> bool:
        return any(self._own_parts.values())

    def _make_heads(self, features: int) -> dict[str, NormalHead]:
        """By level, what reads its latent, as an attribute of its own."""
        heads = {}
        for level in drawn(self.levels):
            heads[level.name] = head = level.head(dtype=self.dtype_policy)
            head.build((None, features))
        if self.style_dim:
            heads[self.style.name] = head = self._make_style_head()
            contents = self.content_dim if self.style_given_content else 0
            head.build((None, features + contents))
        for head in heads.values():
            setattr(self, head.name, head)
        return heads

    def _make_spreads(self) -> dict[str, SpreadPrecision]:
        """By inner level, how it lies around its outer one."""
        spreads = {}
        for level in self.levels:
            if level.parent:
                spread = SpreadPrecision(
                    level.dim,
                    name=f"{level.name}_spread",
                    dtype=self.variable_dtype,
                )
                spreads[level.name] = spread
                setattr(self, spread.name, spread)
        return spreads

    def _make_style_head(self) -> NormalHead:
        given = self.style_given_content
        hidden = {}
        if given and self.trunk != "linear":
            hidden = {
                "hidden_units": self.hidden_units[-1],
                "activation": self.activation,
            }
        return self.style.head(
            shared_scale=given or self.style_flow > 0,
            dtype=self.dtype_policy,
            **hidden,
        )

    def _make_flow(self) -> NoStyleFlow:
        if not self.style_flow:
            return NoStyleFlow()
        if not self.style_dim:
            raise InputError("a model without a style has no style_flow.")
        self.flow = ConditionalFlow(
            self.style_dim,
            tuple(level.dim for level in drawn(self.levels)),
            self.style_flow,
            dtype=self.variable_dtype,
        )
        self.flow.trainable = False  # By `fit`.
        self.directions = Directions(self.style_dim, dtype=self.variable_dtype)
        return StyleFlow(self.flow, self.directions)

    @property
    def networks(self) -> dict[str, keras.layers.Layer]:
        """By name, what is trained: encoder, decoder and heads."""
        codec = self.codec
        others: list[keras.layers.Layer] = [*codec.heads.values()]
        others += codec.spreads.values()
        named = {layer.name: layer for layer in others}
        return {"encoder": self.encoder, "decoder": self.decoder, **named}

    def __setattr__(self, name: str, value: Any) -> None:
        made = "elbo" in self.__dict__
        if made and isinstance(value, keras.layers.Layer):
            raise InputError(
                f"{name} cannot be replaced: the model was made with another. "
                "Make a new one, MLVAE(..., encoder=..., decoder=...), or load "
                f"the weights into it, model.{name}.set_weights(...)."
            )
        super().__setattr__(name, value)

    def adapt(self, observations: Any) -> None:
        """Start the linear networks at principal components, before `fit`.

        Contents then are the largest ones, scaled to unit variance, and what
        is decoded is made of them. Few groups are otherwise learned by heart,
        and a content never seen decodes to a mixture of theirs.

        Args:
            observations: `[N, *observation_shape]`, at least two. They are
                held in memory; a few thousand are enough.

        Raises:
            ValueError: Unless `can_adapt`, or if the shapes or values do not
                fit the model.
        """
        if not self.can_adapt:
            raise InputError(
                'adapt needs trunk="linear", likelihood="normal" and no '
                f"missing values: got {self.trunk!r} and {self.likelihood}."
            )
        observations = np.asarray(observations, self.variable_dtype)
        checks.check_shapes(observations, self.observation_shape)
        checks.check_values(observations, self.likelihood)
        if len(observations) < 2:
            raise InputError(
                f"adapt needs two observations: got {len(observations)}."
            )
        principal.start(self.codec, observations)

    @property
    def can_adapt(self) -> bool:
        """Whether the model is linear with a normal likelihood."""
        return (
            self.trunk == "linear"
            and isinstance(self.likelihood, likelihoods.Normal)
            and not self.missing_values
            and not self._has_own_networks
        )

    # Serialization.

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        networks_of_own = {
            name: serialize(getattr(self, name)) if own else None
            for name, own in self._own_parts.items()
        }
        level = self.levels[0]
        return {
            **super().get_config(),
            "observation_shape": self.observation_shape,
            "content_dim": level.dim,
            "style_dim": self.style_dim,
            "levels": [one.get_config() for one in self.levels]
            if self._given_levels
            else None,
            "trunk": self.trunk,
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            **networks_of_own,
            "likelihood": serialize(self.likelihood),
            "missing_values": self.missing_values,
            "accumulation": level.accumulation,
            "evidence_dropout": level.evidence_dropout,
            "style_given_content": self.style_given_content,
            "style_flow": self.style_flow,
            "content_contrast": level.contrast,
            "content_samples": self.content_samples,
            "content_kl_weight": serialize(level.kl_weight),
            "style_kl_weight": serialize(self.style.kl_weight),
            "seed": self.seed,
            "frozen": [
                name
                for name, network in self.networks.items()
                if not network.trainable
            ],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MLVAE:
        objects = {
            name: keras.saving.deserialize_keras_object(config[name])
            for name in (
                "encoder",
                "decoder",
                "likelihood",
                "content_kl_weight",
                "style_kl_weight",
            )
            if isinstance(config.get(name), dict)
        }
        if config.get("style_flow") and "style_given_content" not in config:
            raise InputError(
                "the model was saved by mlvae_tf 0.1, whose styles after a "
                "flow had scales of their own. Train it again, or load it with "
                "mlvae-tf==0.1.0."
            )
        arguments = {**config, **objects}
        if config.get("levels"):
            arguments["levels"] = [
                Level.from_config(level) for level in config["levels"]
            ]
        frozen = arguments.pop("frozen", ())
        model = cls(**arguments)
        for name in frozen:
            model.networks[name].trainable = False
        return model

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)


def _style(dim: int, kl_weight: float | Schedule, num_levels: int) -> Level:
    """The level of the style; of no dimension only with several others."""
    if dim == 0 and num_levels < 2:
        raise InputError(
            "style_dim=0 needs two levels or more: with one, all observations "
            "of a group would be drawn alike."
        )
    return Level("style", dim, kl_weight=kl_weight)


def _choose(name: str, value: str, choices: Any) -> str:
    if value not in choices:
        names = ", ".join(repr(choice) for choice in choices)
        raise InputError(f"{name} must be one of {names}: got {value!r}.")
    return value


def _check_dtype(variable_dtype: str) -> None:
    if variable_dtype not in ("float32", "float64"):
        raise InputError(
            "weights, evidence and KLs are kept in float32 or float64: got "
            f"dtype={variable_dtype!r}. Pass dtype='mixed_{variable_dtype}' to "
            "compute the networks in it."
        )

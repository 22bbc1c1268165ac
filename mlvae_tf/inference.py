"""What a trained model tells: contents, styles, observations."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from mlvae_tf import (
    checks,
    control,
    evidence,
    feeding,
    guards,
    noise,
    serving,
)
from mlvae_tf.codec import Codec
from mlvae_tf.elbo import Elbo
from mlvae_tf.errors import InputError
from mlvae_tf.levels import LAST_STEP, Level
from mlvae_tf.style_flow import STEPS, Pairs, StyleFlow
from mlvae_tf.trainer import GroupedTrainer

BATCH = 1024  # Observations to encode at once.
FEW = 4  # Observations whose content the flow of the style learns from.


class GroupedModel(GroupedTrainer):
    """A model that can be asked, with one level of groups.

    A subclass has `observation_shape`, `levels` and `style`.
    """

    observation_shape: tuple[int, ...]
    levels: tuple[Level, ...]
    style: Level

    @property
    def codec(self) -> Codec:
        """What encodes observations and decodes latents."""
        return self.elbo.codec

    def _set_elbo(self, elbo: Elbo, own_networks: bool) -> None:
        super()._set_elbo(elbo, own_networks)
        batch = tf.TensorSpec(
            (None, *elbo.codec.observation_shape), elbo.codec.dtype
        )
        self._encode_batch = tf.function(
            self._encode_to_tensors, input_signature=[batch]
        )
        width = sum(level.dim for level in elbo.codec.levels)
        content = tf.TensorSpec((None, width), elbo.codec.dtype)
        self._given_style, self._learned_style = (
            tf.function(
                functools.partial(self._style_to_tensors, read),
                input_signature=[batch, content],
            )
            for read in (elbo.codec.given_style, elbo.codec.learned_style)
        )

    def _encode_to_tensors(self, observations: tf.Tensor) -> list[tf.Tensor]:
        content, style = self.encode(observations)
        return [content.loc, content.scale, style.loc, style.scale]

    def _style_to_tensors(
        self,
        read: Callable[[tf.Tensor, dict[str, tf.Tensor]], tfd.Normal],
        observations: tf.Tensor,
        content: tf.Tensor,
    ) -> list[tf.Tensor]:
        _, features = self.codec.propose(observations)
        style = read(features, {self.levels[0].name: content})
        return [style.loc, style.scale]

    def encode(self, observations: tf.Tensor) -> tuple[tfd.Normal, tfd.Normal]:
        """What each observation says of its content and of its style.

        Args:
            observations: `[N, *observation_shape]`.

        Returns:
            `(content, style)`: the normal that each observation proposes for
            its group's content, batch shape `[N, content_dim]`, and its style
            posterior, given its own content where styles are given contents,
            batch shape `[N, style_dim]`.
        """
        encoded = self.codec.encode(tf.convert_to_tensor(observations))
        return encoded[self.levels[0].name], encoded[self.style.name]

    def decode(self, content: tf.Tensor, style: tf.Tensor) -> tfd.Distribution:
        """The likelihood p(x | c, s).

        Args:
            content: `[N, content_dim]`.
            style: `[N, style_dim]`.

        Returns:
            A distribution with batch shape `[N]` and event shape
            `observation_shape`.
        """
        latents = {
            self.levels[0].name: tf.convert_to_tensor(content),
            self.style.name: tf.convert_to_tensor(style),
        }
        _check_latents(latents, (*self.levels, self.style))
        parameters = self.codec.decode(latents)
        return self.codec.likelihood.of_observations(parameters)

    def infer_observations(
        self, observations: Any, group_ids: Any = None, batch_size: int = BATCH
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
        if self.variable_dtype == "float32":
            observations = checks.as_float32(observations)
        observations = observations.astype(self.variable_dtype, copy=False)
        checks.check_values(observations, self.codec.likelihood)
        parts = []
        for start in range(0, len(observations), batch_size):
            batch = observations[start : start + batch_size]
            parts.append(self._encode_batch(tf.constant(batch)))
        joined = [tf.concat(part, axis=0) for part in zip(*parts, strict=True)]
        return tfd.Normal(*joined[:2]), tfd.Normal(*joined[2:])

    def infer_content(
        self, observations: Any, group_ids: Any
    ) -> tuple[np.ndarray, tfd.Normal]:
        """The content posterior of every group, its evidence accumulated.

        A group of which no value is known has the prior.

        Args:
            observations: `[N, *observation_shape]`, any number.
            group_ids: `[N]`, integers or strings, in any order.

        Returns:
            `(groups, content)`: the distinct ids `[G]` in order of first
            appearance, and the posterior, batch shape `[G, content_dim]`.

        Raises:
            ValueError: If the shapes or values do not fit the model.
        """
        group_ids = checks.as_group_ids(group_ids)
        proposed, _ = self.infer_observations(observations, group_ids)
        rows, content = self._accumulate(observations, proposed, group_ids)
        _, first = np.unique(rows, return_index=True)
        return group_ids[first], content

    def _accumulate(
        self, observations: Any, proposed: tfd.Normal, group_ids: np.ndarray
    ) -> tuple[tf.Tensor, tfd.Normal]:
        """The row of each observation's group, `[N]`, and the contents, `[G]`.

        Args:
            observations: Checked ones.
            proposed: What they propose.
            group_ids: `[N]`.
        """
        groups, rows = evidence.index_groups(tf.constant(group_ids))
        name = self.levels[0].name
        totals = self.codec.evidence(
            tf.constant(observations, self.variable_dtype),
            {name: proposed},
            {name: rows},
            len(groups),
        )
        return rows, self.codec.posteriors(totals)[name]

    def infer_style(
        self, observations: Any, group_ids: Any = None
    ) -> tfd.Normal:
        """The style posterior of every observation.

        Where styles are given contents, or a flow makes them, they are given
        the content mean of each observation alone, or of its group.

        Args:
            observations: `[N, *observation_shape]`, any number.
            group_ids: `[N]`, integers or strings, in any order.

        Returns:
            The posterior, batch shape `[N, style_dim]`.

        Raises:
            ValueError: If the shapes or values do not fit the model.
        """
        if group_ids is None:
            return self.infer_observations(observations)[1]
        group_ids = checks.as_group_ids(group_ids)
        proposed, _ = self.infer_observations(observations, group_ids)
        rows, content = self._accumulate(observations, proposed, group_ids)
        of_rows = tf.gather(content.loc, rows)
        return self._read_styles(self._given_style, observations, of_rows)

    def _read_styles(
        self,
        read: Callable[[tf.Tensor, tf.Tensor], list[tf.Tensor]],
        observations: Any,
        content: tf.Tensor,
    ) -> tfd.Normal:
        """Batch by batch, the styles of checked observations."""
        observations = tf.constant(observations, self.variable_dtype)
        parts = [
            read(
                observations[start : start + BATCH],
                content[start : start + BATCH],
            )
            for start in range(0, len(observations), BATCH)
        ]
        return tfd.Normal(*(tf.concat(part, 0) for part in zip(*parts)))

    def fit_style_flow(
        self,
        observations: Any,
        group_ids: Any,
        seed: int = 0,
        steps: int = STEPS,
    ) -> float:
        """Learn to take out of the style what the content tells, after `fit`.

        The networks stay as they are. Their styles given the contents of single
        observations are what the flow learns from, and given draws of contents
        that a few of a group's make together. It is told which groups' contents
        these are near.

        Args:
            observations: `[N, *observation_shape]` of those trained on, the
                more the better; some ten thousands are enough.
            group_ids: `[N]`, integers or strings, in any order.
            seed: Of its draws.
            steps: How many to take.

        Returns:
            What is left of -log p(style | content) at the end, nats.

        Raises:
            ValueError: If the model has no flow, or the shapes or values do not
                fit the model.
        """
        flow = self.codec.flow
        if not isinstance(flow, StyleFlow):
            raise InputError(
                "fit_style_flow needs a model with a flow: make it with "
                "style_flow=6."
            )
        group_ids = checks.as_group_ids(group_ids)
        alone, _ = self.infer_observations(observations, group_ids)
        generator = noise.generator(seed, noise.Stream.STYLE_FLOW)
        hands = _deal(group_ids, FEW, generator)
        rows, together = self._accumulate(observations, alone, hands)
        drawn = noise.sample(
            together.loc,
            together.scale,
            noise.of_step(seed, noise.Stream.STYLE_FLOW, LAST_STEP),
        )
        contents = alone.loc, tf.gather(drawn, rows)
        styles = [
            self._read_styles(self._learned_style, observations, content)
            for content in contents
        ]
        one, other = (Pairs(q.loc, c) for q, c in zip(styles, contents))
        scale = styles[0].scale[0]
        _, groups = self._accumulate(observations, alone, group_ids)
        return flow.fit(one, other, scale, groups.loc, seed, steps)

    def call(self, inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        """Reconstruct a batch as `fit` takes it."""
        observations, group_ids = feeding.unpack(inputs)
        checks.check_shapes(observations, self.observation_shape, group_ids)
        observations = guards.assert_values(observations, self.codec.likelihood)
        return control.reconstruct(self, observations, group_ids)

    def export(
        self,
        filepath: str | pathlib.Path,
        format: str = "tf_saved_model",
        **kwargs: Any,
    ) -> None:
        """Write a SavedModel with every signature (`mlvae_tf.serving`).

        Args:
            filepath: Its folder.
            format: `"tf_saved_model"` only.
            **kwargs: Other arguments of `keras.Model.export` are refused.
        """
        if format != "tf_saved_model" or kwargs.keys() - {"verbose"}:
            raise InputError(
                "export writes a SavedModel with its own signatures: pass a "
                f"folder only, got format={format!r}, {', '.join(kwargs)}."
            )
        serving.export(self, pathlib.Path(filepath))


def _deal(
    group_ids: np.ndarray, count: int, generator: np.random.Generator
) -> np.ndarray:
    """Cut every group into hands of up to `count`, at random.

    Returns:
        int64 `[N]`, the number of the hand of each.
    """
    _, groups = np.unique(group_ids, return_inverse=True)
    order = generator.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    starts = np.searchsorted(groups[order], groups[order])
    within = np.arange(len(order)) - starts
    hands = np.empty(len(groups), np.int64)
    hands[order] = starts + within // count  # A hand is smaller than it starts.
    return hands


def _check_latents(
    latents: dict[str, tf.Tensor], levels: tuple[Level, ...]
) -> None:
    """Raise `InputError` unless the static shapes can be decoded."""
    shapes = [latents[level.name].shape for level in levels]
    good = all(
        shape.rank == 2 and shape[-1] == level.dim
        for shape, level in zip(shapes, levels, strict=True)
    )
    if not good or not all(
        shape[:1].is_compatible_with(shapes[0][:1]) for shape in shapes
    ):
        expected = " and ".join(f"{v.name} [N, {v.dim}]" for v in levels)
        got = " and ".join(str(tuple(shape)) for shape in shapes)
        raise InputError(checks.fill(checks.LATENTS, expected, got))

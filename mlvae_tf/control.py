"""Controlling content and style: reconstruct, swap, interpolate, generate.

Each works on any observation shape and likelihood and returns the likelihood's
means; contents and styles are the means of their posteriors, or draws from the
prior. Everything can be used within a graph.
"""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

from mlvae_tf import checks, evidence, noise
from mlvae_tf.codec import Codec


class Model(Protocol):
    """What has networks, such as `mlvae_tf.MLVAE`."""

    @property
    def codec(self) -> Codec: ...


def _checked(
    codec: Codec, observations: tf.Tensor, group_ids: tf.Tensor | None = None
) -> tf.Tensor:
    return checks.as_observations(
        observations,
        codec.observation_shape,
        codec.likelihood,
        codec.dtype,
        group_ids,
    )


def _encoded(
    codec: Codec,
    observations: tf.Tensor,
    rows: tf.Tensor,
    num_groups: int | tf.Tensor,
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Means of the latents of groups, `[G, dim]`, and of styles, `[N, dim]`.

    Styles are those given the latents of their groups.

    Args:
        codec: What encodes.
        observations: Checked ones.
        rows: int32 `[N]`, the group of each.
        num_groups: How many there are.
    """
    latents, features = codec.propose(observations)
    ids = {level.name: rows for level in codec.levels}
    totals = codec.evidence(observations, latents, ids, num_groups)
    posteriors = codec.posteriors(totals)
    means = {name: posterior.loc for name, posterior in posteriors.items()}
    of_rows = {name: tf.gather(loc, rows) for name, loc in means.items()}
    return means, codec.given_style(features, of_rows).loc


def _content(codec: Codec, observations: tf.Tensor) -> dict[str, tf.Tensor]:
    """The content means of one group, `[1, dim]` by level."""
    observations = _checked(codec, observations)
    rows = tf.zeros(tf.shape(observations)[:1], tf.int32)
    return _encoded(codec, observations, rows, 1)[0]


def _style(codec: Codec, observations: tf.Tensor) -> tf.Tensor:
    """The style means of observations, `[N, style_dim]`."""
    return codec.encode(_checked(codec, observations))[codec.style.name].loc


def _means(
    codec: Codec, contents: dict[str, tf.Tensor], style: tf.Tensor
) -> tf.Tensor:
    """What the likelihood expects of `[N]` contents and styles."""
    parameters = codec.decode({**contents, codec.style.name: style})
    return codec.likelihood.distribution(parameters).mean()


def reconstruct(
    model: Model,
    observations: tf.Tensor,
    group_ids: tf.Tensor,
    accumulate: bool = True,
) -> tf.Tensor:
    """Each observation from its group's content and its own style.

    Args:
        model: The model.
        observations: `[N, *observation_shape]`.
        group_ids: `[N]`, integers or strings, in any order.
        accumulate: Whether the content accumulates the evidence of the whole
            group, or is that of the observation alone.

    Returns:
        Means, shaped like `observations`.
    """
    codec = model.codec
    observations = _checked(codec, observations, group_ids)
    groups, rows = evidence.index_groups(group_ids)
    if not accumulate:
        groups, rows = rows, tf.range(tf.size(rows))
    contents, style = _encoded(codec, observations, rows, tf.size(groups))
    of_rows = {name: tf.gather(loc, rows) for name, loc in contents.items()}
    return _means(codec, of_rows, style)


def swap(
    model: Model, content_observations: tf.Tensor, style_observations: tf.Tensor
) -> tf.Tensor:
    """One group's content in the style of other observations.

    Args:
        model: The model.
        content_observations: `[M, *observation_shape]`, all of one group.
        style_observations: `[N, *observation_shape]`, of any groups.

    Returns:
        Means, shaped like `style_observations`.
    """
    codec = model.codec
    contents = _content(codec, content_observations)
    style = _style(codec, style_observations)
    return _means(codec, _repeated(contents, tf.shape(style)[0]), style)


def interpolate(
    model: Model, first: tf.Tensor, second: tf.Tensor, steps: int = 8
) -> tf.Tensor:
    """A grid between two groups: styles down, contents across.

    Args:
        model: The model.
        first: `[M, *observation_shape]`, of one group. Its content is that of
            the first column, the style of its first observation that of the
            first row.
        second: The same for the last column and row.
        steps: Rows and columns, at least 2.

    Returns:
        Means `[steps, steps, *observation_shape]`, between which content and
        style each move along a straight line.
    """
    codec = model.codec
    starts, ends = _content(codec, first), _content(codec, second)
    styles = [_style(codec, part[:1]) for part in (first, second)]
    weights = tf.linspace(tf.zeros((), codec.dtype), 1, steps)[:, tf.newaxis]

    def between(start: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
        return (1 - weights) * start + weights * end

    across = {
        name: tf.tile(between(start, ends[name]), [steps, 1])
        for name, start in starts.items()
    }
    down = tf.repeat(between(*styles), steps, axis=0)
    means = _means(codec, across, down)
    return tf.reshape(means, (steps, steps, *codec.observation_shape))


def generate(
    model: Model,
    count: int,
    content_observations: tf.Tensor | None = None,
    seed: int = 0,
) -> tf.Tensor:
    """New observations with styles from the prior.

    Args:
        model: The model.
        count: How many.
        content_observations: `[M, *observation_shape]` of the group that the
            new observations belong to. By default, one content from the prior.
        seed: Seed of the draws.

    Returns:
        Means `[count, *observation_shape]`, all of one content.
    """
    codec = model.codec
    seeds = noise.split(
        noise.of_step(seed, noise.Stream.GENERATION, 0), 1 + len(codec.levels)
    )
    if content_observations is None:
        contents = {
            level.name: noise.normal(of_level, 1, level.dim, dtype=codec.dtype)
            for level, of_level in zip(codec.levels, seeds[1:], strict=True)
        }
    else:
        contents = _content(codec, content_observations)
    style = noise.normal(seeds[0], count, codec.style.dim, dtype=codec.dtype)
    return _means(codec, _repeated(contents, count), style)


def _repeated(
    contents: dict[str, tf.Tensor], count: int | tf.Tensor
) -> dict[str, tf.Tensor]:
    return {
        name: tf.repeat(loc, count, axis=0) for name, loc in contents.items()
    }

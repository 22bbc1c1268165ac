"""Controlling content and style: reconstruct, swap, interpolate, generate.

Each works on any observation shape and likelihood and returns the likelihood's
means; contents and styles are the means of their posteriors, or draws from the
prior. Everything can be used within a graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from mlvae_tf import checks, evidence

if TYPE_CHECKING:
    from mlvae_tf.model import MLVAE


def _checked(
    model: MLVAE, observations: tf.Tensor, group_ids: tf.Tensor | None = None
) -> tf.Tensor:
    return checks.as_observations(
        observations,
        model.observation_shape,
        model.likelihood,
        model.variable_dtype,
        group_ids,
    )


def group_content(model: MLVAE, observations: tf.Tensor) -> tf.Tensor:
    """The content mean of one group, `[1, content_dim]`.

    Args:
        model: The model.
        observations: `[N, *observation_shape]`, all of one group.
    """
    proposed, _ = model.encode(_checked(model, observations))
    rows = tf.zeros_like(proposed.loc[:, 0], tf.int32)
    return model.accumulation(
        proposed.loc, proposed.scale, rows, num_groups=1
    ).loc


def reconstruct(
    model: MLVAE,
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
    observations = _checked(model, observations, group_ids)
    proposed, style = model.encode(observations)
    groups, rows = evidence.index_groups(group_ids)
    if not accumulate:
        groups, rows = rows, tf.range(tf.size(rows))
    content = model.accumulation(
        proposed.loc, proposed.scale, rows, num_groups=tf.size(groups)
    )
    return model.decode(tf.gather(content.loc, rows), style.loc).mean()


def swap(
    model: MLVAE, content_observations: tf.Tensor, style_observations: tf.Tensor
) -> tf.Tensor:
    """One group's content in the style of other observations.

    Args:
        model: The model.
        content_observations: `[M, *observation_shape]`, all of one group.
        style_observations: `[N, *observation_shape]`, of any groups.

    Returns:
        Means, shaped like `style_observations`.
    """
    content = group_content(model, content_observations)
    _, style = model.encode(_checked(model, style_observations))
    contents = tf.repeat(content, tf.shape(style.loc)[0], axis=0)
    return model.decode(contents, style.loc).mean()


def interpolate(
    model: MLVAE, first: tf.Tensor, second: tf.Tensor, steps: int = 8
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
    contents = group_content(model, first), group_content(model, second)
    styles = [
        model.encode(_checked(model, part[:1]))[1].loc
        for part in (first, second)
    ]
    weights = tf.linspace(tf.zeros((), contents[0].dtype), 1, steps)
    content, style = (
        (1 - weights[:, tf.newaxis]) * start + weights[:, tf.newaxis] * end
        for start, end in (contents, styles)
    )
    means = model.decode(
        tf.tile(content, [steps, 1]), tf.repeat(style, steps, axis=0)
    ).mean()
    return tf.reshape(means, (steps, steps, *model.observation_shape))


def generate(
    model: MLVAE,
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
    seeds = tf.unstack(tf.random.split([seed, 0], 2))
    dtype = model.variable_dtype
    if content_observations is None:
        content = tf.random.stateless_normal(
            (1, model.content_dim), seeds[0], dtype=dtype
        )
    else:
        content = group_content(model, content_observations)
    style = tf.random.stateless_normal(
        (count, model.style_dim), seeds[1], dtype=dtype
    )
    return model.decode(tf.repeat(content, count, axis=0), style).mean()

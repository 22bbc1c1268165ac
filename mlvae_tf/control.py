"""Controlling content and style: reconstruct, swap, interpolate, generate.

Each works on any observation shape and likelihood and returns the likelihood's
means; contents and styles are the means of their posteriors, or draws from the
prior. Everything can be used within a graph.
"""

from __future__ import annotations

from typing import Any, Protocol

import tensorflow as tf

from mlvae_tf import batches, checks, noise
from mlvae_tf.batches import SegmentIds
from mlvae_tf.codec import Codec
from mlvae_tf.errors import InputError


class HasCodec(Protocol):
    """What has networks, such as `mlvae_tf.MLVAE`."""

    @property
    def codec(self) -> Codec: ...


def _checked(
    codec: Codec, observations: tf.Tensor, group_ids: Any = None
) -> tf.Tensor:
    return checks.as_observations(
        observations,
        codec.observation_shape,
        codec.likelihood,
        codec.dtype,
        group_ids,
    )


def _encoded(
    codec: Codec, observations: tf.Tensor, segment_ids: SegmentIds
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Means of every observation's latents: those of its groups, and its style.

    Styles are those given the latents of their groups.

    Args:
        codec: What encodes.
        observations: Checked ones.
        segment_ids: By level, int32 `[N]`, the group of each.

    Returns:
        By level `[N, dim]`, and `[N, style_dim]`.
    """
    latents, features = codec.propose(observations)
    count = batches.most_groups(segment_ids)
    totals = codec.evidence(observations, latents, segment_ids, count)
    posteriors = codec.groups(totals, segment_ids).posteriors
    of_rows = {
        level.name: tf.gather(
            posteriors[level.name].loc, segment_ids[level.name]
        )
        for level in codec.drawn
    }
    return of_rows, codec.given_style(features, of_rows).loc


def _content(codec: Codec, observations: tf.Tensor) -> dict[str, tf.Tensor]:
    """The content means of one group on every level, `[1, dim]` by level."""
    observations = _checked(codec, observations)
    zeros = tf.zeros(tf.shape(observations)[:1], tf.int32)
    one = {level.name: zeros for level in codec.levels}
    of_rows, _ = _encoded(codec, observations, one)
    return {name: loc[:1] for name, loc in of_rows.items()}


def _from_prior(codec: Codec, seed: int) -> dict[str, tf.Tensor]:
    """A draw for every level, `[1, dim]`; of an inner one, around its outer."""
    seeds = noise.split(
        noise.of_step(seed, noise.Stream.GENERATION, 0), 1 + len(codec.levels)
    )
    drawn: dict[str, tf.Tensor] = {}
    for level, of_level in zip(codec.outer_first, seeds[1:], strict=True):
        sample = noise.normal(of_level, 1, level.dim, dtype=codec.dtype)
        if level.parent:
            spread = codec.spreads[level.name].precision
            sample = drawn[level.parent] + sample * tf.math.rsqrt(
                tf.cast(spread, codec.dtype)
            )
        drawn[level.name] = sample
    return {level.name: drawn[level.name] for level in codec.drawn}


def _contents(
    codec: Codec, sources: Any, seed: int = 0
) -> dict[str, tf.Tensor]:
    """The contents of one group of every level, `[1, dim]` by level.

    Args:
        codec: What encodes.
        sources: Observations of one group on every level; or by level, of one
            group of that level. What is None or not there is drawn.
        seed: Seed of the draws.
    """
    names = [level.name for level in codec.drawn]
    if sources is not None and not isinstance(sources, dict):
        return _content(codec, sources)
    sources = sources or {}
    unknown = sources.keys() - set(names)
    if unknown:
        raise InputError(
            f"expected observations by level, of {', '.join(names)}: got "
            f"{', '.join(map(repr, sorted(unknown)))}."
        )
    given = {n: _content(codec, s)[n] for n, s in sources.items()}
    return (
        given if len(given) == len(names) else _from_prior(codec, seed) | given
    )


def combine(
    model: HasCodec, contents: Any, style_observations: tf.Tensor, seed: int = 0
) -> tf.Tensor:
    """Contents of any groups in the styles of other observations.

    Args:
        model: The model.
        contents: By level, observations `[M, *observation_shape]` all of one
            group of that level, from which its content is read. A level that
            is left out has a draw from its prior. Observations alone are of
            one group on every level.
        style_observations: `[N, *observation_shape]`, of any groups.
        seed: Seed of the draws.

    Returns:
        Means, shaped like `style_observations`.

    Example:

    >>> combine(model, {"character": images_of_a, "font": in_one_font}, images)
    """
    codec = model.codec
    found = _contents(codec, contents, seed)
    style = _style(codec, style_observations)
    return _means(codec, _repeated(found, tf.shape(style)[0]), style)


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
    model: HasCodec,
    observations: tf.Tensor,
    group_ids: tf.Tensor,
    accumulate: bool = True,
) -> tf.Tensor:
    """Each observation from its group's content and its own style.

    Args:
        model: The model.
        observations: `[N, *observation_shape]`.
        group_ids: `[N]`, integers or strings, in any order; with several
            levels a dict of these.
        accumulate: Whether the content accumulates the evidence of the whole
            group, or is that of the observation alone.

    Returns:
        Means, shaped like `observations`.
    """
    codec = model.codec
    names = tuple(level.name for level in codec.levels)
    ids = checks.by_level(group_ids, names)
    observations = _checked(codec, observations, ids)
    tensors = {name: tf.convert_to_tensor(of) for name, of in ids.items()}
    segment_ids = batches.number(tensors, codec.parents)
    if not accumulate:
        alone = tf.range(tf.shape(observations)[0])
        segment_ids = {name: alone for name in segment_ids}
    return _means(codec, *_encoded(codec, observations, segment_ids))


def swap(
    model: HasCodec, content_observations: Any, style_observations: tf.Tensor
) -> tf.Tensor:
    """One group's content in the style of other observations: `combine`.

    Args:
        model: The model.
        content_observations: `[M, *observation_shape]`, all of one group, or
            by level as for `combine`.
        style_observations: `[N, *observation_shape]`, of any groups.

    Returns:
        Means, shaped like `style_observations`.
    """
    return combine(model, content_observations, style_observations)


def interpolate(
    model: HasCodec, first: tf.Tensor, second: tf.Tensor, steps: int = 8
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
    model: HasCodec,
    count: int,
    content_observations: Any = None,
    seed: int = 0,
) -> tf.Tensor:
    """New observations with styles from the prior.

    Args:
        model: The model.
        count: How many.
        content_observations: `[M, *observation_shape]` of the group that the
            new observations belong to, or by level as for `combine`. By
            default, contents from the prior.
        seed: Seed of the draws.

    Returns:
        Means `[count, *observation_shape]`, all of one content.
    """
    codec = model.codec
    contents = _contents(codec, content_observations, seed)
    of_styles, *_ = noise.split(
        noise.of_step(seed, noise.Stream.GENERATION, 0), 1 + len(codec.levels)
    )
    style = noise.normal(of_styles, count, codec.style.dim, dtype=codec.dtype)
    return _means(codec, _repeated(contents, count), style)


def _repeated(
    contents: dict[str, tf.Tensor], count: int | tf.Tensor
) -> dict[str, tf.Tensor]:
    return {
        name: tf.repeat(loc, count, axis=0) for name, loc in contents.items()
    }

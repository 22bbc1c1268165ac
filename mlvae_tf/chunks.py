"""A step on groups larger than memory, with the exact gradient.

A batch may come as chunks of observations. Its loss is not a sum over them,
since every observation is decoded with the content of its whole group. But
evidence adds up, and all that ties the chunks together is the evidence
E = sum_i E_i of each group:

    pass one    encodes: E, chunk by chunk;
    pass two    encodes and decodes with E held fixed, and adds up the loss,
                its gradient for the weights, and that for E;
    pass three  encodes, and pulls the gradient for E back through each chunk's
                E_i to the weights.

By the chain rule the two gradients add up to that of the whole batch. Memory is
that of one chunk. A flow of the style adds a pass for its moments. Every pass
draws the same noise (`mlvae_tf.noise`), which is also that of the batch in one
piece: the size of the chunks changes nothing but rounding.

The paper subsamples a large group instead, which biases its objective
(Bouchacourt et al. 2018, section 3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from mlvae_tf import checks, evidence, objective
from mlvae_tf.evidence import Evidence

if TYPE_CHECKING:
    from mlvae_tf.model import MLVAE

tfd = tfp.distributions


class Chunk(NamedTuple):
    """Some of a batch's observations.

    Attributes:
        observations: `[n, *observation_shape]`.
        segment_ids: int32 `[n]`, the group of each; negative for padding.
        start: Where in the batch the first of them stands.
    """

    observations: tf.Tensor
    segment_ids: tf.Tensor
    start: int | tf.Tensor = 0


class Batch(NamedTuple):
    """A whole batch in chunks.

    Attributes:
        chunks: Dataset of observations `[n, *observation_shape]`.
        segment_ids: int32 `[N]`, the group of each observation.
    """

    chunks: tf.data.Dataset
    segment_ids: tf.Tensor

    @property
    def num_groups(self) -> tf.Tensor:
        return tf.reduce_max(self.segment_ids) + 1


def padded(size: tf.Tensor) -> tf.Tensor:
    """The size to pad to, so that XLA compiles only a few programs.

    Sizes are multiples of an eighth of the power of two below: at most an
    eighth is wasted, and eight programs serve all sizes up to twice as large.
    """
    exponent = tf.math.log(tf.cast(size, "float32")) / tf.math.log(2.0)
    unit = 2 ** tf.maximum(tf.cast(exponent + 1e-4, "int32") - 3, 0)
    return size + -size % unit


def pad(chunk: Chunk) -> Chunk:
    """A chunk with padding rows, whose segment ids are negative."""
    size = tf.shape(chunk.segment_ids)[0]
    extra = padded(size) - size
    axes = len(chunk.observations.shape) - 1
    return Chunk(
        tf.pad(chunk.observations, [[0, extra]] + [[0, 0]] * axes),
        tf.pad(chunk.segment_ids, [[0, extra]], constant_values=-1),
        chunk.start,
    )


def mean_terms(model: MLVAE, batch: Batch, seed: tf.Tensor) -> objective.Terms:
    """The terms of the averaged ELBO as `model.test_step` reports them.

    Args:
        model: The model.
        batch: The batch.
        seed: int32 `[2]`.

    Returns:
        Scalar `Terms`, nats a group.
    """
    total = _total(model, batch, training=False)
    content = model.posterior(total, batch.num_groups)

    def add_terms(
        sums: tuple[tf.Tensor, tf.Tensor], chunk: Chunk
    ) -> tuple[tf.Tensor, tf.Tensor]:
        _, style = model.propose(chunk.observations, training=False)
        terms = model.observation_terms(
            chunk, content, style, seed, training=False
        )
        return _add(sums, _sums(terms, chunk))

    zero = tf.zeros((), content.dtype)
    reconstruction, style_kl = _fold(model, add_terms, (zero, zero), batch)
    return _mean(reconstruction, _content_kl(content), style_kl, batch)


def loss_and_gradients(
    model: MLVAE, batch: Batch, seed: tf.Tensor
) -> tuple[tf.Tensor, objective.Terms, list[tf.Tensor]]:
    """What a training step minimises, and its exact gradient.

    Args:
        model: The model.
        batch: The batch.
        seed: int32 `[2]`.

    Returns:
        `(loss, terms, gradients)`: the loss, scalar `Terms`, nats a group, and
        the gradient of every trainable variable.
    """
    variables = model.trainable_variables
    num_groups = batch.num_groups
    content_weight, style_weight = model.kl_weights()
    heard = batch._replace(segment_ids=model.heard(batch.segment_ids, seed))
    total = _total(model, heard, training=True)
    flow_loss = _flow_loss(model, batch, seed)

    with tf.GradientTape() as tape:
        tape.watch(total)
        content_kl = _content_kl(model.posterior(total, num_groups))
        loss = content_weight * content_kl / _as(num_groups, content_kl)
    of_total = tape.gradient(loss, total)

    def add_gradients(sums: Any, chunk: Chunk) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(total)
            proposed, style = model.propose(chunk.observations, training=True)
            terms = model.observation_terms(
                chunk,
                model.posterior(total, num_groups),
                style,
                seed,
                training=True,
            )
            reconstruction, style_kl = _sums(terms, chunk)
            extra = flow_loss(chunk, proposed, style)
            loss = style_weight * style_kl - reconstruction
            loss = loss / _as(num_groups, loss) + extra
        parts = reconstruction, style_kl, extra
        leaves = *variables, *total
        return _add(sums, (*parts, *_gradient(tape, loss, leaves)))

    zeros = (tf.zeros((), total[0].dtype),) * 3
    zeros += *(tf.zeros(v.shape, v.dtype) for v in variables), *of_total
    sums = _fold(model, add_gradients, zeros, batch)
    (reconstruction, style_kl, extra), sums = sums[:3], sums[3:]
    gradients, of_total = sums[: len(variables)], sums[len(variables) :]

    gradients = _pull_back(model, heard, total, of_total, gradients)
    terms = _mean(reconstruction, content_kl, style_kl, batch)
    loss = objective.loss(terms, content_weight, style_weight) + extra
    return loss, terms, list(gradients)


def _fold(
    model: MLVAE, function: Callable[..., Any], state: Any, batch: Batch
) -> Any:
    """`state = function(state, chunk)` for every chunk, compiled by XLA."""
    compiled = tf.function(function, jit_compile=model.compiles_step)

    def fold_in(state: Any, observations: tf.Tensor) -> Any:
        start, state = state
        stop = start + tf.shape(observations)[0]
        segment_ids = batch.segment_ids[start:stop]
        observations = checks.assert_chunk(observations, segment_ids)
        chunk = pad(Chunk(observations, segment_ids, start))
        return stop, compiled(state, chunk)

    stop, state = batch.chunks.reduce((0, state), fold_in)
    checks.assert_whole(stop, batch.segment_ids)
    return state


def _total(model: MLVAE, batch: Batch, training: bool) -> Evidence:
    """Pass one: the evidence of every group, and rows of zeros beyond."""

    def add_evidence(total: Evidence, chunk: Chunk) -> Evidence:
        proposed, _ = model.propose(chunk.observations, training)
        return evidence.add(total, _evidence(proposed, chunk, total))

    rows = padded(batch.num_groups)
    zero = evidence.zero((rows, model.content_dim), model.variable_dtype)
    return _fold(model, add_evidence, zero, batch)


def _pull_back(
    model: MLVAE,
    heard: Batch,
    total: Evidence,
    of_total: tuple[tf.Tensor, ...],
    gradients: tuple[tf.Tensor, ...],
) -> tuple[tf.Tensor, ...]:
    """Pass three: add what the weights have to do with the evidence."""
    variables = model.trainable_variables

    def add_gradients(
        gradients: tuple[tf.Tensor, ...], chunk: Chunk
    ) -> tuple[tf.Tensor, ...]:
        with tf.GradientTape() as tape:
            proposed, _ = model.propose(chunk.observations, training=True)
            parts = _evidence(proposed, chunk, total)
        return _add(gradients, _gradient(tape, parts, variables, of_total))

    return _fold(model, add_gradients, gradients, heard)


def _evidence(proposed: tfd.Normal, chunk: Chunk, total: Evidence) -> Evidence:
    return evidence.accumulate(
        evidence.from_normal(proposed.loc, proposed.scale),
        chunk.segment_ids,
        tf.shape(total.precision)[0],
    )


def _flow_loss(
    model: MLVAE, batch: Batch, seed: tf.Tensor
) -> Callable[..., tf.Tensor]:
    """The loss of the style's flow as a function of a chunk."""
    if not model.flow:
        return lambda chunk, proposed, style: tf.zeros((), style.dtype)
    total = _total(model, batch, training=True)

    def add_moments(
        moments: tuple[tf.Tensor, tf.Tensor], chunk: Chunk
    ) -> tuple[tf.Tensor, tf.Tensor]:
        proposed, style = model.propose(chunk.observations, training=True)
        return _add(moments, model.flow_moments(chunk, proposed, style, total))

    dtype = model.variable_dtype
    zeros = tf.zeros((), dtype), tf.zeros(model.style_dim, dtype)
    moments = _fold(model, add_moments, zeros, batch)
    return lambda chunk, proposed, style: model.flow_loss(
        chunk, proposed, style, total, moments, seed
    )


def _add(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a + b for a, b in zip(left, right))


def _gradient(
    tape: tf.GradientTape, target: Any, sources: Any, weights: Any = None
) -> list[tf.Tensor]:
    """As `tape.gradient`, but zero where the target does not depend on it."""
    gradients = tape.gradient(target, list(sources), weights)
    return [
        tf.zeros(source.shape, source.dtype) if gradient is None else gradient
        for source, gradient in zip(sources, gradients)
    ]


def _as(number: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.cast(number, like.dtype)


def _sums(
    terms: tuple[tf.Tensor, tf.Tensor], chunk: Chunk
) -> tuple[tf.Tensor, ...]:
    """Sums over a chunk's observations, padding left out."""
    real = chunk.segment_ids >= 0
    return tuple(tf.reduce_sum(tf.where(real, term, 0)) for term in terms)


def _content_kl(content: tfd.Normal) -> tf.Tensor:
    return tf.reduce_sum(
        objective.standard_normal_kl(content.loc, content.scale)
    )


def _mean(
    reconstruction: tf.Tensor,
    content_kl: tf.Tensor,
    style_kl: tf.Tensor,
    batch: Batch,
) -> objective.Terms:
    num_groups = _as(batch.num_groups, content_kl)
    sums = reconstruction, content_kl, style_kl
    return objective.Terms(*(term / num_groups for term in sums))

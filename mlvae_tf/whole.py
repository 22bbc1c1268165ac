"""A batch in one piece: its loss and gradients by one pass of the tape."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from mlvae_tf import objective
from mlvae_tf.batches import Part, first, num_groups
from mlvae_tf.codec import Proposals
from mlvae_tf.elbo import Elbo
from mlvae_tf.latents import Totals
from mlvae_tf.objective import Terms
from mlvae_tf.steps import Step


class Rows(NamedTuple):
    """The ELBO of a batch, before anything is summed.

    Attributes:
        log_likelihood: Of every observation, `[N]`, nats; of padding, too.
        style_kl: Likewise.
        kl: By level, of every group, nats; as many rows as there are
            observations, since XLA wants a static number, and zeros beyond.
        contrast: What training minimises beside the ELBO, `[N]`.
        crossed: Likewise, a scalar, of the whole batch.
    """

    log_likelihood: tf.Tensor
    style_kl: tf.Tensor
    kl: dict[str, tf.Tensor]
    contrast: tf.Tensor
    crossed: tf.Tensor


def rows(elbo: Elbo, part: Part, seed: tf.Tensor, training: bool) -> Rows:
    """A one-sample estimate of the ELBO, row by row.

    XLA traces it without Autograph: no Python `if` on a tensor's value.

    Args:
        elbo: The ELBO.
        part: All rows of a batch.
        seed: int32 `[2]`; equal seeds give equal estimates.
        training: Whether this is a training step.
    """
    return terms(elbo, *evidence(elbo, part, seed, training), seed, training)


def evidence(
    elbo: Elbo, part: Part, seed: tf.Tensor, training: bool
) -> tuple[Part, Proposals, Totals]:
    """The first sum, over a part's rows, of what they say of all groups.

    Args:
        elbo: The ELBO.
        part: All rows of a batch, or a worker's.
        seed: int32 `[2]`.
        training: Whether this is a training step.

    Returns:
        The part, with whose evidence is heard; what its rows propose; and the
        sums, with a row for every observation of the batch.
    """
    proposals = elbo.propose(part, seed, training)
    if training:
        part = part._replace(heard=part.own(elbo.heard(part.all_ids, seed)))
    num_rows = tf.shape(first(part.all_ids))[0]
    # What is trained in one piece has too few rows for its sums to drift.
    dtype = elbo.codec.dtype if training else "float64"
    totals = elbo.sums(part, proposals, num_rows, training, dtype)
    return part, proposals, totals


def terms(
    elbo: Elbo,
    part: Part,
    proposals: Proposals,
    totals: Totals,
    seed: tf.Tensor,
    training: bool,
) -> Rows:
    """What the second sum is of, for a part's rows, and the KLs of all groups.

    Args:
        elbo: The ELBO.
        part: From `evidence`.
        proposals: From `evidence`.
        totals: From `evidence`, over the whole batch.
        seed: int32 `[2]`.
        training: Whether this is a training step.
    """
    groups = elbo.codec.groups(totals, part.all_ids)
    log_likelihood, style_kl = elbo.observation_terms(
        part, groups, proposals, seed, training
    )
    contrast, crossed = tf.zeros_like(style_kl), tf.zeros((), style_kl.dtype)
    if training:
        contrast = elbo.contrasts(part, proposals, totals)
        crossed = elbo.crossed(totals, part.all_ids)
    kl = elbo.codec.kl(groups)
    return Rows(log_likelihood, style_kl, kl, contrast, crossed)


def _mean(elbo: Elbo, part: Part, of_rows: Rows) -> Terms:
    kl = {name: tf.reduce_sum(of_rows.kl[name]) for name in of_rows.kl}
    kl[elbo.codec.style.name] = part.sum(of_rows.style_kl)
    sums = Terms(part.sum(of_rows.log_likelihood), kl)
    return objective.mean(sums, num_groups(part.segment_ids))


def mean_terms(elbo: Elbo, part: Part, seed: tf.Tensor) -> Terms:
    """The terms of the averaged ELBO, scalars, nats per group.

    Args:
        elbo: The ELBO.
        part: All rows of a batch.
        seed: int32 `[2]`.
    """
    return _mean(elbo, part, rows(elbo, part, seed, training=False))


def group_terms(elbo: Elbo, part: Part, seed: tf.Tensor) -> Terms:
    """The terms of every group's ELBO, of the first level's groups.

    Args:
        elbo: The ELBO.
        part: All rows of a batch.
        seed: int32 `[2]`.

    Returns:
        `Terms` of shape `[N]`, nats: one row per group, and zeros beyond.
    """
    of_rows = rows(elbo, part, seed, training=False)
    (name, kl), *_ = of_rows.kl.items()
    return objective.group_terms(
        of_rows.log_likelihood,
        of_rows.style_kl,
        kl,
        part.first_ids,
        (name, elbo.codec.style.name),
    )


def loss(elbo: Elbo, part: Part, step: Step) -> tuple[tf.Tensor, Terms]:
    """What a training step minimises, penalties aside.

    Args:
        elbo: The ELBO.
        part: All rows of a batch.
        step: The step.

    Returns:
        `(loss, terms)`: a scalar, contrasts included, and scalar `Terms`, nats
        per group.
    """
    of_rows = rows(elbo, part, step.seed, training=True)
    terms = _mean(elbo, part, of_rows)
    value = objective.loss(terms, step.kl_weights)
    count = tf.cast(num_groups(part.segment_ids), value.dtype)
    contrast = tf.reduce_sum(of_rows.contrast) + of_rows.crossed
    return value + contrast / count, terms


def loss_and_gradients(
    elbo: Elbo, part: Part, step: Step
) -> tuple[tf.Tensor, Terms, list[tf.Tensor]]:
    """What a training step minimises, and its gradient.

    Args:
        elbo: The ELBO.
        part: All rows of a batch.
        step: The step.

    Returns:
        `(loss, terms, gradients)`, the gradients being of the scaled loss.
    """
    with tf.GradientTape() as tape:
        value, terms = loss(elbo, part, step)
        value = value + step.weight_penalty() + step.output_penalty()
        scaled = step.scale_loss(value)
    return value, terms, tape.gradient(scaled, step.variables)

"""A batch whose rows lie with several workers, with the exact gradient.

As in chunks (`mlvae_tf.chunked`), all that ties the shares of the rows
together is the evidence of the groups. Here it is summed over the workers on
the way, and its gradient on the way back:

    each worker   encodes its rows, and adds up their evidence;
    all           sum the evidence;
    each worker   decodes its rows, and differentiates what they cost; the KLs
                  of the groups are the first worker's;
    all           sum the gradient for the evidence;
    each worker   pulls it back to the weights;
    all           sum the gradients and terms.

Every row's noise is that of the whole batch, and so is that of the groups,
which each worker draws alike: the number of workers changes nothing but
rounding.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from mlvae_tf import objective, whole
from mlvae_tf.batches import Part, num_groups, num_rows
from mlvae_tf.elbo import Elbo
from mlvae_tf.objective import Terms
from mlvae_tf.replicas import Replicas, Sum
from mlvae_tf.steps import Step


@dataclasses.dataclass(frozen=True)
class Replicated:
    """The ELBO of batches whose rows lie with several workers.

    Attributes:
        elbo: The ELBO.
        replicas: The workers.
        compiled: Whether XLA compiles what a worker computes by itself.
    """

    elbo: Elbo
    replicas: Replicas
    compiled: bool = True

    def mean_terms(self, part: Part, seed: tf.Tensor) -> Terms:
        """The terms of the averaged ELBO, scalars, nats per group.

        Args:
            part: This worker's rows of a batch.
            seed: int32 `[2]`, the same with all workers.
        """
        sums, _ = self._sums(part, seed, training=False)
        total = self.replicas.sum(Sum.TERMS, sums)
        return objective.mean(total, num_groups(part.all_ids))

    def loss_and_gradients(
        self, part: Part, step: Step
    ) -> tuple[tf.Tensor, Terms, list[tf.Tensor]]:
        """What a training step minimises, and its exact gradient.

        Args:
            part: This worker's rows of a batch.
            step: The step, the same with all workers.

        Returns:
            `(loss, terms, gradients)`, alike with all workers; the gradients
            being of the scaled loss.
        """
        before = [tf.identity(state) for state in step.states]
        groups = num_groups(part.all_ids)
        with tf.GradientTape() as tape:
            sums, contrast = self._sums(part, step.seed, training=True)
            cost = objective.loss(sums, step.kl_weights) + contrast
            cost = cost / tf.cast(groups, cost.dtype)
            cost += self._penalties(part, step, cost)
            scaled = step.scale_loss(cost)
        own = tape.gradient(scaled, step.variables)
        there = [gradient for gradient in own if gradient is not None]
        there = [tf.convert_to_tensor(gradient) for gradient in there]
        cost, sums, there = self.replicas.sum(
            Sum.GRADIENTS, (cost, sums, there)
        )
        rest = iter(there)
        gradients = [None if g is None else next(rest) for g in own]
        self.replicas.agree(step.states, before)
        return cost, objective.mean(sums, groups), gradients

    def _sums(
        self, part: Part, seed: tf.Tensor, training: bool
    ) -> tuple[Terms, tf.Tensor]:
        """This worker's share of the terms, and of the contrasts."""

        def evidence(part: Part, seed: tf.Tensor) -> Any:
            part = _fixed(part)
            return whole.evidence(self.elbo, part, seed, training)

        def terms(part: Part, proposals: Any, totals: Any, seed: Any) -> Any:
            part = _fixed(part)
            return whole.terms(
                self.elbo, part, proposals, totals, seed, training
            )

        part, proposals, totals = self._compiled(evidence)(part, seed)
        totals = self.replicas.sum(Sum.EVIDENCE, totals)
        rows = self._compiled(terms)(part, proposals, totals, seed)
        once = self.replicas.once
        kl = {name: once(tf.reduce_sum(of)) for name, of in rows.kl.items()}
        kl[self.elbo.codec.style.name] = part.sum(rows.style_kl)
        sums = Terms(part.sum(rows.log_likelihood), kl)
        return sums, tf.reduce_sum(rows.contrast)

    def _compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if not self.compiled:
            return function
        return tf.function(function, autograph=False, jit_compile=True)

    def _penalties(self, part: Part, step: Step, like: tf.Tensor) -> tf.Tensor:
        """This worker's share of what is added to the loss."""
        own, of_all = num_rows(part.segment_ids), num_rows(part.all_ids)
        share = tf.cast(own / of_all, like.dtype)
        weights = tf.cast(step.weight_penalty(), like.dtype)
        outputs = tf.cast(step.output_penalty(), like.dtype)
        return self.replicas.once(weights) + share * outputs


def _fixed(part: Part) -> Part:
    """The part, for whose observations no gradient is computed.

    A program's gradient is for all that it is given, and that for the
    observations takes a matrix product as large as any.
    """
    return part._replace(observations=tf.stop_gradient(part.observations))

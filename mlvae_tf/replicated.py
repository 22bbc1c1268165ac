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
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf

from mlvae_tf import objective, whole
from mlvae_tf.batches import Part, SegmentIds, num_groups, num_rows
from mlvae_tf.codec import Proposals
from mlvae_tf.elbo import Elbo
from mlvae_tf.latents import Totals
from mlvae_tf.objective import Terms
from mlvae_tf.replicas import Replicas, Sum
from mlvae_tf.steps import Step

# None where nothing depends on the weight.
Gradient: TypeAlias = tf.Tensor | None


class Encoded(NamedTuple):
    """What a worker's rows say.

    Attributes:
        heard: Of whom evidence is taken in, as in `Part`.
        proposals: Of each row's latents.
        totals: By level, of every group of the batch.
    """

    heard: SegmentIds | None
    proposals: Proposals
    totals: Totals


class Cost(NamedTuple):
    """What a worker's rows cost, with its gradient, what is encoded held fixed.

    Attributes:
        loss: Its share of the loss.
        sums: Its share of the terms.
        of_weights: The gradient for the weights.
        of_proposals: That for each of the proposals' tensors.
        of_totals: That for each of the totals'.
    """

    loss: tf.Tensor
    sums: Terms
    of_weights: list[Gradient]
    of_proposals: list[tf.Tensor]
    of_totals: list[tf.Tensor]


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

        def terms(part: Part, encoded: Encoded) -> Terms:
            return self._sums(part, encoded, seed, training=False)[0]

        encoded = self._encode(part, seed, training=False)
        sums = self._compiled(terms)(part, self._of_all(encoded))
        total = self.replicas.sum(Sum.TERMS, sums)
        return objective.mean(total, num_groups(part.all_ids))

    def loss_and_gradients(
        self, part: Part, step: Step
    ) -> tuple[tf.Tensor, Terms, list[Gradient]]:
        """What a training step minimises, and its exact gradient.

        Args:
            part: This worker's rows of a batch.
            step: The step, the same with all workers.

        Returns:
            `(loss, terms, gradients)`, alike with all workers; the gradients
            being of the scaled loss.
        """
        before = [tf.identity(state) for state in step.states]
        with tf.GradientTape() as tape:
            encoded = self._encode(part, step.seed, training=True)
            with tape.stop_recording():
                cost = self._cost(part, self._of_all(encoded), step)
            # What encoders add to the loss; `cost` has what decoders do.
            penalty = step.scale_loss(self._output_penalty(part, step))
        of_totals = self.replicas.sum(Sum.OF_EVIDENCE, cost.of_totals)
        through = tape.gradient(
            [*_floats(encoded.proposals), *_floats(encoded.totals), penalty],
            step.variables,
            [*cost.of_proposals, *of_totals, tf.ones_like(penalty)],
        )
        own = list(map(_sum, cost.of_weights, through))
        there = [gradient for gradient in own if gradient is not None]
        loss, sums, there = self.replicas.sum(
            Sum.GRADIENTS, (cost.loss, cost.sums, there)
        )
        rest = iter(there)
        gradients = [None if of is None else next(rest) for of in own]
        self.replicas.agree(step.states, before)
        return loss, objective.mean(sums, num_groups(part.all_ids)), gradients

    def _encode(self, part: Part, seed: tf.Tensor, training: bool) -> Encoded:
        """What this worker's rows say, of their own latents and all groups."""

        def encode(part: Part) -> Encoded:
            # A program's gradient is for all that it is given, and that for
            # the observations takes a matrix product as large as any.
            fixed = tf.stop_gradient(part.observations)
            part = part._replace(observations=fixed)
            told = whole.evidence(self.elbo, part, seed, training)
            part, proposals, totals = told
            return Encoded(part.heard, proposals, totals)

        return self._compiled(encode)(part)

    def _of_all(self, encoded: Encoded) -> Encoded:
        """The same with what the rows of all workers say of the groups."""
        totals = self.replicas.sum(Sum.EVIDENCE, encoded.totals)
        return encoded._replace(totals=totals)

    def _cost(self, part: Part, encoded: Encoded, step: Step) -> Cost:
        """What this worker's rows cost, and its gradient.

        One program computes both: from one to the next, all that a gradient
        needs would have to be written out.
        """

        def compute(part: Part, encoded: Encoded) -> Cost:
            proposals = _floats(encoded.proposals)
            totals = _floats(encoded.totals)
            with tf.GradientTape() as tape:
                tape.watch([*proposals, *totals])
                sums, contrast = self._sums(part, encoded, step.seed, True)
                loss = objective.loss(sums, step.kl_weights) + contrast
                loss = loss / _as(num_groups(part.all_ids), loss)
                loss += self.replicas.once(_as(step.weight_penalty(), loss))
                loss += self._output_penalty(part, step)
                scaled = step.scale_loss(loss)
            sources = step.variables, proposals, totals
            of_weights, *of_encoded = tape.gradient(scaled, sources)
            of_encoded = [
                [_or_zeros(*pair) for pair in zip(of, values, strict=True)]
                for of, values in zip(of_encoded, sources[1:], strict=True)
            ]
            return Cost(loss, sums, of_weights, *of_encoded)

        return self._compiled(compute)(part, encoded)

    def _sums(
        self, part: Part, encoded: Encoded, seed: tf.Tensor, training: bool
    ) -> tuple[Terms, tf.Tensor]:
        """This worker's share of the terms, and of the contrasts."""
        part = part._replace(heard=encoded.heard)
        proposals, totals = encoded.proposals, encoded.totals
        rows = whole.terms(self.elbo, part, proposals, totals, seed, training)
        once = self.replicas.once
        kl = {name: once(tf.reduce_sum(of)) for name, of in rows.kl.items()}
        kl[self.elbo.codec.style.name] = part.sum(rows.style_kl)
        sums = Terms(part.sum(rows.log_likelihood), kl)
        return sums, tf.reduce_sum(rows.contrast) + once(rows.crossed)

    def _output_penalty(self, part: Part, step: Step) -> tf.Tensor:
        """This worker's share of what `add_loss` adds to the loss."""
        own, of_all = num_rows(part.segment_ids), num_rows(part.all_ids)
        share = tf.cast(own / of_all, self.elbo.codec.dtype)
        return share * tf.cast(step.output_penalty(), share.dtype)

    def _compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if not self.compiled:
            return function
        return tf.function(function, autograph=False, jit_compile=True)


def _floats(values: Any) -> list[tf.Tensor]:
    return tf.nest.flatten(values, expand_composites=True)


def _or_zeros(gradient: Gradient, like: tf.Tensor) -> tf.Tensor:
    return tf.zeros_like(like) if gradient is None else gradient


def _sum(*gradients: Gradient) -> Gradient:
    """Of those that there are; none where nothing depends on the weight."""
    there = [tf.convert_to_tensor(of) for of in gradients if of is not None]
    return tf.add_n(there) if there else None


def _as(value: Any, like: tf.Tensor) -> tf.Tensor:
    return tf.cast(value, like.dtype)

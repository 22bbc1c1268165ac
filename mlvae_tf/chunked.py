"""A batch in chunks, for groups larger than memory, with the exact gradient.

Its loss is not a sum over the chunks, since every observation is decoded with
the latents of its whole groups. But evidence adds up, and all that ties the
chunks together is the evidence E = sum_i E_i of each group:

    pass one    encodes: E, chunk by chunk;
    pass two    encodes and decodes with E held fixed, and adds up the loss,
                its gradient for the weights, and that for E;
    pass three  encodes, and pulls the gradient for E back through each chunk's
                E_i to the weights.

By the chain rule the two gradients add up to that of the whole batch. Memory is
that of one chunk. Every pass draws the same noise (`mlvae_tf.noise`), which is
also that of the batch in one piece: the size of the chunks changes nothing but
rounding. Two things that networks of one's own may have are theirs alone:
Dropout draws by chunk, and BatchNormalization takes the statistics of a chunk.

The paper subsamples a large group instead, which biases its objective
(Bouchacourt et al. 2018, section 3).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import tensorflow as tf

from mlvae_tf import evidence, guards, objective
from mlvae_tf.batches import (
    Batch,
    Part,
    halved,
    most_groups,
    num_groups,
    pad,
    padded,
)
from mlvae_tf.elbo import Elbo
from mlvae_tf.latents import Totals
from mlvae_tf.objective import Terms
from mlvae_tf.replicas import ALONE, Replicas, Sum
from mlvae_tf.steps import Step

State = TypeVar("State")
Tensors = tuple[tf.Tensor, ...]

GROUP_PARTS = 2  # Of rows of evidence, which cost little.


@dataclasses.dataclass(frozen=True)
class Chunked:
    """The ELBO of batches in chunks.

    Attributes:
        elbo: The ELBO.
        compiled: Whether XLA compiles what is computed of a chunk.
        padded: Whether chunks are padded to one of a few sizes: that of the
            largest so far, or what is left of it after halvings.
        replicas: The workers with which the chunks lie.
    """

    elbo: Elbo
    compiled: bool = True
    padded: bool = True
    replicas: Replicas = ALONE

    def mean_terms(self, batch: Batch, seed: tf.Tensor) -> Terms:
        """The terms of the averaged ELBO, scalars, nats per group.

        Args:
            batch: The batch.
            seed: int32 `[2]`.
        """
        elbo = self.elbo
        totals = self._totals(batch, seed, training=False)
        groups = elbo.codec.groups(totals, batch.segment_ids)

        def add_terms(sums: Tensors, part: Part) -> Tensors:
            proposals = elbo.propose(part, seed, training=False)
            of_rows = elbo.observation_terms(
                part, groups, proposals, seed, training=False
            )
            return _add(sums, tuple(map(part.sum, of_rows)))

        zero = tf.zeros((), elbo.codec.dtype)
        sums = self._fold(add_terms, (zero, zero), batch)
        reconstruction, style_kl = self.replicas.sum(Sum.TERMS, sums)
        kl = _sums(elbo.codec.kl(groups))
        return self._mean(reconstruction, style_kl, kl, batch)

    def loss_and_gradients(
        self, batch: Batch, step: Step
    ) -> tuple[tf.Tensor, Terms, list[tf.Tensor]]:
        """What a training step minimises, and its exact gradient.

        Args:
            batch: The batch.
            step: The step. Of the passes over its states the second counts.

        Returns:
            `(loss, terms, gradients)`, the gradients being of the scaled loss.
        """
        batch = batch._replace(
            heard=self.elbo.heard(batch.segment_ids, step.seed)
        )
        with _unchanged(step.states):
            totals = self._totals(batch, step.seed, training=True)
        kl, crossed, gradients = self._of_groups(batch, step, totals)
        before = [tf.identity(state) for state in step.states]
        sums, gradients = self._of_observations(batch, step, totals, gradients)
        self.replicas.agree(step.states, before)
        with _unchanged(step.states):
            gradients = self._pull_back(batch, step, totals, gradients)
        sums, gradients = self.replicas.sum(Sum.GRADIENTS, (sums, gradients))
        reconstruction, style_kl, extra = sums
        terms = self._mean(reconstruction, style_kl, kl, batch)
        loss = objective.loss(terms, step.kl_weights) + extra + crossed
        return loss + step.weight_penalty(), terms, list(gradients)

    def _of_groups(
        self, batch: Batch, step: Step, totals: Totals
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, Tensors]:
        """What the groups cost, and its gradient.

        Returns:
            `(kl, crossed, gradients)`: sums by level; what contents of one
            level tell of another's groups, per group; and the gradients for
            the variables, then for the totals.
        """
        elbo = self.elbo
        with tf.GradientTape() as tape:
            tape.watch(totals)
            groups = elbo.codec.groups(totals, batch.segment_ids)
            kl = _sums(elbo.codec.kl(groups))
            weighted = objective.weighted(kl, step.kl_weights)
            count = _as(num_groups(batch.segment_ids), weighted)
            crossed = elbo.crossed(totals, batch.segment_ids) / count
            cost = weighted / count + crossed
            scaled = step.scale_loss(cost + step.weight_penalty())
            scaled = self.replicas.once(scaled)
        leaves = *step.variables, *tf.nest.flatten(totals)
        return kl, crossed, tuple(_gradient(tape, scaled, leaves))

    def _of_observations(
        self,
        batch: Batch,
        step: Step,
        totals: Totals,
        gradients: Tensors,
    ) -> tuple[Tensors, Tensors]:
        """Pass two: what the observations cost, and its gradient.

        Returns:
            `(sums, gradients)`: log likelihoods, style KLs and what is added
            to the loss; and the gradients with theirs added.
        """
        elbo = self.elbo
        style_weight = step.kl_weights[elbo.codec.style.name]
        count = num_groups(batch.segment_ids)
        leaves = *step.variables, *tf.nest.flatten(totals)

        def add(sums: Tensors, part: Part) -> Tensors:
            with tf.GradientTape() as tape:
                tape.watch(totals)
                proposals = elbo.propose(part, step.seed, training=True)
                groups = elbo.codec.groups(totals, batch.segment_ids)
                of_rows = elbo.observation_terms(
                    part, groups, proposals, step.seed, training=True
                )
                reconstruction, style_kl = map(part.sum, of_rows)
                contrasts = elbo.contrasts(part, proposals, totals)
                extra = tf.reduce_sum(contrasts) / _as(count, contrasts)
                extra += _share(part, batch, extra) * step.output_penalty()
                cost = style_weight * style_kl - reconstruction
                cost = cost / _as(count, cost) + extra
                scaled = step.scale_loss(cost)
            parts = reconstruction, style_kl, extra
            return _add(sums, (*parts, *_gradient(tape, scaled, leaves)))

        zeros = (tf.zeros((), elbo.codec.dtype),) * 3
        sums = self._fold(add, (*zeros, *gradients), batch)
        return sums[:3], sums[3:]

    def _fold(
        self,
        function: Callable[[State, Part], State],
        state: State,
        batch: Batch,
    ) -> State:
        """`state = function(state, part)` for every chunk."""
        step = function
        if self.compiled:
            step = tf.function(function, autograph=False, jit_compile=True)

        def fold_in(
            before: tuple[tf.Tensor, tf.Tensor, State],
            observations: tf.Tensor,
        ) -> tuple[tf.Tensor, tf.Tensor, State]:
            start, largest, state = before
            part = batch.part(observations, start)
            size = tf.shape(observations)[0]
            largest = tf.maximum(largest, padded(size))
            observations = guards.assert_chunk(observations, part.first_ids)
            part = part._replace(observations=observations)
            if self.padded:
                part = pad(part, halved(largest, size))
            return start + size, largest, step(state, part)

        begin = tf.convert_to_tensor(batch.start, tf.int32), 0, state
        stop, _, state = batch.chunks.reduce(begin, fold_in)
        guards.assert_whole(stop, batch.first_ids, batch.stop)
        return state

    def _totals(self, batch: Batch, seed: tf.Tensor, training: bool) -> Totals:
        """Pass one: what is said of every group, and zeros beyond."""
        elbo = self.elbo
        num_rows = padded(most_groups(batch.segment_ids), GROUP_PARTS)

        def add_evidence(totals: Totals, part: Part) -> Totals:
            proposals = elbo.propose(part, seed, training)
            more = elbo.sums(part, proposals, num_rows, training)
            return {
                name: evidence.add(totals[name], more[name]) for name in totals
            }

        zero = elbo.zero_sums(num_rows, training)
        own = self._fold(add_evidence, zero, batch)
        return self.replicas.sum(Sum.EVIDENCE, own)

    def _pull_back(
        self, batch: Batch, step: Step, totals: Totals, gradients: Tensors
    ) -> Tensors:
        """Pass three: add what the weights have to do with the evidence.

        Args:
            batch: The batch.
            step: The step.
            totals: The evidence of the groups.
            gradients: For the variables, then for the totals.

        Returns:
            The whole gradient for the variables.
        """
        elbo, count = self.elbo, len(step.variables)
        num_rows = tf.shape(tf.nest.flatten(totals)[0])[0]
        of_totals = self.replicas.sum(Sum.OF_EVIDENCE, list(gradients[count:]))

        def add(sums: Tensors, part: Part) -> Tensors:
            with tf.GradientTape() as tape:
                proposals = elbo.propose(part, step.seed, training=True)
                parts = elbo.sums(part, proposals, num_rows, training=True)
            leaves = tf.nest.flatten(parts)
            return _add(
                sums, _gradient(tape, leaves, step.variables, of_totals)
            )

        return self._fold(add, gradients[:count], batch)

    def _mean(
        self,
        reconstruction: tf.Tensor,
        style_kl: tf.Tensor,
        kl: dict[str, tf.Tensor],
        batch: Batch,
    ) -> Terms:
        style = self.elbo.codec.style.name
        sums = Terms(reconstruction, {**kl, style: style_kl})
        return objective.mean(sums, num_groups(batch.segment_ids))


@contextlib.contextmanager
def _unchanged(variables: list[tf.Variable]) -> Iterator[None]:
    """Give variables back the values that they had."""
    before = [tf.identity(variable) for variable in variables]
    yield
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


def _share(part: Part, batch: Batch, like: tf.Tensor) -> tf.Tensor:
    """Which part of a batch's observations these are."""
    rows, all_rows = tf.size(part.first_ids), tf.size(batch.first_ids)
    return _as(rows, like) / _as(all_rows, like)


def _sums(kl: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {name: tf.reduce_sum(of_groups) for name, of_groups in kl.items()}


def _add(left: Tensors, right: Tensors) -> Tensors:
    return tuple(a + b for a, b in zip(left, right, strict=True))


def _gradient(
    tape: tf.GradientTape,
    target: tf.Tensor | list[tf.Tensor],
    sources: Sequence[tf.Tensor],
    weights: list[tf.Tensor] | None = None,
) -> Tensors:
    """As `tape.gradient`, but zero where the target does not depend on it."""
    gradients = tape.gradient(target, list(sources), weights)
    return tuple(
        tf.zeros_like(source) if gradient is None else gradient
        for source, gradient in zip(sources, gradients, strict=True)
    )


def _as(number: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.cast(number, like.dtype)

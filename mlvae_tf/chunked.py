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
that of one chunk. A flow of the style adds a pass for its moments. Every pass
draws the same noise (`mlvae_tf.noise`), which is also that of the batch in one
piece: the size of the chunks changes nothing but rounding. Two things that
networks of one's own may have are theirs alone: Dropout draws by chunk, and
BatchNormalization takes the statistics of a chunk.

The paper subsamples a large group instead, which biases its objective
(Bouchacourt et al. 2018, section 3).
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import tensorflow as tf

from mlvae_tf import checks, evidence, objective
from mlvae_tf.batches import Batch, Part, count_groups, pad, padded
from mlvae_tf.codec import Latents, Totals
from mlvae_tf.elbo import Elbo
from mlvae_tf.objective import Terms
from mlvae_tf.style_flow import Moments
from mlvae_tf.whole import Penalty

State = TypeVar("State")
Tensors = tuple[tf.Tensor, ...]
Scale = Callable[[tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Chunked:
    """The ELBO of batches in chunks.

    Attributes:
        elbo: The ELBO.
        compiled: Whether XLA compiles what is computed of a chunk.
        padded: Whether chunks are padded to one of a few sizes.
    """

    elbo: Elbo
    compiled: bool = True
    padded: bool = True

    def mean_terms(self, batch: Batch, seed: tf.Tensor) -> Terms:
        """The terms of the averaged ELBO, scalars, nats per group.

        Args:
            batch: The batch.
            seed: int32 `[2]`.
        """
        elbo = self.elbo
        totals = self._totals(batch, seed, training=False)
        posteriors = elbo.codec.posteriors(totals)

        def add_terms(sums: Tensors, part: Part) -> Tensors:
            encoded = elbo.encode(part, seed, training=False)
            of_rows = elbo.observation_terms(
                part, posteriors, encoded, seed, training=False
            )
            return _add(sums, tuple(map(part.sum, of_rows)))

        zero = tf.zeros((), elbo.codec.dtype)
        reconstruction, style_kl = self._fold(add_terms, (zero, zero), batch)
        kl = _sums(elbo.kl(posteriors))
        return self._mean(reconstruction, style_kl, kl, batch)

    def loss_and_gradients(
        self,
        batch: Batch,
        kl_weights: dict[str, float | tf.Tensor],
        seed: tf.Tensor,
        variables: list[tf.Variable],
        states: list[tf.Variable],
        penalties: tuple[Penalty, Penalty],
        scale_loss: Scale,
    ) -> tuple[tf.Tensor, Terms, list[tf.Tensor]]:
        """What a training step minimises, and its exact gradient.

        Args:
            batch: The batch.
            kl_weights: By level.
            seed: int32 `[2]`, of the step.
            variables: For which the gradient is wanted.
            states: Variables that running the networks changes, such as the
                moving statistics of BatchNormalization; pass two counts.
            penalties: What regularizers add: of weights, once; of what the
                networks compute, a mean over the rows of a chunk.
            scale_loss: What the optimizer wants differentiated.

        Returns:
            `(loss, terms, gradients)`, the gradients being of the scaled loss.
        """
        elbo, num_groups = self.elbo, _num_groups(batch)
        style_weight = kl_weights[elbo.codec.style.name]
        of_weights, of_outputs = penalties
        heard = batch._replace(segment_ids=elbo.heard(batch.segment_ids, seed))
        with _unchanged(states):
            totals = self._totals(heard, seed, training=True)
            flow_loss = self._flow_loss(batch, seed)

        with tf.GradientTape() as tape:
            tape.watch(totals)
            kl = _sums(elbo.kl(elbo.codec.posteriors(totals)))
            weighted = objective.weighted(kl, kl_weights)
            value = weighted / _as(num_groups, weighted) + of_weights()
            scaled = scale_loss(value)
        leaves = *variables, *tf.nest.flatten(totals)
        start = _gradient(tape, scaled, leaves)

        def add_gradients(sums: Tensors, part: Part) -> Tensors:
            with tf.GradientTape() as tape:
                tape.watch(totals)
                encoded = elbo.encode(part, seed, training=True)
                of_rows = elbo.observation_terms(
                    part,
                    elbo.codec.posteriors(totals),
                    encoded,
                    seed,
                    training=True,
                )
                reconstruction, style_kl = map(part.sum, of_rows)
                extra = flow_loss(part, encoded)
                extra += _share(part, batch, extra) * of_outputs()
                loss = style_weight * style_kl - reconstruction
                loss = scale_loss(loss / _as(num_groups, loss) + extra)
            parts = reconstruction, style_kl, extra
            return _add(sums, (*parts, *_gradient(tape, loss, leaves)))

        zeros = (tf.zeros((), elbo.codec.dtype),) * 3
        sums = self._fold(add_gradients, (*zeros, *start), batch)
        (reconstruction, style_kl, extra), sums = sums[:3], sums[3:]
        gradients, of_totals = sums[: len(variables)], sums[len(variables) :]
        with _unchanged(states):
            gradients = self._pull_back(
                heard, seed, totals, of_totals, gradients, variables
            )
        terms = self._mean(reconstruction, style_kl, kl, batch)
        loss = objective.loss(terms, kl_weights) + extra + of_weights()
        return loss, terms, list(gradients)

    def _fold(
        self,
        function: Callable[[State, Part], State],
        state: State,
        batch: Batch,
    ) -> State:
        """`state = function(state, part)` for every chunk."""
        step = function
        if self.compiled:
            step = tf.function(function, jit_compile=True)
        all_ids = next(iter(batch.segment_ids.values()))

        def fold_in(
            before: tuple[tf.Tensor, State], observations: tf.Tensor
        ) -> tuple[tf.Tensor, State]:
            start, state = before
            stop = start + tf.shape(observations)[0]
            segment_ids = {
                name: ids[start:stop] for name, ids in batch.segment_ids.items()
            }
            observations = checks.assert_chunk(
                observations, next(iter(segment_ids.values()))
            )
            part = Part(observations, segment_ids, start)
            return stop, step(state, pad(part) if self.padded else part)

        stop, state = batch.chunks.reduce((0, state), fold_in)
        checks.assert_whole(stop, all_ids)
        return state

    def _totals(self, batch: Batch, seed: tf.Tensor, training: bool) -> Totals:
        """Pass one: what is said of every group, and zeros beyond."""
        elbo = self.elbo
        num_rows = padded(_num_groups(batch))

        def add_evidence(totals: Totals, part: Part) -> Totals:
            encoded = elbo.encode(part, seed, training)
            more = elbo.codec.evidence(
                part.observations, encoded, part.segment_ids, num_rows
            )
            return {
                name: evidence.add(totals[name], more[name]) for name in totals
            }

        zero = {
            level.name: level.sums.zero(num_rows, level.dim)
            for level in elbo.codec.levels
        }
        return self._fold(add_evidence, zero, batch)

    def _pull_back(
        self,
        heard: Batch,
        seed: tf.Tensor,
        totals: Totals,
        of_totals: Tensors,
        gradients: Tensors,
        variables: list[tf.Variable],
    ) -> Tensors:
        """Pass three: add what the weights have to do with the evidence."""
        elbo = self.elbo
        num_rows = tf.shape(tf.nest.flatten(totals)[0])[0]

        def add_gradients(gradients: Tensors, part: Part) -> Tensors:
            with tf.GradientTape() as tape:
                encoded = elbo.encode(part, seed, training=True)
                parts = elbo.codec.evidence(
                    part.observations, encoded, part.segment_ids, num_rows
                )
            more = _gradient(
                tape, tf.nest.flatten(parts), variables, list(of_totals)
            )
            return _add(gradients, more)

        return self._fold(add_gradients, gradients, heard)

    def _flow_loss(
        self, batch: Batch, seed: tf.Tensor
    ) -> Callable[[Part, Latents], tf.Tensor]:
        """The loss of the style's flow as a function of a part."""
        elbo, codec = self.elbo, self.elbo.codec
        flow, level, style = codec.flow, codec.levels[0], codec.style
        if not flow.learns:
            return lambda part, encoded: tf.zeros((), codec.dtype)
        num_rows = padded(_num_groups(batch))

        def add_evidence(
            total: evidence.Evidence, part: Part
        ) -> evidence.Evidence:
            encoded = elbo.encode(part, seed, training=True)
            more = elbo.flow_evidence(part, encoded, num_rows)
            return evidence.add(total, more)

        nothing = evidence.zero((num_rows, level.dim), codec.dtype)
        total = self._fold(add_evidence, nothing, batch)

        def add_moments(moments: Moments, part: Part) -> Moments:
            encoded = elbo.encode(part, seed, training=True)
            more = flow.moments(
                part, encoded[level.name], encoded[style.name], total
            )
            return Moments(*_add(moments, more))

        zero = flow.zero_moments(style.dim, codec.dtype)
        moments = self._fold(add_moments, zero, batch)
        return lambda part, encoded: flow.loss(
            part,
            encoded[level.name],
            encoded[style.name],
            total,
            moments,
            seed,
        )

    def _mean(
        self,
        reconstruction: tf.Tensor,
        style_kl: tf.Tensor,
        kl: dict[str, tf.Tensor],
        batch: Batch,
    ) -> Terms:
        style = self.elbo.codec.style.name
        sums = Terms(reconstruction, {**kl, style: style_kl})
        return objective.mean(sums, _num_groups(batch))


@contextlib.contextmanager
def _unchanged(variables: list[tf.Variable]) -> Iterator[None]:
    """Give variables back the values that they had."""
    before = [tf.identity(variable) for variable in variables]
    yield
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)


def _num_groups(batch: Batch) -> tf.Tensor:
    return next(iter(count_groups(batch.segment_ids).values()))


def _share(part: Part, batch: Batch, like: tf.Tensor) -> tf.Tensor:
    """Which part of a batch's observations these are."""
    ids = next(iter(batch.segment_ids.values()))
    return _as(tf.size(part.first_ids), like) / _as(tf.size(ids), like)


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
        tf.zeros(source.shape, source.dtype) if gradient is None else gradient
        for source, gradient in zip(sources, gradients, strict=True)
    )


def _as(number: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
    return tf.cast(number, like.dtype)

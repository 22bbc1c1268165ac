"""A training step, and a test step, as Keras's `fit` takes them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from mlvae_tf import guards, noise, objective, whole, xla
from mlvae_tf.bad_steps import BadSteps
from mlvae_tf.batches import Batch, Part, SegmentIds, Sizes
from mlvae_tf.chunked import Chunked
from mlvae_tf.elbo import Elbo
from mlvae_tf.intake import Intake
from mlvae_tf.levels import LAST_STEP
from mlvae_tf.loop import Loop
from mlvae_tf.noise import Stream
from mlvae_tf.objective import Terms
from mlvae_tf.replicas import ALONE, Replicas
from mlvae_tf.replicated import Replicated
from mlvae_tf.steps import Step
from mlvae_tf.trackers import Trackers

Weights = dict[str, float | tf.Tensor]


class Stepping(Loop):
    """A Keras model whose steps maximise the averaged grouped ELBO (Eq. 5).

    `train_step` and `test_step` report `loss` and the terms of the ELBO, in
    nats per group, and `elbo_per_observation`; `train_step` also
    `gradient_norm`.

    A subclass calls `_set_elbo` once its networks are made.
    """

    elbo: Elbo
    seed: int

    def _set_elbo(self, elbo: Elbo, own_networks: bool) -> None:
        """Say what is trained.

        Args:
            elbo: The ELBO.
            own_networks: Whether the networks are the user's. Padding, which
                could change what theirs compute of other rows, is left out,
                and with it XLA, which would compile for every size of a batch.
        """
        self.elbo = elbo
        self._own_networks = own_networks
        self._means = Trackers(elbo.codec)
        # For Keras, which saves metrics with the model, under these names.
        self._trackers = self._means.terms
        self._gradient_norm = self._means.gradient_norm
        self._sizes, self._share_sizes = Sizes(), Sizes()
        self._expected: tuple[int, float] | None = None
        self._replicas: Replicas = ALONE
        self._bad_steps = BadSteps()

    @property
    def bad_steps(self) -> int:
        """Steps of the last `fit` that were not taken, not being finite."""
        return int(self._bad_steps.count)

    @property
    def last_bad_step(self) -> int:
        """Number of the last of them, from 0; -1 where there is none."""
        return int(self._bad_steps.last)

    def expect_batches(self, largest: int, mean: float) -> None:
        """Say how large batches will be, where that is known before `fit`.

        XLA then compiles one program, of the largest size; further ones, of
        its half, its quarter and so on, only as far as they hold the mean.
        Without, it finds a size or two more.

        Args:
            largest: Observations that a batch of `fit` has at most.
            mean: Those of an epoch, by its batches.
        """
        self._sizes.expect(largest, mean)
        self._expected = largest, mean

    def _expect_shares(self, count: int) -> None:
        """Say the same of the shares that so many workers have of them."""
        if self._expected:
            largest, mean = self._expected
            self._share_sizes.expect(-(-largest // count), mean / count)

    def kl_weights(self) -> Weights:
        """By level, the weight of its KL at the current step."""
        return self.elbo.kl_weights(self.optimizer.iterations)

    def _seed(self, stream: Stream) -> tf.Tensor:
        return noise.of_step(self.seed, stream, self.optimizer.iterations)

    # Steps. `_step` numbers the groups; what follows may be compiled by XLA.

    def _told(self) -> Step:
        """What this step is told."""
        return Step(
            self.kl_weights(),
            self._seed(Stream.TRAINING),
            self.trainable_variables,
            [v for v in self.non_trainable_variables if "seed" not in v.path],
            self._weight_penalty,
            self._output_penalty,
            self.optimizer.scale_loss,
        )

    def _update(self, part: Part) -> tf.Tensor:
        if self._replicas is ALONE:
            found = whole.loss_and_gradients(self.elbo, part, self._told())
            return self._apply(*found, part.segment_ids)
        replicated = Replicated(self.elbo, self._replicas, self.compiles_step)
        found = replicated.loss_and_gradients(part, self._told())
        apply = self._apply
        if self.compiles_step:
            apply = tf.function(apply, autograph=False, jit_compile=True)
        return apply(*found, part.all_ids)

    def _update_in_chunks(self, batch: Batch) -> tf.Tensor:
        chunked = Chunked(
            self.elbo, self.compiles_step, self._pads, self._replicas
        )
        found = chunked.loss_and_gradients(batch, self._told())
        return self._apply(*found, batch.segment_ids)

    def _test(self, part: Part) -> tf.Tensor:
        seed = self._seed(Stream.TEST)
        if self._replicas is ALONE:
            terms = whole.mean_terms(self.elbo, part, seed)
        else:
            replicated = Replicated(self.elbo, self._replicas, compiled=False)
            terms = replicated.mean_terms(part, seed)
        return self._report_test(terms, part.all_ids)

    def _test_in_chunks(self, batch: Batch) -> tf.Tensor:
        chunked = Chunked(
            self.elbo, compiled=False, padded=False, replicas=self._replicas
        )
        terms = chunked.mean_terms(batch, self._seed(Stream.TEST))
        return self._report_test(terms, batch.segment_ids)

    def _sum(self, losses: list[tf.Tensor]) -> tf.Tensor | float:
        dtype = self.elbo.codec.dtype
        return tf.add_n([tf.cast(v, dtype) for v in losses]) if losses else 0.0

    def _penalties(self) -> list[keras.Variable]:
        return [v for v in self.trainable_variables if v.regularizer]

    def _weight_penalty(self) -> tf.Tensor | float:
        """What the regularizers of weights add to the loss."""
        return self._sum([v.regularizer(v) for v in self._penalties()])

    def _output_penalty(self) -> tf.Tensor | float:
        """What `add_loss` and regularizers of outputs add to it."""
        # Keras lists them before those of weights.
        count = len(self.losses) - len(self._penalties())
        return self._sum(self.losses[:count])

    def _apply(
        self,
        loss: tf.Tensor,
        terms: Terms,
        gradients: list[tf.Tensor],
        segment_ids: SegmentIds,
    ) -> tf.Tensor:
        good = guards.all_finite([loss, *gradients])
        optimizer = self.optimizer

        def apply() -> tf.Tensor:
            self._means.add_gradients(gradients, optimizer.scale_loss(1.0))
            optimizer.apply_gradients(zip(gradients, self.trainable_variables))
            self._means.add(loss, terms, segment_ids)
            return loss

        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            return apply()  # It passes over such gradients itself.
        return tf.cond(
            good, apply, lambda: self._bad_steps.pass_over(optimizer, loss)
        )

    def _report_test(self, terms: Terms, segment_ids: SegmentIds) -> tf.Tensor:
        # Not those of the step, under which no two epochs would compare.
        loss = objective.loss(terms, self.elbo.kl_weights(LAST_STEP))
        self._means.add(loss, terms, segment_ids)
        return loss

    def _step(
        self,
        data: Any,
        step: Callable[[Part], tf.Tensor],
        step_in_chunks: Callable[[Batch], tf.Tensor],
        pads: bool,
    ) -> dict[str, tf.Tensor]:
        """Number the groups, which XLA could not; then compute."""
        sizes = (self._sizes, self._share_sizes) if pads else None
        taken = Intake(self.elbo.codec, sizes).take(data)
        if isinstance(taken, Batch):
            loss = step_in_chunks(taken)
        else:
            loss = step(taken)
        guards.assert_finite(loss)
        return self._means.results()

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        if not self.trainable_variables:
            warnings.warn(
                "The model does not have any trainable weights.", stacklevel=2
            )
            return self.test_step(data)
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        update = self._update
        if self.compiles_step and self._replicas is ALONE:
            # Autograph has nothing to convert, and takes a second to see.
            update = tf.function(update, autograph=False, jit_compile=True)
        reported = self._step(data, update, self._update_in_chunks, self._pads)
        norm = self._gradient_norm
        return {**reported, norm.name: norm.result()}

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        # XLA gains nothing here, and its program takes seconds.
        return self._step(data, self._test, self._test_in_chunks, pads=False)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*self._trackers, self._gradient_norm]

    # Keras would give its whole step to XLA, string ids included. It is told
    # nothing here (None), and `train_step` compiles what comes after the ids.
    @property
    def jit_compile(self) -> None:
        return None

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        self._compiles_step = value

    @property
    def compiles_step(self) -> bool:
        """Whether XLA compiles what a training step computes."""
        return self._compiles_step and not self.run_eagerly

    @property
    def _pads(self) -> bool:
        return self.compiles_step and not self._own_networks

    def _resolve_auto_jit_compile(self) -> bool:
        # Keras's "auto" leaves XLA out on CPUs, where it pays as well.
        if self._distribute_strategy is not None or self._own_networks:
            return False
        return xla.pays(self.elbo.codec)

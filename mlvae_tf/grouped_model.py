"""Training on batches of groups, whatever the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mlvae_tf import checks, chunks, evidence, noise, objective
from mlvae_tf.chunks import Chunk

Batch = dict[str, tf.Tensor]
Schedule = keras.optimizers.schedules.LearningRateSchedule
TRAINING, TEST = 0, 1  # Streams of noise.
_iterators: dict[str, Any] = {}  # Not on the model, which would save them.
METRICS = "loss", "elbo", "reconstruction", "content_kl", "style_kl"


class GroupedModel(keras.Model):
    """A Keras model that maximises the averaged grouped ELBO (Eq. 5).

    `fit`, `evaluate` and `predict` take a `tf.data.Dataset` of batches
    `{"observations": [N, ...], "group_ids": [N]}`, or a dict of such arrays,
    which Keras then batches. The observations of a batch may be a dataset of
    chunks `[n, ...]`, for groups larger than memory (`mlvae_tf.chunks`).
    `train_step` and `test_step` share one loss and report `loss` and the terms
    of the ELBO, in nats a group.

    A subclass has `observation_shape`, `likelihood` and `seed`, and implements
    `group_terms`.

    Args:
        content_kl_weight: Factor of the content KL in the loss, a number or a
            schedule of the step.
        style_kl_weight: The same for the style KL.
        **kwargs: Arguments of `keras.Model`.
    """

    observation_shape: tuple[int, ...]
    likelihood: str
    seed: int

    def __init__(
        self,
        content_kl_weight: float | Schedule = 1.0,
        style_kl_weight: float | Schedule = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.content_kl_weight = content_kl_weight
        self.style_kl_weight = style_kl_weight
        self._trackers = [keras.metrics.Mean(name) for name in METRICS]

    def group_terms(
        self,
        observations: tf.Tensor,
        segment_ids: tf.Tensor,
        seed: tf.Tensor,
    ) -> objective.Terms:
        """A one-sample estimate of every group's ELBO terms.

        XLA traces it without Autograph: no Python `if` on a tensor's value.

        Args:
            observations: `[N, *observation_shape]`.
            segment_ids: int32 `[N]`, groups numbered from 0 without a gap, in
                any order; negative for padding.
            seed: int32 `[2]`; equal seeds give equal estimates.

        Returns:
            `Terms` of shape `[N]`, nats: one row a group, and zeros beyond.
            As many rows as observations, since XLA wants a static number.
        """
        raise NotImplementedError

    def training_terms(
        self, observations: tf.Tensor, segment_ids: tf.Tensor, seed: tf.Tensor
    ) -> tuple[objective.Terms, tf.Tensor | float]:
        """What a training step minimises, where that is not the ELBO alone.

        Args:
            observations: As for `group_terms`.
            segment_ids: As for `group_terms`.
            seed: As for `group_terms`.

        Returns:
            `(terms, extra)`: terms as from `group_terms`, and a scalar to add
            to the loss.
        """
        return self.group_terms(observations, segment_ids, seed), 0.0

    def kl_weights(self) -> list[float | tf.Tensor]:
        """The weights of the content and style KLs at the current step."""
        return [
            weight(self.optimizer.iterations) if callable(weight) else weight
            for weight in (self.content_kl_weight, self.style_kl_weight)
        ]

    def _seed(self, stream: int) -> tf.Tensor:
        step = tf.cast(self.optimizer.iterations, "int32")
        return noise.fold_in([self.seed, stream], step)

    def _update(self, batch: Chunk) -> tf.Tensor:
        num_groups = tf.reduce_max(batch.segment_ids) + 1
        with tf.GradientTape() as tape:
            terms, extra = self.training_terms(
                batch.observations, batch.segment_ids, self._seed(TRAINING)
            )
            terms = objective.average(terms, num_groups)
            loss = objective.loss(terms, *self.kl_weights()) + extra
        self._apply(tape.gradient(loss, self.trainable_variables))
        return self._report(loss, terms, num_groups)

    def _update_in_chunks(self, batch: chunks.Batch) -> tf.Tensor:
        loss, terms, gradients = chunks.loss_and_gradients(
            self, batch, self._seed(TRAINING)
        )
        self._apply(gradients)
        return self._report(loss, terms, batch.num_groups)

    def _test(self, batch: Chunk) -> tf.Tensor:
        num_groups = tf.reduce_max(batch.segment_ids) + 1
        terms = self.group_terms(
            batch.observations, batch.segment_ids, self._seed(TEST)
        )
        terms = objective.average(terms, num_groups)
        loss = objective.loss(terms, *self.kl_weights())
        return self._report(loss, terms, num_groups)

    def _test_in_chunks(self, batch: chunks.Batch) -> tf.Tensor:
        terms = chunks.mean_terms(self, batch, self._seed(TEST))
        loss = objective.loss(terms, *self.kl_weights())
        return self._report(loss, terms, batch.num_groups)

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))

    def _report(
        self, loss: tf.Tensor, terms: objective.Terms, num_groups: tf.Tensor
    ) -> tf.Tensor:
        for tracker, value in zip(self._trackers, (loss, terms.elbo, *terms)):
            tracker.update_state(value, sample_weight=num_groups)
        return loss

    def _step(
        self,
        data: Batch,
        step: Callable[[Chunk], tf.Tensor],
        step_in_chunks: Callable[[chunks.Batch], tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Number the groups outside XLA, which has no strings; then compute."""
        observations, group_ids = checks.unpack(data)
        in_chunks = isinstance(observations, tf.data.Dataset)
        part = observations.element_spec if in_chunks else observations
        checks.check_shapes(part, self.observation_shape, group_ids)
        _, segment_ids = evidence.index_groups(group_ids)
        if in_chunks:
            batch = chunks.Batch(observations.map(self._ready), segment_ids)
            loss = step_in_chunks(batch)
        else:
            batch = Chunk(self._ready(observations), segment_ids)
            if self.compiles_step:
                batch = chunks.pad(batch)
                # Autograph has nothing to convert, and takes a second to see.
                step = tf.function(step, autograph=False, jit_compile=True)
            loss = step(batch)
        checks.assert_finite(loss)
        return {tracker.name: tracker.result() for tracker in self._trackers}

    def _ready(self, observations: tf.Tensor) -> tf.Tensor:
        observations = tf.cast(observations, self.variable_dtype)
        return checks.assert_values(observations, self.likelihood)

    def train_step(self, data: Batch) -> dict[str, tf.Tensor]:
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return self._step(data, self._update, self._update_in_chunks)

    def test_step(self, data: Batch) -> dict[str, tf.Tensor]:
        return self._step(data, self._test, self._test_in_chunks)

    def fit(
        self, x: Any = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        if "validation_data" in kwargs:
            kwargs["validation_data"] = self._prepare(kwargs["validation_data"])
        with self._guarded():
            history = super().fit(self._prepare(x), *args, **kwargs)
        # The loss of a step is finite before its update may be the last.
        checks.check_finite_weights(self.trainable_variables)
        return history

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        with self._guarded():
            return super().evaluate(self._prepare(x), *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        with self._guarded():
            return super().predict(self._prepare(x), *args, **kwargs)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn failed checks into `InputError`, and stay usable after them."""
        try:
            with checks.as_input_error():
                yield
        except Exception:
            # A function whose first trace failed would go on failing.
            self.train_function = None
            self.test_function = self.predict_function = None
            raise
        _iterators.clear()

    def make_train_function(self, force: bool = False) -> None:
        if force or self.train_function is None:
            super().make_train_function(force)
            self.train_function = _keeping("train", self.train_function)

    def make_test_function(self, force: bool = False) -> None:
        if force or self.test_function is None:
            super().make_test_function(force)
            self.test_function = _keeping("test", self.test_function)

    def _prepare(self, data: Any) -> Any:
        return checks.prepare_arrays(data, self.observation_shape)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return self._trackers

    # Keras would give its whole step to XLA, string ids included. It is told
    # nothing here (None), and `_step` compiles what comes after the ids.
    @property
    def jit_compile(self) -> None:
        return None

    @jit_compile.setter
    def jit_compile(self, value: bool) -> None:
        self._compiles_step = value

    @property
    def compiles_step(self) -> bool:
        """Whether XLA compiles what a step computes."""
        return self._compiles_step and not self.run_eagerly

    def _resolve_auto_jit_compile(self) -> bool:
        # Keras's "auto" leaves XLA out on CPUs, where it pays as well.
        return self._distribute_strategy is None


def _keeping(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, its iterator kept when it fails.

    Python holds its lock while it destroys an iterator, and so would forever
    wait for a thread of the iterator's that is about to call Python to read.
    """

    def keep(iterator: Any) -> Any:
        _iterators[name] = iterator
        return function(iterator)

    return keep

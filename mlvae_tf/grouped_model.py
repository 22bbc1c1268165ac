"""Training on batches of groups, whatever the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mlvae_tf import checks, evidence, objective

Batch = dict[str, tf.Tensor]
Schedule = keras.optimizers.schedules.LearningRateSchedule
METRICS = "loss", "elbo", "reconstruction", "content_kl", "style_kl"


class GroupedModel(keras.Model):
    """A Keras model that maximises the averaged grouped ELBO (Eq. 5).

    `fit`, `evaluate` and `predict` take a `tf.data.Dataset` of batches
    `{"observations": [N, ...], "group_ids": [N]}`, or a dict of such arrays,
    which Keras then batches. `train_step` and `test_step` share one loss and
    report `loss` and the terms of the ELBO, in nats a group.

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

    def _loss(
        self, observations: tf.Tensor, segment_ids: tf.Tensor, training: bool
    ) -> tf.Tensor:
        """The loss of a batch; its terms go to the metrics."""
        step = self.optimizer.iterations
        stream = 0 if training else 1
        seed = tf.random.fold_in([self.seed, stream], tf.cast(step, "int32"))
        num_groups = tf.reduce_max(segment_ids) + 1
        if training:
            terms, extra = self.training_terms(observations, segment_ids, seed)
        else:
            terms = self.group_terms(observations, segment_ids, seed)
            extra = 0.0
        terms = objective.average(terms, num_groups)
        loss = objective.loss(terms, *self.kl_weights()) + extra
        for tracker, value in zip(self._trackers, (loss, terms.elbo, *terms)):
            tracker.update_state(value, sample_weight=num_groups)
        return loss

    def _update(
        self, observations: tf.Tensor, segment_ids: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = self._loss(observations, segment_ids, training=True)
        variables = self.trainable_variables
        gradients = tape.gradient(loss, variables)
        self.optimizer.apply_gradients(zip(gradients, variables))
        return loss

    def _test(
        self, observations: tf.Tensor, segment_ids: tf.Tensor
    ) -> tf.Tensor:
        return self._loss(observations, segment_ids, training=False)

    def _step(
        self, step: Callable[..., tf.Tensor], data: Batch
    ) -> dict[str, tf.Tensor]:
        """Number the groups outside XLA, which has no strings; then compute."""
        observations, group_ids = checks.unpack(data)
        checks.check_shapes(observations, self.observation_shape, group_ids)
        observations = tf.cast(observations, self.compute_dtype)
        observations = checks.assert_values(observations, self.likelihood)
        _, segment_ids = evidence.index_groups(group_ids)
        if self._compiles_step and not self.run_eagerly:
            observations, segment_ids = _pad(observations, segment_ids)
            step = tf.function(step, jit_compile=True)
        checks.assert_finite(step(observations, segment_ids))
        return {tracker.name: tracker.result() for tracker in self._trackers}

    def train_step(self, data: Batch) -> dict[str, tf.Tensor]:
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        return self._step(self._update, data)

    def test_step(self, data: Batch) -> dict[str, tf.Tensor]:
        return self._step(self._test, data)

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

    def _resolve_auto_jit_compile(self) -> bool:
        # Keras's "auto" leaves XLA out on CPUs, where it pays as well.
        return self._distribute_strategy is None


def _pad(
    observations: tf.Tensor, segment_ids: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pad to one of a few sizes, so that XLA compiles only a few programs.

    Sizes are multiples of an eighth of the power of two below: at most an
    eighth is wasted, and eight programs serve all sizes up to twice as large.
    """
    size = tf.shape(segment_ids)[0]
    exponent = tf.math.log(tf.cast(size, "float32")) / tf.math.log(2.0)
    unit = 2 ** tf.maximum(tf.cast(exponent + 1e-4, "int32") - 3, 0)
    extra = -size % unit
    paddings = [[0, extra]] + [[0, 0]] * (len(observations.shape) - 1)
    return (
        tf.pad(observations, paddings),
        tf.pad(segment_ids, [[0, extra]], constant_values=-1),
    )

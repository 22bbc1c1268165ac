"""`fit`, `evaluate` and `predict` on batches of groups."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mlvae_tf import checks, feeding, guards
from mlvae_tf.errors import InputError
from mlvae_tf.replicas import ALONE, Replicas
from mlvae_tf.stepping import Stepping

_SCALED = 1000  # Observations whose values are set against the likelihood's.


class GroupedTrainer(Stepping):
    """A Keras model that maximises the averaged grouped ELBO (Eq. 5).

    `fit`, `evaluate` and `predict` take a `tf.data.Dataset`, a `PyDataset` or
    a generator of batches `{"observations": [N, ...], "group_ids": [N]}`, or a
    dict of such arrays, which Keras then batches. The observations of a batch
    may be a dataset of chunks `[n, ...]`, for groups larger than memory
    (`mlvae_tf.chunked`). `train_step` and `test_step` report `loss` and the
    terms of the ELBO, in nats per group, and `elbo_per_observation`;
    `train_step` also `gradient_norm`.

    A subclass calls `_set_elbo` once its networks are made.
    """

    # What Keras offers, and what of it makes no sense here.

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        given = {
            "loss": loss,
            "loss_weights": loss_weights,
            "metrics": metrics,
            "weighted_metrics": weighted_metrics,
        }
        feeding.refuse(
            given,
            "compile",
            "The loss is the negative ELBO, which comes with its terms: "
            "compile(optimizer=...). Weigh its KLs with the model's arguments.",
        )
        before = self.optimizer if self.compiled else None
        super().compile(optimizer, **kwargs)
        scheduled = any(callable(w) for w in self._kl_schedules())
        if (
            scheduled
            and before is not None
            and int(before.iterations) > int(self.optimizer.iterations)
        ):
            warnings.warn(
                "compile: with the new optimizer, which has taken no step, the "
                "schedules of the KL weights begin anew. To go on with them, "
                "call optimizer.iterations.assign("
                f"{int(before.iterations)}) first.",
                stacklevel=2,
            )

    def _kl_schedules(self) -> list[Any]:
        codec = self.elbo.codec
        return [level.kl_weight for level in (*codec.levels, codec.style)]

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        *args: Any,
        validation_data: Any = None,
        initial_step: int = 0,
        max_bad_steps: int = 0,
        replicas: Replicas = ALONE,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train, as `keras.Model.fit` does.

        Args:
            x: The batches.
            y: There are no targets.
            *args: Keras's.
            validation_data: Batches to measure after an epoch.
            initial_step: Steps of the first epoch that were taken before. `x`,
                a `tf.data.Dataset`, has the batches after them, and
                `steps_per_epoch` is that of a whole epoch.
            max_bad_steps: Go on after so many steps of which the loss or the
                gradient is not finite. None of them is taken (`bad_steps`).
            replicas: The workers that train the model together. All call
                `fit` with the same arguments, batches included, and each
                computes its share of every batch.
            **kwargs: Keras's.

        Raises:
            InputError: If batches or arguments are not what they must be, or
                the loss does not stay finite.
        """
        feeding.check_arguments("fit", y, kwargs)
        if validation_data is not None:
            validation_data = self._prepare(validation_data)
            validation_data = feeding.shared(validation_data, replicas)
            kwargs["validation_data"] = validation_data
        # Variables that are made while a step is traced cost a second trace.
        if self.compiled and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        steps = kwargs.get("steps_per_epoch"), self.steps_per_execution
        if max_bad_steps != self._bad_steps.most:
            self._bad_steps.most, self.train_function = max_bad_steps, None
        self._bad_steps.reset()
        try:
            with self._guarded(), self._trained_by(replicas):
                data = feeding.shared(self._prepare(x), replicas)
                data = feeding.rest(data, initial_step, *steps)
                if isinstance(data, dict):
                    some = data["observations"][:_SCALED]
                    checks.warn_of_scale(some, self.elbo.codec.likelihood)
                self._steps_to_pass = initial_step
                history = super().fit(data, None, *args, **kwargs)
        finally:
            self._steps_to_pass = 0
        # The loss of a step is finite before its update may be the last.
        checks.check_finite_weights(self.trainable_variables)
        return history

    def evaluate(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        feeding.check_arguments("evaluate", y, kwargs)
        with self._guarded():
            return super().evaluate(self._prepare(x), None, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        with self._guarded():
            return super().predict(self._prepare(x), *args, **kwargs)

    def _prepare(self, data: Any) -> Any:
        if tf.distribute.has_strategy() or self._distribute_strategy:
            raise InputError(
                "a tf.distribute strategy would divide the groups of a batch: "
                "its gradients would not be those of one process. Make and "
                "train the model outside its scope, with "
                "fit(..., replicas=mlvae_tf.replicas.Workers.join())."
            )
        return feeding.prepare(data, self.elbo.codec.observation_shape)

    @contextlib.contextmanager
    def _trained_by(self, replicas: Replicas) -> Iterator[None]:
        """Let workers train the model together."""
        if replicas.count == 1:
            yield
            return
        state = [*self.variables, self.optimizer.iterations]
        replicas.check_alike([v for v in state if v.dtype != "string"])
        self.train_function = self.test_function = None
        self._replicas = replicas
        self._expect_shares(replicas.count)
        try:
            yield
        finally:
            self._replicas = ALONE
            self.train_function = self.test_function = None

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        """Turn failed checks into `InputError`, and stay usable after them."""
        try:
            with guards.as_input_error():
                yield
        except Exception:
            # A function whose first trace failed would go on failing.
            self.train_function = None
            self.test_function = self.predict_function = None
            raise
        self.__dict__.pop("_iterators", None)

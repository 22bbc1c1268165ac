"""`fit`, `evaluate` and `predict` on batches of groups."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from tensorflow.python.util import _pywrap_util_port

from mlvae_tf import batches, checks, feeding, guards, noise, objective, whole
from mlvae_tf.batches import Batch, Part
from mlvae_tf.chunked import GROUP_PARTS, Chunked
from mlvae_tf.elbo import Elbo
from mlvae_tf.errors import InputError
from mlvae_tf.levels import LAST_STEP
from mlvae_tf.loop import Loop
from mlvae_tf.noise import Stream
from mlvae_tf.objective import Terms
from mlvae_tf.replicas import ALONE, Replicas
from mlvae_tf.replicated import Replicated
from mlvae_tf.steps import Step

_CONVOLUTIONS = (
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv1DTranspose,
    layers.Conv2DTranspose,
)
_SCALED = 1000  # Observations whose values are set against the likelihood's.

Weights = dict[str, float | tf.Tensor]


class GroupedTrainer(Loop):
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
        levels = [level.name for level in elbo.codec.levels]
        kls = [f"{name}_kl" for name in (*levels, elbo.codec.style.name)]
        names = "loss", "elbo", "reconstruction", *kls, "elbo_per_observation"
        self._trackers = [keras.metrics.Mean(name) for name in names]
        self._gradient_norm = keras.metrics.Mean("gradient_norm")
        self._train_sizes, self._test_sizes = batches.Sizes(), batches.Sizes()
        self._share_sizes = batches.Sizes()
        self._replicas: Replicas = ALONE
        self._max_bad_steps = 0
        # Past Keras, which would save it with the model.
        self.__dict__["_bad_steps"] = tf.Variable(0, False, dtype=tf.int64)
        self.__dict__["_bad_step"] = tf.Variable(-1, False, dtype=tf.int64)

    @property
    def bad_steps(self) -> int:
        """Steps of the last `fit` that were not taken, not being finite."""
        return int(self.__dict__["_bad_steps"])

    @property
    def last_bad_step(self) -> int:
        """Number of the last of them, from 0; -1 where there is none."""
        return int(self.__dict__["_bad_step"])

    def expect_batches(
        self, largest: Sequence[int], largest_tested: Sequence[int] = ()
    ) -> None:
        """Say how large batches will be, where that is known before `fit`.

        XLA then compiles a program for each of these sizes, and more only for
        batches of less than half. Without, it finds a size or two more.

        Args:
            largest: The largest batch of `fit`, and the largest last one.
            largest_tested: The same of `validation_data`.
        """
        self._train_sizes.expect(largest)
        self._test_sizes.expect(largest_tested)

    def kl_weights(self) -> Weights:
        """By level, the weight of its KL at the current step."""
        return self._kl_weights_at(self.optimizer.iterations)

    def _kl_weights_at(self, step: int | tf.Tensor) -> Weights:
        codec = self.elbo.codec
        return {
            level.name: level.weight_at(step, codec.dtype)
            for level in (*codec.levels, codec.style)
        }

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
        found = self._replicated().loss_and_gradients(part, self._told())
        apply = self._apply
        if self.compiles_step:
            apply = tf.function(apply, autograph=False, jit_compile=True)
        return apply(*found, part.all_ids)

    def _update_in_chunks(self, batch: Batch) -> tf.Tensor:
        found = self._chunked().loss_and_gradients(batch, self._told())
        return self._apply(*found, batch.segment_ids)

    def _test(self, part: Part) -> tf.Tensor:
        seed = self._seed(Stream.TEST)
        if self._replicas is ALONE:
            terms = whole.mean_terms(self.elbo, part, seed)
        else:
            terms = self._replicated().mean_terms(part, seed)
        return self._report_test(terms, part.all_ids)

    def _test_in_chunks(self, batch: Batch) -> tf.Tensor:
        terms = self._chunked().mean_terms(batch, self._seed(Stream.TEST))
        return self._report_test(terms, batch.segment_ids)

    def _chunked(self) -> Chunked:
        pads = not self._own_networks
        return Chunked(self.elbo, self.compiles_step, pads, self._replicas)

    def _replicated(self) -> Replicated:
        return Replicated(self.elbo, self._replicas, self.compiles_step)

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
        segment_ids: batches.SegmentIds,
    ) -> tf.Tensor:
        variables = self.trainable_variables
        good = guards.all_finite([loss, *gradients])

        def apply() -> tf.Tensor:
            self._report_norm(gradients)
            self.optimizer.apply_gradients(zip(gradients, variables))
            return self._report(loss, terms, segment_ids)

        def pass_over() -> tf.Tensor:
            count = self._bad_steps.assign_add(1)
            step = tf.cast(self.optimizer.iterations, tf.int64)
            self._bad_step.assign(step)
            if self._max_bad_steps:  # The data and schedules go on.
                self.optimizer.iterations.assign_add(1)
            too_many = count > self._max_bad_steps
            return tf.where(too_many, tf.cast(float("nan"), loss.dtype), 0)

        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            return apply()  # It passes over such gradients itself.
        return tf.cond(good, apply, pass_over)

    def _report_norm(self, gradients: list[tf.Tensor]) -> None:
        """Of the gradient, before the optimizer clips it."""
        dtype = self.elbo.codec.dtype  # That of all but a user's networks.
        there = [tf.cast(one, dtype) for one in gradients if one is not None]
        norm = tf.linalg.global_norm(there)
        norm /= tf.cast(self.optimizer.scale_loss(1.0), norm.dtype)
        finite = tf.math.is_finite(norm)  # Scaled losses may overflow.
        self._gradient_norm.update_state(
            tf.where(finite, norm, 0), tf.cast(finite, norm.dtype)
        )

    def _report_test(
        self, terms: Terms, segment_ids: batches.SegmentIds
    ) -> tf.Tensor:
        # Not those of the step, under which no two epochs would compare.
        loss = objective.loss(terms, self._kl_weights_at(LAST_STEP))
        return self._report(loss, terms, segment_ids)

    def _report(
        self, loss: tf.Tensor, terms: Terms, segment_ids: batches.SegmentIds
    ) -> tf.Tensor:
        groups = batches.num_groups(segment_ids)
        rows = batches.num_rows(segment_ids)
        values = loss, terms.elbo, terms.reconstruction, *terms.kl.values()
        *of_groups, of_rows = self._trackers
        for tracker, value in zip(of_groups, values, strict=True):
            tracker.update_state(value, sample_weight=groups)
        shared = terms.elbo * tf.cast(groups / rows, loss.dtype)
        of_rows.update_state(shared, sample_weight=rows)
        return loss

    def _step(
        self,
        data: Any,
        step: Callable[[Part], tf.Tensor],
        step_in_chunks: Callable[[Batch], tf.Tensor],
        sizes: batches.Sizes,
    ) -> dict[str, tf.Tensor]:
        """Number the groups outside XLA, which has no strings; then compute."""
        observations, group_ids = feeding.unpack(data)
        in_chunks = isinstance(observations, tf.data.Dataset)
        elements = observations.element_spec if in_chunks else observations
        codec, share = self.elbo.codec, feeding.share(data)
        names = tuple(level.name for level in codec.levels)
        group_ids = checks.by_level(group_ids, names)
        own_ids = group_ids if share is None else None
        checks.check_shapes(elements, codec.observation_shape, own_ids)
        segment_ids = batches.number(group_ids, codec.parents)
        whole_ids = feeding.whole_ids(data)
        first_ids = batches.first(segment_ids)
        num_rows = tf.size(first_ids)
        if in_chunks:
            num_rows = batches.padded(num_rows, GROUP_PARTS)
        elif self._pads:
            num_rows = sizes.take(num_rows)
        if whole_ids is not None:
            whole_ids = batches.wholes(whole_ids, first_ids, num_rows)
        if in_chunks:
            chunks = observations.map(self._ready)
            chunks = feeding.without_autotuning(chunks)
            rows = () if share is None else (None, share[0], share[1])
            loss = step_in_chunks(Batch(chunks, segment_ids, whole_ids, *rows))
        else:
            part = Part(
                self._ready(observations), segment_ids, whole_ids=whole_ids
            )
            part = self._own(part, share, num_rows)
            if self.compiles_step and self._replicas is ALONE:
                # Autograph has nothing to convert, and takes a second to see.
                step = tf.function(step, autograph=False, jit_compile=True)
            loss = step(part)
        guards.assert_finite(loss)
        return {tracker.name: tracker.result() for tracker in self._trackers}

    def _own(
        self, part: Part, share: tf.Tensor | None, num_rows: tf.Tensor
    ) -> Part:
        """All rows of a batch, or a worker's, and padding where that is wanted.

        Args:
            part: Observations, and the segment ids of the whole batch.
            share: From which row to which the observations are, if not all.
            num_rows: What to pad the batch to.
        """
        if share is None:
            return batches.pad(part, num_rows) if self._pads else part
        of_batch, (start, stop) = part.segment_ids, tf.unstack(share)
        part = part._replace(
            segment_ids=batches.cut(of_batch, start, stop),
            start=tf.cast(start, tf.int32),
        )
        if self._pads:
            size = self._share_sizes.take(tf.size(part.first_ids))
            part = batches.pad(part, size)
            extra = num_rows - tf.size(batches.first(of_batch))
            of_batch = batches.pad_ids(of_batch, extra)
        return part._replace(batch_ids=of_batch)

    def _ready(self, observations: tf.Tensor) -> tf.Tensor:
        observations = tf.cast(observations, self.variable_dtype)
        return guards.assert_values(observations, self.elbo.codec.likelihood)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        if not self.trainable_variables:
            warnings.warn(
                "The model does not have any trainable weights.", stacklevel=2
            )
            return self.test_step(data)
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        reported = self._step(
            data, self._update, self._update_in_chunks, self._train_sizes
        )
        norm = self._gradient_norm
        return {**reported, norm.name: norm.result()}

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        return self._step(
            data, self._test, self._test_in_chunks, self._test_sizes
        )

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
        if max_bad_steps != self._max_bad_steps:
            self._max_bad_steps, self.train_function = max_bad_steps, None
        self._bad_steps.assign(0)
        self._bad_step.assign(-1)
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

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*self._trackers, self._gradient_norm]

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

    @property
    def _pads(self) -> bool:
        return self.compiles_step and not self._own_networks

    def _resolve_auto_jit_compile(self) -> bool:
        # Keras's "auto" leaves XLA out on CPUs, where it pays as well.
        if self._distribute_strategy is not None or self._own_networks:
            return False
        codec = self.elbo.codec
        parts = (*codec.encoder.layers, *codec.decoder.layers)
        convolves = any(isinstance(part, _CONVOLUTIONS) for part in parts)
        return not (convolves and _has_fast_convolutions())


def _has_fast_convolutions() -> bool:
    """Whether TensorFlow's convolutions are faster than XLA's: oneDNN's are."""
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    return not on_gpu and _pywrap_util_port.IsMklEnabled()

"""The subjects of `step.py` that run on TensorFlow."""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import turns
from step_shapes import COLOURS, DIM, HIDDEN, SIDE, products
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from mlvae_tf import MLVAE, guards, likelihoods, noise, objective
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.pipeline import make_dataset
from mlvae_tf.data.sampling import Batching
from mlvae_tf.layers import NormalHead
from mlvae_tf.networks import Architecture, mlp_decoder, mlp_encoder
from mlvae_tf.noise import Stream
from mlvae_tf.runs import fitting

SHAPE = 28, 28, 1
OBSERVATIONS = 20_480
FOREVER = 1_000_000


class PlainVAE(keras.Model):
    """The same networks and likelihood; every observation for itself.

    It checks its input as `MLVAE` does, and XLA compiles its step in the same
    way, which takes less than Keras's own `jit_compile`. It has two heads as
    well: one of twice the width makes a step of 1,024 longer by a tenth.
    """

    def __init__(self) -> None:
        super().__init__()
        policy = keras.config.dtype_policy()
        spec = Architecture(SHAPE, 2 * DIM, SHAPE, (HIDDEN,), "tanh", policy)
        self.encoder, self.decoder = mlp_encoder(spec), mlp_decoder(spec)
        self.heads = [NormalHead(DIM), NormalHead(DIM)]
        features = self.encoder(tf.zeros([1, *SHAPE]))
        for head in self.heads:
            head(features)
        self.decoder(tf.zeros([1, 2 * DIM]))
        self.likelihood = likelihoods.Bernoulli()
        self.tracker = keras.metrics.Mean("loss")

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.tracker]

    def train_step(self, data: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)
        observations = guards.assert_values(
            data["observations"], self.likelihood
        )
        update = tf.function(self.update, autograph=False, jit_compile=True)
        update(observations)
        return {"loss": self.tracker.result()}

    def update(self, x: tf.Tensor) -> None:
        of_step = noise.of_step(0, Stream.TRAINING, self.optimizer.iterations)
        seeds = noise.split(of_step)
        with tf.GradientTape() as tape:
            features = self.encoder(x)
            latents, kl = [], 0.0
            for head, seed in zip(self.heads, seeds):
                posterior = head(features)
                loc, scale = posterior.loc, posterior.scale
                draws = noise.normal(seed, tf.shape(x)[0], DIM)
                latents.append(loc + scale * draws)
                kl += objective.standard_normal_kl(loc, scale)
            parameters = self.decoder(tf.concat(latents, axis=-1))
            likelihood = self.likelihood.of_observations(parameters)
            log_likelihood = likelihood.log_prob(x)
            loss = tf.reduce_mean(kl - log_likelihood)
        variables = self.trainable_variables
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, variables), variables)
        )
        self.tracker.update_state(loss)


class Turns(keras.callbacks.Callback):
    """Wait for a turn before every epoch, and report what it took."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not turns.next_turn():
            os._exit(0)
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        turns.answer(time.perf_counter() - self._began)


def batches(
    size: int,
    num_groups: int,
    shape: tuple[int, ...] = SHAPE,
    count: int = OBSERVATIONS,
) -> tf.data.Dataset:
    """As train.py reads them: so many observations of so many groups."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, *shape), np.uint8)
    data = GroupedData.of(images, np.arange(count) % num_groups)
    return _read(data, size, num_groups)


def _read(data: GroupedData, size: int, num_groups: int) -> tf.data.Dataset:
    each, rest = divmod(size, num_groups)
    how = Batching(num_groups, each, size if rest else None)
    return make_dataset(data, how, seed=0, epochs=FOREVER)


def train(
    model: keras.Model,
    data: tf.data.Dataset,
    steps: int,
    callback: Any,
    jit_compile: bool | str = True,
) -> None:
    """Epochs of so many steps."""
    model.compile(
        keras.optimizers.Adam(1e-3),
        # Keras would compile the plain one's check too, which XLA can't.
        jit_compile=jit_compile if isinstance(model, MLVAE) else False,
        steps_per_execution=fitting.MAX_STEPS_AT_ONCE,
    )
    model.fit(
        data,
        epochs=FOREVER,
        steps_per_epoch=steps,
        verbose=0,
        shuffle=False,
        callbacks=[callback],
    )


def ours(size: int, num_groups: int, steps: int) -> None:
    model = MLVAE(SHAPE, DIM, DIM, hidden_units=HIDDEN, seed=0)
    train(model, batches(size, num_groups), steps, Turns())


def two_levels(size: int, num_groups: int, steps: int) -> None:
    """Of two levels, crossed, with half of the dimensions each."""
    half = {"person": DIM // 2, "light": DIM - DIM // 2}
    model = MLVAE(
        SHAPE, levels=half, style_dim=DIM, hidden_units=HIDDEN, seed=0
    )
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (OBSERVATIONS, *SHAPE), np.uint8)
    people, lights = np.divmod(np.arange(OBSERVATIONS), num_groups)
    ids = {"person": people % num_groups, "light": lights}
    data = GroupedData.of(images, ids)
    train(model, _read(data, size, num_groups), steps, Turns())


def convolutions(
    size: int, num_groups: int, steps: int, jit_compile: bool | str = "auto"
) -> None:
    """64x64x3 with `trunk="conv"`."""
    shape = SIDE, SIDE, COLOURS
    model = MLVAE(shape, DIM, DIM, trunk="conv", hidden_units=HIDDEN, seed=0)
    data = batches(size, num_groups, shape, 20 * size)
    train(model, data, steps, Turns(), jit_compile)


def convolutions_xla(size: int, num_groups: int, steps: int) -> None:
    convolutions(size, num_groups, steps, jit_compile=True)


def bfloat16(size: int, num_groups: int, steps: int) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    ours(size, num_groups, steps)


def plain(size: int, num_groups: int, steps: int) -> None:
    train(PlainVAE(), batches(size, num_groups), steps, Turns())


def alone(size: int, num_groups: int, steps: int) -> None:
    """The matrix products of a step, and nothing else."""
    pairs = [
        [tf.random.normal(shape) for shape in pair] for pair in products(size)
    ]

    @tf.function(jit_compile=True)
    def multiply(pairs: list[list[tf.Tensor]]) -> list[tf.Tensor]:
        return [tf.matmul(*pair) for pair in pairs]

    while steps := turns.next_turn():
        began = time.perf_counter()
        for _ in range(steps):
            multiply(pairs)[-1].numpy()
        turns.answer(time.perf_counter() - began)


def seconds_of(profile: pathlib.Path, name: str) -> float:
    """What operations took whose name begins so."""
    space = xplane_pb2.XSpace.FromString(profile.read_bytes())
    return sum(
        event.duration_ps * 1e-12
        for plane in space.planes
        for line in plane.lines
        for event in line.events
        if plane.event_metadata[event.metadata_id].name.startswith(name)
    )


def waiting(size: int, num_groups: int, steps: int) -> None:
    """Answer the share of `fit` that waits for a batch, by the profiler."""
    folder = tempfile.mkdtemp()

    class Profile(Turns):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            super().on_epoch_begin(epoch, logs)
            tf.profiler.experimental.start(folder)
            self._began = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seconds = time.perf_counter() - self._began
            tf.profiler.experimental.stop()
            found = sorted(pathlib.Path(folder).rglob("*.xplane.pb"))[-1]
            turns.answer(seconds_of(found, "IteratorGetNext") / seconds)

    model = MLVAE(SHAPE, DIM, DIM, hidden_units=HIDDEN, seed=0)
    train(model, batches(size, num_groups), steps, Profile())


SUBJECTS: dict[str, Callable[[int, int, int], None]] = {
    subject.__name__: subject
    for subject in (
        ours,
        two_levels,
        bfloat16,
        plain,
        alone,
        waiting,
        convolutions,
        convolutions_xla,
    )
}

if __name__ == "__main__":
    subject, *numbers = sys.argv[1:]
    SUBJECTS[subject](*map(int, numbers))

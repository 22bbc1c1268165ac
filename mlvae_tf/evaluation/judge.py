"""Who names the group: of real observations, never having seen a model."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from mlvae_tf import noise, progress
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.pipeline import reader
from mlvae_tf.evaluation.classifiers import fit_probe
from mlvae_tf.evaluation.probes import MAX_PROBE_OBSERVATIONS
from mlvae_tf.evaluation.representations import filled, flat

BATCH_SIZE = 128
PASSES = 10
MIN_STEPS, MAX_STEPS = 300, 1500
MAX_SIDE = 32  # Pixels; images are averaged until they have no more.
STEPS_AT_ONCE = 10  # Between two returns to Python, which cost time.


class Judge:
    """Names the group of observations.

    A small convolutional network for images, a probe for other shapes. It
    reads 0 for a value that is not known. Large images it sees reduced: by
    detail it names real ones better, and misjudges drawn ones, which are
    smoother.

    Args:
        data: Real observations to learn from.
        seed: Seed of weights and batches.
    """

    def __init__(self, data: GroupedData, seed: int) -> None:
        self.groups = data.groups
        shape = data.observations.shape[1:]
        if len(shape) == 3 and min(shape[:2]) >= 8:
            batches = PASSES * len(data) // BATCH_SIZE
            steps = min(max(batches, MIN_STEPS), MAX_STEPS)
            self._network = _network(shape, len(self.groups), steps, seed)
            _train(self._network, data, steps, seed)
        else:
            self._network = None
            some = data.sample(MAX_PROBE_OBSERVATIONS, seed)
            values = flat(some.values())
            self._probe = fit_probe(values, some.group_ids, seed)

    def names(self, observations: np.ndarray) -> np.ndarray:
        """The group of each of `[N, *observation_shape]`, a model's values."""
        if self._network is None:
            return self._probe.names(flat(observations))
        outputs = self._network.predict(
            filled(observations), batch_size=1024, verbose=0
        )
        return self.groups[outputs.argmax(axis=1)]


def _network(
    shape: tuple[int, ...], num_groups: int, steps: int, seed: int
) -> keras.Sequential:
    keras.utils.set_random_seed(seed)
    network = keras.Sequential(name="judge")
    network.add(keras.Input(shape))
    sides = shape[:2]
    while max(sides) > MAX_SIDE:
        pool = tuple(2 if side > MAX_SIDE else 1 for side in sides)
        network.add(layers.AveragePooling2D(pool, padding="same"))
        sides = network.output_shape[1:3]
    network.add(_convolution(5, strides=2))
    network.add(_convolution(3))
    network.add(layers.MaxPooling2D())
    network.add(layers.Flatten())
    network.add(layers.Dropout(0.3))
    network.add(layers.Dense(128, activation="relu"))
    network.add(layers.Dense(num_groups))
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    network.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=STEPS_AT_ONCE,
        jit_compile=False,  # On CPUs, XLA's convolutions are slow.
    )
    return network


def _convolution(size: int, strides: int = 1) -> layers.Layer:
    return layers.Conv2D(
        32, size, strides=strides, padding="same", activation="relu"
    )


def _train(
    network: keras.Sequential,
    data: GroupedData,
    steps: int,
    seed: int,
) -> None:
    generator = noise.generator(seed, noise.Stream.JUDGE)
    passes = -(-steps * BATCH_SIZE // len(data))
    order = np.concatenate(
        [generator.permutation(len(data)) for _ in range(passes)]
    )[: steps * BATCH_SIZE]
    read = reader(data)
    batches = (
        tf.data.Dataset.from_tensor_slices((order, data.group_index[order]))
        .batch(BATCH_SIZE)
        .map(lambda rows, labels: (_filled(read(rows)), labels))
        .prefetch(2)
    )
    with progress.bar(steps, "the judge learns", "step") as shown:
        update = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: shown.update(
                batch + 1 - shown.n
            )
        )
        network.fit(batches, shuffle=False, verbose=0, callbacks=[update])


def _filled(values: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.math.is_nan(values), 0.0, values)

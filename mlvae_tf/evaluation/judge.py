"""Does a swapped observation bear the group that gave its content?

A judge learns to name the group from real training observations, and never
sees the model. It is asked about observations with one group's content and
another group's style.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from mlvae_tf import noise, progress
from mlvae_tf.data.grouped import GroupedData
from mlvae_tf.data.pipeline import reader
from mlvae_tf.data.splits import Splits
from mlvae_tf.evaluation.asked import choose
from mlvae_tf.evaluation.bootstrap import estimate
from mlvae_tf.evaluation.classifiers import fit_probe
from mlvae_tf.evaluation.posteriors import CHUNK, Counts, Posteriors, in_words
from mlvae_tf.evaluation.probes import MAX_PROBE_OBSERVATIONS
from mlvae_tf.evaluation.representations import filled, flat
from mlvae_tf.model import MLVAE

MAX_SWAPS = 2000
BATCH_SIZE = 128
PASSES = 10
MIN_STEPS, MAX_STEPS = 300, 1500
POOLED_TO = 16  # Pixels a side, before the second convolution.
STEPS_AT_ONCE = 10  # Between two returns to Python, which cost time.


class Judge:
    """Names the group of observations.

    A small convolutional network for images, a probe for other shapes. It
    reads 0 for a value that is not known.

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
    network.add(_convolution(5, strides=2))
    while max(sides := network.output_shape[1:3]) > POOLED_TO:
        pool = tuple(2 if side > POOLED_TO else 1 for side in sides)
        network.add(layers.MaxPooling2D(pool, padding="same"))
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


def measure(
    model: MLVAE,
    judges: dict[str, Judge],
    held_out: GroupedData,
    posteriors: Posteriors,
    counts: Counts,
    seed: int,
) -> dict[str, Any]:
    """Ask the judge about swaps between held-out observations.

    For every k, contents of k accumulated observations meet styles of single
    observations of other groups, at most 2,000 pairs. With several levels
    contents are those of the observations' first one, and what they meet is
    all else that single observations say.

    Args:
        model: The model.
        judges: By level; who swaps are asked of is the observations' first
            level's.
        held_out: Real observations, of groups that the judge knows.
        posteriors: Theirs.
        counts: The k; None is all of a group's.
        seed: Seed of the pairs.

    Returns:
        `judge_accuracy` on the real observations; by k, `content_group` and
        `style_group`, the fractions that are given the group of the content
        donor and of the style donor; and with several levels `kept`, by every
        other one with a judge, the fraction that its judge gives the group of
        the style donor, of contents of the last k. All are estimates.
    """
    judge = judges[held_out.level]
    named = np.concatenate(
        [judge.names(values) for values, _ in held_out.chunks(CHUNK)]
    )
    by_content, by_style = {}, {}
    generator = noise.generator(seed, noise.Stream.SWAPS)
    decode = _Receivers(model, held_out, posteriors)
    group_ids = posteriors.group_ids
    kept: dict[str, Any] = {}
    for count in counts:
        sets = posteriors.deal(count, generator)
        if len(np.unique(sets.group_ids)) < 2:
            continue
        contents = posteriors.accumulate(sets.rows, sets.set_ids).loc.numpy()
        size = min(MAX_SWAPS, max(len(contents), len(group_ids)))
        donors = generator.permutation(
            np.resize(np.arange(len(contents)), size)
        )
        receivers = generator.integers(0, len(group_ids), size)
        apart = sets.group_ids[donors] != group_ids[receivers]
        donors, receivers = donors[apart], receivers[apart]
        swapped = decode(contents[donors], receivers)
        swapped_as = judge.names(swapped)
        by_content[in_words(count)] = estimate(
            swapped_as == sets.group_ids[donors]
        )
        by_style[in_words(count)] = estimate(swapped_as == group_ids[receivers])
        kept = _kept(judges, held_out, receivers, swapped)
    found = {
        "judge_accuracy": estimate(named == held_out.group_ids),
        "content_group": by_content,
        "style_group": by_style,
    }
    return {**found, "kept": kept} if kept else found


class _Receivers:
    """What single observations say, to be drawn with other contents.

    Args:
        model: The model.
        data: The observations, whose first level is the contents'.
        posteriors: Theirs.
    """

    def __init__(
        self, model: MLVAE, data: GroupedData, posteriors: Posteriors
    ) -> None:
        self._model, self._level = model, data.level
        self._styles = posteriors.style.loc.numpy()
        self._others = None
        if len(model.levels) > 1:
            self._others = {
                level.name: Posteriors.of(model, data.on(level.name)).content
                for level in model.codec.drawn
                if level.name != data.level
            }

    def __call__(self, contents: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Draw some of them with these contents, `[n, *observation_shape]`."""
        given: Any = tf.constant(contents)
        if self._others is not None:
            given = {self._level: given} | {
                name: tf.gather(other.loc, rows)
                for name, other in self._others.items()
            }
        drawn = self._model.decode(given, tf.constant(self._styles[rows]))
        return drawn.mean().numpy()


def _kept(
    judges: dict[str, Judge],
    data: GroupedData,
    rows: np.ndarray,
    swapped: np.ndarray,
) -> dict[str, Any]:
    """By other level, how often swaps are given the group of the receiver.

    Args:
        judges: By level.
        data: Observations, whose first level is the contents'.
        rows: The receiver of each swap among them.
        swapped: The swaps, as many.
    """
    found = {}
    for level, judge in judges.items():
        ids = data.levels[level].ids[rows]
        known = np.isin(ids, judge.groups)
        if level != data.level and known.any():
            named = judge.names(swapped[known])
            found[level] = estimate(named == ids[known])
    return found


def of_levels(
    model: MLVAE, splits: Splits, counts: Counts, seed: int
) -> dict[str, dict[str, Any]]:
    """Ask about swaps of every level that the decoder reads.

    Args:
        model: The model.
        splits: The data that it was trained with.
        counts: The k; None is all of a group's.
        seed: Seed of judges and pairs.

    Returns:
        By level that has two groups to tell apart, what `measure` finds.
    """
    held_out = splits.evaluation
    if held_out is None:
        return {}
    judges: dict[str, Judge] = {}
    rows = {}
    for name in (level.name for level in model.codec.drawn):
        chosen = choose(splits.train.on(name), held_out.on(name), seed)
        if len(chosen.some.groups) > 1:
            judges[name] = Judge(chosen.train, seed)
            rows[name] = chosen.rows
    found = {}
    for name in judges:
        asked = held_out.on(name)[rows[name]]
        posteriors = Posteriors.of(model, asked)
        found[name] = measure(model, judges, asked, posteriors, counts, seed)
    return found

"""What a step in chunks costs, and how exact it is.

    python benchmarks/chunks.py

trains an MLP 784-500-(10+10)-500-784 with Bernoulli likelihood on one group in
one batch, in chunks and whole, by turns: the time of a step, and how far the
gradients are apart in float32 (ten ragged groups in one batch). Then the peak
memory of a process that takes steps on a large group with that of one on a
small group, in chunks, the observations made up as they are read. Prints a
Markdown table.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

import json
import time
from typing import Any

import numpy as np
from absl import app, flags
from pictures import SHAPE, random_groups
from shared import (
    median_and_range,
    memory_of,
    peak_memory,
    print_table,
)

from mlvae_tf.runs import command_line

_OBSERVATIONS = flags.DEFINE_integer(
    "observations", 16_384, "Observations of the batch that is timed."
)
_CHUNK_SIZE = flags.DEFINE_integer("chunk_size", 1024, "As train.py's.")
_TURNS = flags.DEFINE_integer("turns", 9, "Steps of each of the two.")
_SIZES = flags.DEFINE_list(
    "sizes", ["10000", "1000000"], "Observations whose memory is compared."
)
_MEMORY_OF = flags.DEFINE_integer(
    "memory_of",
    None,
    "Only take two steps on a group of so many, and print the peak in MiB.",
)


def make_model() -> Any:
    import keras

    from mlvae_tf.model import MLVAE

    model = MLVAE(SHAPE, seed=0)
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def batch_of(size: int, num_groups: int, chunk_size: int | None) -> Any:
    """A dataset of one batch again and again, read as train.py reads it."""
    from mlvae_tf.data.pipeline import make_dataset
    from mlvae_tf.data.sampling import Batching

    data, batches = random_groups(size, num_groups), Batching(num_groups, size)
    return make_dataset(data, batches, 0, 10_000, chunk_size=chunk_size)


def seconds() -> dict[str, np.ndarray]:
    """Seconds of a step in `fit`, by turn."""
    size = _OBSERVATIONS.value
    times: dict[str, list[float]] = {"whole": [], "in chunks": []}
    models = {name: make_model() for name in times}
    datasets = dict(
        zip(times, (batch_of(size, 1, c) for c in (None, _CHUNK_SIZE.value)))
    )
    iterators = {name: datasets[name].repeat() for name in times}
    for turn in range(-1, _TURNS.value):  # The first one compiles.
        for name in times:
            began = time.perf_counter()
            models[name].fit(
                iterators[name], steps_per_epoch=3, epochs=1, verbose=0
            )
            if turn >= 0:
                times[name].append((time.perf_counter() - began) / 3)
    return {name: np.array(values) for name, values in times.items()}


def errors() -> np.ndarray:
    """Relative difference of every variable's gradient, in norm."""
    import tensorflow as tf

    from mlvae_tf import batches, whole
    from mlvae_tf.chunked import Chunked
    from mlvae_tf.steps import Step

    model = make_model()
    size = _OBSERVATIONS.value
    (one,) = batch_of(size, 10, None).take(1)
    (parts,) = batch_of(size, 10, _CHUNK_SIZE.value).take(1)
    level = model.levels[0].name
    segment_ids = batches.number({level: one["group_ids"]})
    step = Step(
        model.kl_weights(), tf.constant([1, 2]), model.trainable_variables, []
    )
    _, _, found = Chunked(model.elbo).loss_and_gradients(
        batches.Batch(parts["observations"], segment_ids), step
    )

    @tf.function(jit_compile=True)
    def expected() -> list[tf.Tensor]:
        part = batches.Part(one["observations"], segment_ids)
        return whole.loss_and_gradients(model.elbo, part, step)[2]

    return np.array(
        [
            np.linalg.norm(one - other) / np.linalg.norm(other)
            for one, other in zip(found, expected())
        ]
    )


def print_own_memory(size: int) -> None:
    """Take two steps on a group of so many and print this process's peak."""
    dataset = batch_of(size, 1, _CHUNK_SIZE.value)
    make_model().fit(dataset, steps_per_epoch=2, verbose=0)
    print(json.dumps(peak_memory()))


def main(arguments: list[str]) -> None:
    del arguments
    command_line.import_tensorflow()
    if _MEMORY_OF.value:
        print_own_memory(_MEMORY_OF.value)
        return
    lines = [["", "median", "range"]]
    times = seconds()
    for name, values in times.items():
        lines.append(
            [f"seconds per step, {name}", *median_and_range(values, 3)]
        )
    ratios = times["in chunks"] / times["whole"]
    lines.append(["ratio of a turn", *median_and_range(ratios, 3)])
    name = "gradient, relative difference, of the variables"
    apart = errors()
    spread = [f"{f(apart):.1e}" for f in (np.median, np.min, np.max)]
    lines.append([name, spread[0], f"{spread[1]} to {spread[2]}"])
    flag = f"--chunk_size={_CHUNK_SIZE.value}"
    peaks = [memory_of(__file__, int(size), flag) for size in _SIZES.value]
    for size, peak in zip(_SIZES.value, peaks):
        name = f"peak memory, a group of {int(size):,}, MiB"
        lines.append([name, f"{peak:,.0f}", ""])
    lines.append(["ratio", f"{peaks[-1] / peaks[0]:.3f}", ""])
    print_table(lines)


if __name__ == "__main__":
    app.run(main)

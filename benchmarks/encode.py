"""What encode.py costs beside the encoder: throughput and memory.

    python benchmarks/encode.py

compares, with the networks of the preset mnist_5k and 28x28 images, the
streaming of a dataset into a content store with the encoder alone on batches
that lie ready in memory, the two by turns; and the peak memory of a process
that encodes many observations with that of one that encodes few, in as many
groups. The observations are made up as they are read, so that neither a disk
nor a decoder is measured. Prints a Markdown table.
"""

from __future__ import annotations

__flags_first__ = True  # See mlvae_tf/__init__.py.

import contextlib
import functools
import json
import time
from collections.abc import Callable

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
    "observations", 200_000, "Observations of a turn."
)
_TURNS = flags.DEFINE_integer("turns", 7, "Turns of each of the two.")
_BATCH_SIZE = flags.DEFINE_integer("batch_size", 1024, "As encode.py's.")
_GROUPS = flags.DEFINE_integer("groups", 1000, "Groups.")
_SIZES = flags.DEFINE_list(
    "sizes", ["100000", "10000000"], "Observations whose memory is compared."
)
_MEMORY_OF = flags.DEFINE_integer(
    "memory_of", None, "Only encode so many, and print the peak memory in MiB."
)


def throughput() -> dict[str, np.ndarray]:
    """Observations per second of either, by turn."""
    import tensorflow as tf
    import tqdm

    from mlvae_tf.model import MLVAE
    from mlvae_tf.store import encoding
    from mlvae_tf.store.layout import Layout

    model = MLVAE(SHAPE, hidden_units=(500, 500), activation="relu")
    data, size = (
        random_groups(_OBSERVATIONS.value, _GROUPS.value),
        _BATCH_SIZE.value,
    )
    propose = functools.partial(encoding.propose, model)
    step = encoding.compile_step(propose, size, model.codec.likelihood)
    bare = tf.function(propose, jit_compile=True)
    layout, whole = Layout.of(model), len(data) // size
    ready = [
        tf.constant(data.values(slice(start, start + size)))
        for start in range(0, min(whole, 20) * size, size)
    ]

    def encode_ready() -> int:
        for number in range(whole):
            for parts in bare(ready[number % len(ready)]).values():
                for part in parts:
                    part.numpy()
        return whole * size

    def stream() -> int:
        bar = tqdm.tqdm(disable=True)
        with contextlib.closing(bar):
            encoding.encode_part(model, data, layout, step, size, bar)
        return len(data)

    return by_turns({"encoder alone": encode_ready, "encode.py": stream})


def by_turns(works: dict[str, Callable[[], int]]) -> dict[str, np.ndarray]:
    """Per second of each, how many observations it says that it did."""
    rates: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(-1, _TURNS.value):  # The first one compiles.
        for name, work in works.items():
            began = time.perf_counter()
            count = work()
            if turn >= 0:
                rates[name].append(count / (time.perf_counter() - began))
    return {name: np.array(values) for name, values in rates.items()}


def print_own_memory(size: int) -> None:
    """Encode so many observations and print this process's peak, in MiB."""
    from mlvae_tf.model import MLVAE
    from mlvae_tf.store import encoding

    model = MLVAE(SHAPE, hidden_units=64)
    data = random_groups(size, _GROUPS.value)
    stores = encoding.encode(model, [data], _BATCH_SIZE.value)
    store = stores.tables["content"]
    if store.counts.sum() != size:
        raise ValueError(f"{store.counts.sum()} of {size} were encoded.")
    print(json.dumps(peak_memory()))


def main(arguments: list[str]) -> None:
    del arguments
    command_line.import_tensorflow()
    if _MEMORY_OF.value:
        print_own_memory(_MEMORY_OF.value)
        return
    rates = throughput()
    alone, streamed = rates.values()
    lines = [["", "median", "range"]]
    for name, values in rates.items():
        lines.append([f"{name}, observations/s", *median_and_range(values, 0)])
    lines.append(["ratio of a turn", *median_and_range(streamed / alone, 3)])
    settings = f"--groups={_GROUPS.value}", f"--batch_size={_BATCH_SIZE.value}"
    peaks = [memory_of(__file__, int(s), *settings) for s in _SIZES.value]
    for size, peak in zip(_SIZES.value, peaks):
        name = f"peak memory, {int(size):,} observations, MiB"
        lines.append([name, f"{peak:,.0f}", ""])
    lines.append(["ratio", f"{peaks[-1] / peaks[0]:.3f}", ""])
    print_table(lines)


if __name__ == "__main__":
    app.run(main)

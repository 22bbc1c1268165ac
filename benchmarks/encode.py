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
import pathlib
import subprocess
import sys
import time
from typing import Any

import numpy as np
from absl import app, flags

from mlvae_tf import command_line

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
SHAPE = 28, 28, 1


class Pictures:
    """Observations `[size, 28, 28, 1]` that take the memory of a few."""

    dtype = np.dtype(np.uint8)

    def __init__(self, size: int) -> None:
        self.shape = (size, *SHAPE)
        generator = np.random.default_rng(0)
        self._some = generator.integers(0, 256, (10_007, *SHAPE), np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> np.ndarray:
        start, stop, _ = rows.indices(len(self))
        return self._some[np.arange(start, stop) % len(self._some)]


def random_groups(size: int) -> Any:
    """So many observations in random groups, as `GroupedData`."""
    from mlvae_tf.data.grouping import GroupedData

    groups = np.arange(_GROUPS.value)
    generator = np.random.default_rng(1)
    index = generator.integers(0, len(groups), size, np.int32)
    return GroupedData(Pictures(size), groups, index)


def throughput() -> dict[str, np.ndarray]:
    """Observations a second of either, by turn."""
    import tensorflow as tf
    import tqdm

    from mlvae_tf import encoding
    from mlvae_tf.model import MLVAE

    model = MLVAE(SHAPE, hidden_units=(500, 500), activation="relu")
    data, size = random_groups(_OBSERVATIONS.value), _BATCH_SIZE.value
    propose = functools.partial(encoding.propose, model)
    step = encoding.compile_step(propose, size)
    bare = tf.function(propose, jit_compile=True)
    whole = len(data) // size
    ready = [
        tf.constant(data.observations[start : start + size] / np.float32(255))
        for start in range(0, min(whole, 20) * size, size)
    ]

    def encode_ready() -> int:
        for number in range(whole):
            for part in bare(ready[number % len(ready)]):
                part.numpy()
        return whole * size

    def stream() -> int:
        bar = tqdm.tqdm(disable=True)
        with contextlib.closing(bar):
            encoding.encode_part(model, data, step, size, bar)
        return len(data)

    rates = {"encoder alone": [], "encode.py": []}
    for turn in range(-1, _TURNS.value):  # The first one compiles.
        for name, work in zip(rates, (encode_ready, stream)):
            began = time.perf_counter()
            count = work()
            if turn >= 0:
                rates[name].append(count / (time.perf_counter() - began))
    return {name: np.array(values) for name, values in rates.items()}


def memory(size: int) -> float:
    """Peak memory of a process that encodes so many observations, in MiB."""
    command = [sys.executable, __file__, f"--memory_of={size}"]
    command += [
        f"--groups={_GROUPS.value}",
        f"--batch_size={_BATCH_SIZE.value}",
    ]
    process = subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE
    )
    return json.loads(process.stdout)


def print_own_memory(size: int) -> None:
    """Encode so many observations and print this process's peak, in MiB."""
    from mlvae_tf import encoding
    from mlvae_tf.model import MLVAE

    model = MLVAE(SHAPE, hidden_units=64)
    store = encoding.encode(model, [random_groups(size)], _BATCH_SIZE.value)
    if store.counts.sum() != size:
        raise ValueError(f"{store.counts.sum()} of {size} were encoded.")
    status = pathlib.Path("/proc/self/status").read_text()
    peak = status.split("VmHWM:")[1].split()[0]
    print(json.dumps(int(peak) / 1024))


def main(arguments: list[str]) -> None:
    del arguments
    command_line.import_tensorflow()
    if _MEMORY_OF.value:
        print_own_memory(_MEMORY_OF.value)
        return
    rates = throughput()
    alone, streamed = rates.values()
    ratios = streamed / alone
    lines = [["", "median", "range"], ["---"] * 3]
    for name, values, digits in (
        *((f"{name}, observations/s", v, 0) for name, v in rates.items()),
        ("ratio of a turn", ratios, 3),
    ):
        low, high = np.min(values), np.max(values)
        spread = f"{low:,.{digits}f} to {high:,.{digits}f}"
        lines.append([name, f"{np.median(values):,.{digits}f}", spread])
    peaks = [memory(int(size)) for size in _SIZES.value]
    for size, peak in zip(_SIZES.value, peaks):
        name = f"peak memory, {int(size):,} observations, MiB"
        lines.append([name, f"{peak:,.0f}", ""])
    lines.append(["ratio", f"{peaks[-1] / peaks[0]:.3f}", ""])
    for line in lines:
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    app.run(main)

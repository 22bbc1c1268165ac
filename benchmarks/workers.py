"""How fast several workers train together, beside one process.

    python benchmarks/workers.py [--turns=9] [--workers=2] [--size=256]

One process on two cores beside two workers of one core each; the same MLP
784-500-(10+10)-500-784 and batches, and the same gradient. They take turns
within one run. Prints steps per second, medians over the turns and their range,
the ratio within a turn, and what a sum over the workers takes. With
`--workers=4` on two cores only the latter tells something.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
from absl import app, flags
from shared import median_and_range, print_table
from turns import Worker, answer, next_turn

from mlvae_tf import cluster
from mlvae_tf.runs.devices import free_ports

if TYPE_CHECKING:
    from mlvae_tf.replicas import Replicas

_TURNS = flags.DEFINE_integer("turns", 9, "Turns of each.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 40, "Steps of a turn.", lower_bound=10)
_WORKERS = flags.DEFINE_integer("workers", 2, "That train together.")
_SIZE = flags.DEFINE_integer("size", 256, "Observations in a batch.")
_AS_WORKER = flags.DEFINE_bool("as_worker", False, "Be one of them.")


def work() -> None:
    """Train, then sum gradients, a turn whenever it is told."""
    from mlvae_tf.replicas import ALONE, Workers

    replicas = Workers.join() if "TF_CONFIG" in os.environ else ALONE
    sum_up(replicas, train(replicas))


def train(replicas: Replicas) -> int:
    """Train in turns; how many weights there are."""
    import keras
    import tensorflow as tf

    from mlvae_tf import MLVAE

    class Turns(keras.callbacks.Callback):
        def on_epoch_begin(
            self, epoch: int, logs: dict[str, float] | None = None
        ) -> None:
            if not next_turn():
                self.model.stop_training = True
            self._began = time.perf_counter()

        def on_epoch_end(
            self, epoch: int, logs: dict[str, float] | None = None
        ) -> None:
            answer(time.perf_counter() - self._began)

    keras.utils.set_random_seed(0)
    model = MLVAE((28, 28, 1), seed=0)
    model.compile(keras.optimizers.Adam(1e-3), steps_per_execution=10)
    images = np.random.default_rng(0).uniform(size=(_SIZE.value, 28, 28, 1))
    ids = np.arange(_SIZE.value) % 64
    batch = {"observations": images.astype(np.float32), "group_ids": ids}
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    model.fit(
        dataset, epochs=_TURNS.value + 1, steps_per_epoch=_STEPS.value,
        verbose=0, callbacks=[Turns()], replicas=replicas,
    )  # fmt: skip
    return model.count_params()


def sum_up(replicas: Replicas, size: int) -> None:
    """Sum gradients of so many weights in turns."""
    import tensorflow as tf

    from mlvae_tf.replicas import Sum

    gradient = tf.zeros([size])

    @tf.function
    def sums(count: int) -> tf.Tensor:
        total = gradient
        for _ in tf.range(count):
            total = replicas.sum(Sum.GRADIENTS, total) / replicas.count
        return total

    for _ in range(_TURNS.value + 1):
        next_turn()
        began = time.perf_counter()
        sums(10).numpy()
        answer((time.perf_counter() - began) / 10)


class Together:
    """Processes that take a turn together, each on its own cores."""

    def __init__(self, cores: list[str]) -> None:
        self._workers = []
        addresses = [f"localhost:{port}" for port in free_ports(len(cores))]
        for number, of_worker in enumerate(cores):
            config = cluster.config(addresses, number)
            alone = len(cores) == 1
            setting = [] if alone else [f"TF_CONFIG={config}"]
            command = ["env", *setting, "taskset", "-c", of_worker]
            command += [sys.executable, *sys.argv, "--as_worker"]
            self._workers.append(Worker(command))

    def turn(self) -> float:
        """Seconds that a turn took the slowest of them."""
        for worker in self._workers:
            worker.tell(_STEPS.value)
        return max(worker.heard() for worker in self._workers)


def main(_: list[str]) -> None:
    if _AS_WORKER.value:
        return work()
    subprocess.run(["taskset", "--version"], check=True, capture_output=True)
    count = _WORKERS.value
    alone = Together(["0,1"])
    several = Together([str(number % 2) for number in range(count)])
    turns = [(alone.turn(), several.turn()) for _ in range(_TURNS.value + 1)]
    seconds = np.array(turns[1:])  # The first one compiles.
    rate, together = _STEPS.value / seconds.T
    sums = [(alone.turn(), several.turn()) for _ in range(_TURNS.value + 1)]
    milliseconds = 1e3 * np.array(sums[1:])[:, 1]
    print_table(
        [
            ["", "median", "range"],
            ["one process, steps per second", *median_and_range(rate, 1)],
            [f"{count} workers", *median_and_range(together, 1)],
            ["workers / process", *median_and_range(together / rate, 2)],
            ["a sum of gradients, ms", *median_and_range(milliseconds, 2)],
        ]
    )


if __name__ == "__main__":
    app.run(main)

"""What a run waits for beside its steps.

    python benchmarks/stalls.py

Programs that XLA compiles in a training on ragged groups, and the seconds from
the start of train.py to its first step; seconds from the last step of `fit` to
its return, over many; seconds of processor and clock that an export takes. Of
made-up data. Prints Markdown.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from absl import app, flags
from shared import median_and_range, print_table

from mlvae_tf import MLVAE, data

HERE = pathlib.Path(__file__).parent

_FITS = flags.DEFINE_integer("fits", 12, "How many, of 40 steps x 12.")
_EXPORTS = flags.DEFINE_integer("exports", 3, "How many exports.")


class LastStep(keras.callbacks.Callback):
    """When the last step ended."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.ended = time.perf_counter()


def groups(path: pathlib.Path) -> None:
    """Nine ragged groups of series of 25 x 12."""
    generator = np.random.default_rng(0)
    ids = np.repeat(np.arange(9), generator.integers(10, 31, 9))
    centers = generator.normal(size=(9, 25, 12))
    values = centers[ids] + generator.normal(size=(len(ids), 25, 12))
    np.savez(path, observations=values.astype(np.float32), group_ids=ids)


def of_run(folder: pathlib.Path) -> list[list[str]]:
    """Programs of a training, and the seconds to its first step."""
    groups(folder / "groups.npz")
    arguments = [
        f"--dataset=npz:{folder / 'groups.npz'}",
        "--steps=100",
        "--groups_per_batch=3",
        "--observations_per_group=30",
    ]
    logged = {
        "TF_CPP_MIN_LOG_LEVEL": "0",
        "TF_CPP_VMODULE": "device_compiler=1",
    }
    script = HERE.parent / "train.py"
    run = subprocess.run(
        [sys.executable, script, f"--workdir={folder / 'run'}", *arguments],
        check=True,
        text=True,
        capture_output=True,
        env=os.environ | logged,
    )
    count = run.stderr.count("Compilation of XLA executable time")
    began = time.perf_counter()
    first = [sys.executable, str(HERE / "first_step.py")]
    subprocess.run(
        [*first, f"--workdir={folder / 'first'}", *arguments],
        check=True,
        capture_output=True,
    )
    seconds = time.perf_counter() - began
    return [
        ["programs of a run on ragged groups, its flow's included", f"{count}"],
        ["start of train.py to its first step, s", f"{seconds:.1f}"],
    ]


def of_fits() -> list[str]:
    """Seconds from the last step to the return of `fit`."""
    generator = np.random.default_rng(0)
    values = generator.random((2000, 16), np.float32)
    ids = np.arange(2000) % 50
    model = MLVAE((16,), 4, 4, hidden_units=16)
    model.compile("adam", jit_compile=False)
    waits = []
    for _ in range(_FITS.value):
        batches = data.grouped_batches(values, ids, 10, 5).repeat()
        last = LastStep()
        model.fit(
            batches,
            epochs=12,
            steps_per_epoch=40,
            verbose=0,
            callbacks=[last],
        )
        waits.append(time.perf_counter() - last.ended)
    cells = median_and_range(np.array(waits), 2)
    return ["last step of `fit` to its return, s", *cells]


def of_exports(folder: pathlib.Path) -> list[list[str]]:
    """Seconds of an export of the model that the scripts make by default."""
    path = folder / "run" / "model.keras"
    model = keras.saving.load_model(path)
    times = []
    for number in range(_EXPORTS.value):
        clock, processor = time.perf_counter(), time.process_time()
        model.export(folder / "export" / str(number))
        times.append(
            (time.perf_counter() - clock, time.process_time() - processor)
        )
    names = "export, s", "export, s of processor"
    return [
        [name, *median_and_range(np.array(column), 1)]
        for name, column in zip(names, zip(*times))
    ]


def main(arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        lines = [*of_run(folder), of_fits(), *of_exports(folder)]
    header = ["what a run waits for", "median", "range"]
    print_table([header, *([*line, ""][:3] for line in lines)])


if __name__ == "__main__":
    app.run(main)

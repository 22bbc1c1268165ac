"""How fast a training step is, beside what else there is.

    python -m venv /tmp/torch
    /tmp/torch/bin/pip install torch==2.13.0 numpy
    python benchmarks/step.py --torch=/tmp/torch/bin/python

An MLP 784-500-(10+10)-500-784 with Bernoulli likelihood in float32 on batches
of several sizes: `MLVAE.fit`, reading as train.py reads; a plain VAE of the
same networks in the same loop; an ML-VAE in PyTorch, eager and compiled, on
ready batches; the matrix products of the step alone, in either library;
`trunk="conv"` at 64x64x3 beside the same in PyTorch (`--convolutions` for it
alone); and two levels beside one of the same dimensions (`--levels`).
Each is a process, of which one works at a time, by turns. Then the time from
the start of train.py to its first steps, beside that of importing TensorFlow
and TensorFlow Probability. Prints Markdown: medians over the turns and their
range, ratios within a turn.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags
from shared import median_and_range, print_table
from turns import Worker

HERE = pathlib.Path(__file__).parent

_TORCH = flags.DEFINE_string(
    "torch", None, "A Python that has PyTorch; without, it is left out."
)
_TURNS = flags.DEFINE_integer("turns", 15, "Turns of each.", lower_bound=1)
_STEPS = flags.DEFINE_integer(
    "steps", 40, "Steps of a turn, a multiple of ten.", lower_bound=10
)
_CONVOLUTIONS = flags.DEFINE_bool(
    "convolutions", False, "Only those: 64x64x3, batches of 64 in 16 groups."
)
_LEVELS = flags.DEFINE_bool(
    "levels", False, "Only two levels beside one, batches of 256 and 1,024."
)
_STARTS = flags.DEFINE_integer("starts", 5, "Turns of the start.")


def work(subject: str, size: int, num_groups: int) -> Worker:
    """The process of a subject, named by its script and its name there."""
    script, which = subject.split()
    python = _TORCH.value if script == "torch" else sys.executable
    command = [python, HERE / f"step_{script}.py", which, size, num_groups]
    if script == "keras":
        command.append(_STEPS.value)
    return Worker([str(part) for part in command])


def milliseconds(
    subjects: dict[str, tuple[str, int, int]],
) -> dict[str, np.ndarray]:
    """Of a step, by turn; the workers' first two turns do not count.

    Args:
        subjects: By name, the arguments of `work`.
    """
    steps = _STEPS.value
    workers = {name: work(*subject) for name, subject in subjects.items()}
    times: dict[str, list[float]] = {name: [] for name in workers}
    for turn in range(-2, _TURNS.value):
        for name, worker in workers.items():
            taken = worker.take(steps)
            if turn >= 0:
                times[name].append(taken / steps * 1000)
    for worker in workers.values():
        worker.close()
    return {name: np.array(values) for name, values in times.items()}


def compare(size: int, num_groups: int, lines: list[list[str]]) -> None:
    """All subjects on one kind of batch."""
    batch = size, num_groups
    subjects = {
        "MLVAE": ("keras ours", *batch),
        "plain VAE": ("keras plain", *batch),
        "its matrix products": ("keras alone", *batch),
    }
    if _TORCH.value:
        for subject in ("eager", "compiled", "alone"):
            subjects[f"PyTorch {subject}"] = (f"torch {subject}", *batch)
    if size == 1024 and num_groups == 10:
        subjects["bfloat16"] = ("keras bfloat16", *batch)
        subjects["in 1,024 groups"] = ("keras ours", 1024, 1024)
    times = milliseconds(subjects)
    where = f"{size} in {num_groups}"
    for name, values in times.items():
        lines.append([f"{where}: {name}, ms", *median_and_range(values, 2)])
    mine = times["MLVAE"]
    ratios = {
        "MLVAE / plain VAE": mine / times["plain VAE"],
        "its matrix products / MLVAE": times["its matrix products"] / mine,
    }
    if _TORCH.value:
        best = min(
            ("eager", "compiled"),
            key=lambda subject: np.median(times[f"PyTorch {subject}"]),
        )
        ratios[f"MLVAE / PyTorch {best}"] = mine / times[f"PyTorch {best}"]
        ratios["matrix products, TensorFlow / PyTorch"] = (
            times["its matrix products"] / times["PyTorch alone"]
        )
    for name in ("bfloat16", "in 1,024 groups"):
        if name in times:
            ratios[f"{name} / MLVAE"] = times[name] / mine
    for name, values in ratios.items():
        lines.append([f"{where}: {name}", *median_and_range(values, 3)])


def compare_convolutions(lines: list[list[str]]) -> None:
    """The convolutional trunk, by TensorFlow's own convolutions and XLA's."""
    subjects = {
        "MLVAE": ("keras convolutions", 64, 16),
        "MLVAE by XLA": ("keras convolutions_xla", 64, 16),
    }
    if _TORCH.value:
        for kind in ("eager", "compiled"):
            subjects[f"PyTorch {kind}"] = (f"torch conv_{kind}", 64, 16)
    times = milliseconds(subjects)
    for name, values in times.items():
        lines.append([f"64x64x3: {name}, ms", *median_and_range(values, 1)])
        if name != "MLVAE":
            ratio = median_and_range(times["MLVAE"] / values, 3)
            lines.append([f"64x64x3: MLVAE / {name}", *ratio])


def compare_levels(lines: list[list[str]]) -> None:
    """Two crossed levels beside one of the same dimensions."""
    for size, num_groups in ((256, 32), (1024, 64)):
        batch = size, num_groups
        subjects = {
            "one level": ("keras ours", *batch),
            "two levels": ("keras two_levels", *batch),
        }
        times = milliseconds(subjects)
        where = f"{size} in {num_groups}"
        for name, values in times.items():
            lines.append([f"{where}: {name}, ms", *median_and_range(values, 2)])
        ratio = times["two levels"] / times["one level"]
        cells = median_and_range(ratio, 3)
        lines.append([f"{where}: two levels / one", *cells])


def waiting(size: int, num_groups: int) -> list[str]:
    """The share of `fit` that waits for a batch."""
    worker = work("keras waiting", size, num_groups)
    shares = [worker.take(_STEPS.value) for _ in range(7)][2:]
    worker.close()
    return [
        f"{size} in {num_groups}: share of `fit` that waits for input",
        *median_and_range(np.array(shares), 4),
    ]


def starting() -> list[list[str]]:
    """Seconds from the start of train.py to its first steps."""
    imports = "import tensorflow, tensorflow_probability"
    script = str(HERE / "first_step.py")
    names = (
        "import of TensorFlow and TFP, s",
        "start of train.py to its first steps, s",
    )
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, _STARTS.value):
        with tempfile.TemporaryDirectory() as folder:
            run = [script, f"--workdir={folder}/run", "--preset=mnist_5k"]
            for name, arguments in zip(names, (["-c", imports], run)):
                began = time.perf_counter()
                subprocess.run(
                    [sys.executable, *arguments],
                    check=True,
                    capture_output=True,
                )
                if turn >= 0:
                    times[name].append(time.perf_counter() - began)
    lines = [
        [name, *median_and_range(np.array(values), 2)]
        for name, values in times.items()
    ]
    importing, starts = (np.array(values) for values in times.values())
    ratio = median_and_range(starts / importing, 2)
    return [*lines, ["start / import", *ratio]]


def main(arguments: list[str]) -> None:
    lines = [["a training step", "median", "range"]]
    if _LEVELS.value:
        compare_levels(lines)
        return print_table(lines)
    compare_convolutions(lines)
    if _CONVOLUTIONS.value:
        return print_table(lines)
    compare_levels(lines)
    batches = (256, 10), (1024, 10), (1024, 256)
    for batch in batches:
        compare(*batch, lines)
    lines += [waiting(*batch) for batch in batches]
    print_table([*lines, *starting()])


if __name__ == "__main__":
    app.run(main)
